/* SPDX-License-Identifier: Apache-2.0
 *
 * Measure, check, then move: see bias.h. Voltages are below 2^17 mV and slews below 2^17 mV/s, so
 * that slew times the longest step (500 000 counts) stays far below 2^64.
 */
#include "safety/bias.h"

#include "base/memory.h"
#include "hal.h"
#include "safety/faults.h"
#include "safety/supply.h"
#include "state/module.h"
#include "state/registers.h"

#define LONGEST_STEP (TOMOSHIBI_COUNTER_HZ / 1000000u * BIAS_LONGEST_STEP_US)
#define EXTREME_CC 20000 /* no thermometer means more: keeps the compensation within 32 bits */

/* What is looked at every turn, gravest first. */
static const uint16_t watched[] = {
    TOMOSHIBI_FAULT_INTERLOCK,        TOMOSHIBI_FAULT_OVER_VOLTAGE, TOMOSHIBI_FAULT_OVERCURRENT,
    TOMOSHIBI_FAULT_OVER_TEMPERATURE, TOMOSHIBI_FAULT_BROWN_OUT,    TOMOSHIBI_FAULT_REGULATION,
    TOMOSHIBI_FAULT_HOST_LOST,
};
#define WATCHED (sizeof watched / sizeof watched[0])

static int32_t limited(int32_t value, int32_t least, int32_t greatest)
{
    return value < least ? least : value > greatest ? greatest : value;
}

/* --- check --------------------------------------------------------------------------------- */

static void check(struct module *m)
{
    int32_t value, limit;
    for (uint32_t i = 0; i < WATCHED; i++) {
        if (supply_violates(m, watched[i], &value, &limit)) {
            fault_raise(m, watched[i], value, limit);
        }
    }
}

/* --- move ---------------------------------------------------------------------------------- */

static uint32_t requested_at_most(const struct module *m)
{
    uint32_t most = (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV);
    return m->bias.requested_mV < most ? m->bias.requested_mV : most;
}

static uint32_t compensated_target(const struct module *m)
{
    int32_t coefficient = register_get(m, TOMOSHIBI_REGI_TEMPERATURE_COEFFICIENT);
    int32_t reference = register_get(m, TOMOSHIBI_REGI_TEMPERATURE_REFERENCE_CC);
    int32_t most = register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV);
    int32_t warmer = limited(m->bias.temperature_cC, -EXTREME_CC, EXTREME_CC) - reference;
    int32_t added = coefficient * warmer;
    if (m->bias.requested_mV == 0) {
        return 0;
    }
    added = (added + (added < 0 ? -50 : 50)) / 100;
    return (uint32_t)limited((int32_t)m->bias.requested_mV + added, 0, most);
}

/* bias_max_mV was lowered: the supply must not stay above it for as long as the ramp takes. */
static void limit_supply(struct module *m)
{
    uint32_t most = (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV);
    if (m->bias.set_mV > most) {
        supply_set(m, most);
    }
}

static void ramp(struct module *m)
{
    struct bias *b = &m->bias;
    uint64_t passed = m->now - b->ramped_at;
    uint32_t left = distance_mV(b->set_mV, b->target_mV);
    b->ramped_at = m->now;
    if (left == 0) {
        b->ramp_rest = 0;
        return;
    }
    if (passed > LONGEST_STEP) {
        passed = LONGEST_STEP;
    }
    b->ramp_rest += (uint64_t)(uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_SLEW) * passed;
    if (b->ramp_rest < TOMOSHIBI_COUNTER_HZ) {
        return;
    }
    uint32_t step = (uint32_t)(b->ramp_rest / TOMOSHIBI_COUNTER_HZ);
    b->ramp_rest %= TOMOSHIBI_COUNTER_HZ;
    if (step > left) {
        step = left;
    }
    supply_set(m, b->set_mV < b->target_mV ? b->set_mV + step : b->set_mV - step);
}

static uint32_t state_now(const struct module *m)
{
    const struct bias *b = &m->bias;
    if (fault_latched(m) != 0) {
        return TOMOSHIBI_BIAS_TRIPPED;
    }
    if (b->requested_mV == 0) {
        return b->set_mV == 0 && b->measured_mV < BIAS_OFF_MV ? TOMOSHIBI_BIAS_OFF
                                                              : TOMOSHIBI_BIAS_RAMPING;
    }
    return distance_mV(b->measured_mV, b->target_mV) <= supply_tolerance_mV(m) &&
                   distance_mV(b->set_mV, b->target_mV) <= supply_tolerance_mV(m)
               ? TOMOSHIBI_BIAS_ON
               : TOMOSHIBI_BIAS_RAMPING;
}

/* --- epochs -------------------------------------------------------------------------------- */

static void epoch_begin(struct module *m)
{
    struct bias *b = &m->bias;
    b->epoch_cC = b->temperature_cC;
    b->epoch_mV = requested_at_most(m);
    b->epoch_coefficient = register_get(m, TOMOSHIBI_REGI_TEMPERATURE_COEFFICIENT);
    b->epoch_reference_cC = register_get(m, TOMOSHIBI_REGI_TEMPERATURE_REFERENCE_CC);
}

void bias_new_epoch(struct module *m)
{
    m->bias.epoch++;
    epoch_begin(m);
}

static void follow_epoch(struct module *m)
{
    const struct bias *b = &m->bias;
    int32_t now_cC = limited(b->temperature_cC, -EXTREME_CC, EXTREME_CC);
    int32_t moved = now_cC - limited(b->epoch_cC, -EXTREME_CC, EXTREME_CC);
    if ((moved < 0 ? -moved : moved) > register_get(m, TOMOSHIBI_REGI_EPOCH_BAND_CC) ||
        requested_at_most(m) != b->epoch_mV ||
        register_get(m, TOMOSHIBI_REGI_TEMPERATURE_COEFFICIENT) != b->epoch_coefficient ||
        register_get(m, TOMOSHIBI_REGI_TEMPERATURE_REFERENCE_CC) != b->epoch_reference_cC) {
        bias_new_epoch(m);
    }
}

/* --- the rest ------------------------------------------------------------------------------ */

void bias_start(struct module *m)
{
    mem_set(&m->bias, 0, (uint32_t)sizeof m->bias);
    hal_bias_dac(0);
    supply_measure(m);
    m->bias.ramped_at = m->now;
    epoch_begin(m);
    m->bias.state = state_now(m);
}

uint16_t bias_set(struct module *m, uint32_t target_mV)
{
    if (fault_latched(m) != 0) {
        return TOMOSHIBI_STATUS_FAULTED;
    }
    if (m->state != TOMOSHIBI_STATE_IDLE && m->state != TOMOSHIBI_STATE_RUNNING) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    if (target_mV > (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV)) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    m->bias.requested_mV = target_mV;
    m->bias.target_mV = compensated_target(m);
    m->bias.state = state_now(m);
    return TOMOSHIBI_STATUS_OK;
}

void bias_poll(struct module *m)
{
    supply_measure(m);
    check(m);
    m->bias.target_mV = compensated_target(m);
    limit_supply(m);
    ramp(m);
    m->bias.state = state_now(m);
    follow_epoch(m);
}

int bias_is_on(const struct module *m)
{
    return m->bias.state == TOMOSHIBI_BIAS_ON;
}

uint32_t bias_state(const struct module *m)
{
    return m->bias.state;
}

uint16_t bias_epoch(const struct module *m)
{
    return m->bias.epoch;
}
