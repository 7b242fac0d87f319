/* SPDX-License-Identifier: Apache-2.0
 *
 * The main loop. The watchdog is kicked in one place only, after every part of a turn has come
 * back: a part that hangs is a reset, and a reset is a safe bias.
 */
#include "state/module.h"

#include "hal.h"
#include "base/memory.h"

#define WATCHDOG_US 1000000u
#define IDLE_US 4000u          /* nothing goes on; a byte on the line wakes the board before */
#define IDLE_RUNNING_US 2500u  /* hits wake nobody: they wait in their queue, half a period */
#define IDLE_SENDING_US 200u   /* the line is full */

static void (*const parts[])(struct module *m) = {
    link_poll, run_poll, outbox_poll, bias_poll, faults_poll, telemetry_poll};

#define PARTS (sizeof parts / sizeof parts[0])

uint64_t module_clock(const struct module *m)
{
    return m->now + (uint32_t)(hal_counter() - (uint32_t)m->now);
}

void module_state(struct module *m, uint32_t state)
{
    m->state = state;
    hal_show(state);
}

/* The watchdog is first: an image that hangs while it starts must not stay. Then the bias, which a
 * reset of the processor alone may have left on. What follows may raise faults, whose notices wait
 * for the line. update_start may start another image. */
void module_start(struct module *m)
{
    hal_watchdog_start(WATCHDOG_US);
    hal_bias_dac(0);
    mem_set(m, 0, (uint32_t)sizeof *m);
    module_state(m, TOMOSHIBI_STATE_BOOT);
    m->now = hal_counter();
    registers_start(m);
    link_start(m);
    faults_start(m);
    config_start(m);
    update_start(m);
    hal_watchdog_kick();
    bias_start(m);
    run_start(m);
    outbox_start(m);
    telemetry_start(m);
    module_state(m, fault_latched(m) != 0u ? TOMOSHIBI_STATE_FAULT : TOMOSHIBI_STATE_IDLE);
    link_hello(m);
}

static uint32_t idle_us(const struct module *m)
{
    int by_core = register_get(m, TOMOSHIBI_REGI_DATA_PATH) != TOMOSHIBI_PATH_RING;
    if (by_core && outbox_queued(m) > 0u) {
        return IDLE_SENDING_US;
    }
    return m->state == TOMOSHIBI_STATE_RUNNING || m->state == TOMOSHIBI_STATE_STOPPING
               ? IDLE_RUNNING_US
               : IDLE_US;
}

void module_turn(struct module *m)
{
    uint32_t datagrams = m->outbox.datagrams;
    unsigned i;
    m->now = module_clock(m);
    for (i = 0; i < PARTS; i++) {
        parts[i](m);
    }
    hal_watchdog_kick();
    hal_show(m->state);
    telemetry_turn(m, (uint32_t)(module_clock(m) - m->now));
    if (!m->link.moved && !m->run.moved && m->outbox.datagrams == datagrams) {
        hal_idle(idle_us(m));
    }
}
