/* SPDX-License-Identifier: Apache-2.0
 *
 * Rates are over whole seconds of the module's own counter, not over turns of the main loop.
 */
#include "control/telemetry.h"

#include "base/memory.h"
#include "events/run.h"
#include "hal.h"
#include "line/link.h"
#include "line/outbox.h"
#include "safety/bias.h"
#include "safety/faults.h"
#include "state/module.h"
#include "state/registers.h"

#define GATE_TICKS (TOMOSHIBI_COUNTER_HZ / 10u)
#define FLAG_INTERLOCK 1u
#define FLAG_HOST 2u

static uint32_t per_second(uint64_t count, uint64_t ticks)
{
    uint64_t rate = count * TOMOSHIBI_COUNTER_HZ / ticks;
    return rate < UINT32_MAX ? (uint32_t)rate : UINT32_MAX;
}

/* The parts fill in what is theirs. */
static void take_parts(struct module *m, struct tomoshibi_telemetry *t)
{
    mem_set(t, 0, (uint32_t)sizeof *t);
    run_telemetry(m, t);
    outbox_telemetry(m, t);
}

static void end_second(struct module *m)
{
    struct telemetry *own = &m->telemetry;
    struct tomoshibi_telemetry t;
    uint64_t ticks = m->now - own->second_began;
    take_parts(m, &t);
    own->hit_rate = per_second(t.hits - own->hits_before, ticks);
    own->word_rate = per_second(t.words - own->words_before, ticks);
    own->hits_before = t.hits;
    own->words_before = t.words;
    own->loop_us = own->turn_longest / MODULE_TICKS_PER_US;
    own->turn_longest = 0;
    own->second_began = m->now;
}

/* Looking for the deepest stack takes a walk through the memory: once a second is enough. */
static void look_at_stack(struct module *m)
{
    uint32_t size = hal_stack_size();
    m->telemetry.stack_bytes = hal_stack_used();
    if (size != 0u && m->telemetry.stack_bytes + FAULTS_STACK_GUARD > size) {
        fault_raise(m, TOMOSHIBI_FAULT_STACK, (int32_t)m->telemetry.stack_bytes,
                    (int32_t)(size - FAULTS_STACK_GUARD));
    }
}

static void end_gate(struct module *m)
{
    struct telemetry *own = &m->telemetry;
    uint32_t crossings = hal_comparator_count();
    uint64_t ticks = m->now - own->gate_began;
    uint64_t count = crossings - own->crossings_before;
    own->scaler = (uint32_t)(count * GATE_TICKS / ticks); /* a late end makes no longer gate */
    own->scaler_gates++;
    own->crossings_before = crossings;
    own->gate_began = m->now;
}

static void give_notice(struct module *m)
{
    struct tomoshibi_telemetry t;
    telemetry_fill(m, &t);
    (void)link_notice(m, TOMOSHIBI_NOTICE_TELEMETRY, &t, (uint32_t)sizeof t);
    m->telemetry.noticed = m->now;
}

static uint8_t flags(const struct module *m)
{
    uint32_t timeout_ms = (uint32_t)register_get(m, TOMOSHIBI_REGI_HOST_TIMEOUT_MS);
    int heard = m->link.host_heard && module_host_silent_ms(m) < timeout_ms;
    return (uint8_t)((m->bias.interlock_closed ? FLAG_INTERLOCK : 0u) | (heard ? FLAG_HOST : 0u));
}

static void fill_link(const struct module *m, struct tomoshibi_telemetry *t)
{
    const struct link_counters *counted = &m->link.counters;
    t->bytes_in = counted->bytes_in;
    t->invalid_packets = counted->invalid_packets;
    t->commands = counted->commands;
    t->repeats = counted->repeats;
    t->refused = counted->refused;
    t->host_silent_ms = module_host_silent_ms(m);
}

static void fill_bias(const struct module *m, struct tomoshibi_telemetry *t)
{
    t->bias_state = (uint8_t)bias_state(m);
    t->epoch = bias_epoch(m);
    t->bias_mV = m->bias.measured_mV;
    t->target_mV = m->bias.target_mV;
    t->current_nA = m->bias.current_nA;
    t->supply_mV = m->bias.supply_mV;
    t->temperature_cC = m->bias.temperature_cC;
}

void telemetry_fill(struct module *m, struct tomoshibi_telemetry *t)
{
    const struct telemetry *own = &m->telemetry;
    take_parts(m, t);
    fill_link(m, t);
    fill_bias(m, t);
    t->counter = module_clock(m);
    t->state = (uint8_t)m->state;
    t->flags = flags(m);
    t->fault = fault_latched(m);
    t->hit_rate = own->hit_rate;
    t->word_rate = own->word_rate;
    t->scaler = own->scaler;
    t->scaler_gates = own->scaler_gates;
    t->loop_us = own->loop_us;
    t->stack_bytes = own->stack_bytes;
    t->resets = hal_starts();
}

void telemetry_start(struct module *m)
{
    struct telemetry *own = &m->telemetry;
    mem_set(own, 0, (uint32_t)sizeof *own);
    own->second_began = m->now;
    own->gate_began = m->now;
    own->crossings_before = hal_comparator_count();
    look_at_stack(m);
    own->noticed = m->now;
}

void telemetry_poll(struct module *m)
{
    const struct telemetry *own = &m->telemetry;
    uint32_t every_ms = (uint32_t)register_get(m, TOMOSHIBI_REGI_TELEMETRY_MS);
    if (m->now - own->second_began >= TOMOSHIBI_COUNTER_HZ) {
        end_second(m);
        look_at_stack(m);
    }
    if (m->now - own->gate_began >= GATE_TICKS) {
        end_gate(m);
    }
    if (m->now - own->noticed >= (uint64_t)every_ms * MODULE_TICKS_PER_MS) {
        give_notice(m);
    }
}

void telemetry_turn(struct module *m, uint32_t ticks)
{
    if (ticks > m->telemetry.turn_longest) {
        m->telemetry.turn_longest = ticks;
    }
}
