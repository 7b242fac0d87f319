/* SPDX-License-Identifier: Apache-2.0
 *
 * The main loop. The watchdog is kicked in one place only, after every part of a turn has come
 * back: a part that hangs is a reset, and a reset is a safe bias.
 */
#include "control/turn.h"

#include "base/memory.h"
#include "control/exchange.h"
#include "control/telemetry.h"
#include "events/run.h"
#include "hal.h"
#include "line/link.h"
#include "line/outbox.h"
#include "safety/bias.h"
#include "safety/faults.h"
#include "safety/supply.h"
#include "state/module.h"
#include "state/registers.h"
#include "store/config.h"
#include "store/update.h"

#define WATCHDOG_US 1000000u
#define IDLE_US 4000u          /* nothing goes on; a byte on the line wakes the board before */
#define IDLE_RUNNING_US 2500u  /* hits wake nobody: they wait in their queue, half a period */
#define IDLE_SENDING_US 200u   /* the line is full */

static void (*const parts[])(struct module *m) = {
    exchange_poll, run_poll, outbox_poll, bias_poll, faults_poll, telemetry_poll};

#define PARTS (sizeof parts / sizeof parts[0])

/* What a latched fault forbids ends within the turn, whichever part saw the fault; the bias is off
 * since fault_raise(). Where the supply goes, what must be said is logged already: hold the board.
 * Not for a brown-out that was found at the start, or a board whose supply never comes up to the
 * limit would restart for ever. */
static void act_on_faults(struct module *m)
{
    uint32_t fresh = m->faults.fresh;
    if (fresh == 0u) {
        return;
    }
    m->faults.fresh = 0;
    (void)run_abort(m);
    update_forget(m);
    if (fresh & (UINT32_C(1) << TOMOSHIBI_FAULT_BROWN_OUT)) {
        hal_down();
    }
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
    m->host_heard_at = m->now;
    registers_start(m);
    link_start(m);
    supply_off(m); /* a board may keep its set value over a reset: before all that takes time */
    faults_start(m);
    config_start(m);
    update_start(m);
    hal_watchdog_kick();
    bias_start(m);
    run_start(m);
    outbox_start(m);
    telemetry_start(m);
    m->faults.fresh = 0; /* no run is on, no image comes in */
    module_state(m, fault_latched(m) != 0u ? TOMOSHIBI_STATE_FAULT : TOMOSHIBI_STATE_IDLE);
    exchange_hello(m);
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
        act_on_faults(m);
    }
    hal_watchdog_kick();
    hal_show(m->state);
    telemetry_turn(m, (uint32_t)(module_clock(m) - m->now));
    if (!m->link.moved && !m->run.moved && m->outbox.datagrams == datagrams) {
        hal_idle(idle_us(m));
    }
}
