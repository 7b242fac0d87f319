/* SPDX-License-Identifier: Apache-2.0
 *
 * Measure, check, then move: see bias.h. Voltages are below 2^17 mV and slews below 2^17 mV/s, so
 * that slew times the longest step (500 000 counts) stays far below 2^64.
 */
#include "safety/bias.h"

#include "safety/faults.h"
#include "hal.h"
#include "line/link.h"
#include "base/memory.h"
#include "state/module.h"

#define COUNTS_PER_MS (TOMOSHIBI_COUNTER_HZ / 1000u)
#define LONGEST_STEP (TOMOSHIBI_COUNTER_HZ / 1000000u * BIAS_LONGEST_STEP_US)
#define EXTREME_CC 20000 /* no thermometer means more: keeps the compensation within 32 bits */

/* What is looked at every turn, gravest first. */
static const uint16_t watched[] = {
    TOMOSHIBI_FAULT_INTERLOCK,        TOMOSHIBI_FAULT_OVER_VOLTAGE, TOMOSHIBI_FAULT_OVERCURRENT,
    TOMOSHIBI_FAULT_OVER_TEMPERATURE, TOMOSHIBI_FAULT_BROWN_OUT,    TOMOSHIBI_FAULT_REGULATION,
    TOMOSHIBI_FAULT_HOST_LOST,
};
#define WATCHED (sizeof watched / sizeof watched[0])

static uint32_t reading(enum hal_analogue what)
{
    int32_t value = hal_adc(what);
    return value > 0 ? (uint32_t)value : 0u;
}

static int32_t as_signed(uint32_t value)
{
    return value > (uint32_t)INT32_MAX ? INT32_MAX : (int32_t)value;
}

static uint32_t distance(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

static int32_t limited(int32_t value, int32_t least, int32_t greatest)
{
    return value < least ? least : value > greatest ? greatest : value;
}

/* --- measure ------------------------------------------------------------------------------- */

static uint32_t tolerance(const struct module *m)
{
    return (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_TOLERANCE_MV);
}

static void follow_astray(struct module *m)
{
    struct bias *b = &m->bias;
    int ramping = distance(b->set_mV, b->target_mV) > tolerance(m);
    int astray = distance(b->measured_mV, b->set_mV) > tolerance(m) * BIAS_ASTRAY_TOLERANCES;
    if (!b->astray || ramping) {
        b->astray_since = m->now;
    }
    b->astray = astray;
}

void bias_measure(struct module *m)
{
    struct bias *b = &m->bias;
    b->measured_mV = reading(HAL_BIAS_MV);
    b->current_nA = reading(HAL_CURRENT_NA);
    b->supply_mV = reading(HAL_SUPPLY_MV);
    b->temperature_cC = hal_adc(HAL_TEMPERATURE_CC);
    b->interlock_closed = hal_interlock_closed();
    follow_astray(m);
}

/* --- check --------------------------------------------------------------------------------- */

static int above(int32_t measured, int32_t allowed, int32_t *value, int32_t *limit)
{
    *value = measured;
    *limit = allowed;
    return measured > allowed;
}

static int regulation_fails(const struct module *m, int32_t *value, int32_t *limit)
{
    const struct bias *b = &m->bias;
    *value = as_signed(b->measured_mV);
    *limit = as_signed(b->set_mV);
    return b->astray && m->now - b->astray_since >= BIAS_ASTRAY_MS * COUNTS_PER_MS;
}

static int host_is_lost(const struct module *m, int32_t *value, int32_t *limit)
{
    int in_use = m->bias.set_mV > 0 || m->bias.requested_mV > 0 ||
                 m->state == TOMOSHIBI_STATE_RUNNING || m->state == TOMOSHIBI_STATE_STOPPING;
    return above(as_signed(link_host_silent_ms(m)),
                 register_get(m, TOMOSHIBI_REGI_HOST_TIMEOUT_MS), value, limit) &&
           in_use;
}

int bias_violates(const struct module *m, uint16_t fault, int32_t *value, int32_t *limit)
{
    const struct bias *b = &m->bias;
    switch (fault) {
    case TOMOSHIBI_FAULT_INTERLOCK:
        return above(b->interlock_closed ? 0 : 1, 0, value, limit);
    case TOMOSHIBI_FAULT_OVER_VOLTAGE:
        return above(as_signed(b->measured_mV), register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV), value,
                     limit);
    case TOMOSHIBI_FAULT_OVERCURRENT:
        return above(as_signed(b->current_nA), register_get(m, TOMOSHIBI_REGI_CURRENT_TRIP_NA),
                     value, limit);
    case TOMOSHIBI_FAULT_OVER_TEMPERATURE:
        return above(b->temperature_cC, register_get(m, TOMOSHIBI_REGI_TEMPERATURE_TRIP_CC), value,
                     limit);
    case TOMOSHIBI_FAULT_BROWN_OUT:
        *value = as_signed(b->supply_mV);
        *limit = register_get(m, TOMOSHIBI_REGI_SUPPLY_MIN_MV);
        return *value < *limit;
    case TOMOSHIBI_FAULT_REGULATION:
        return regulation_fails(m, value, limit);
    case TOMOSHIBI_FAULT_HOST_LOST:
        return host_is_lost(m, value, limit);
    default:
        return 0;
    }
}

/* The supply is going: what must be said is logged already. Not again for a fault that is latched,
   or a board whose supply never comes up to the limit would restart for ever. */
static void go_down(struct module *m, int was_seen)
{
    if (!was_seen && (m->faults.seen & (UINT32_C(1) << TOMOSHIBI_FAULT_BROWN_OUT))) {
        hal_down();
    }
}

static void check(struct module *m)
{
    int was_seen = (m->faults.seen & (UINT32_C(1) << TOMOSHIBI_FAULT_BROWN_OUT)) != 0;
    int32_t value, limit;
    for (uint32_t i = 0; i < WATCHED; i++) {
        if (bias_violates(m, watched[i], &value, &limit)) {
            fault_raise(m, watched[i], value, limit);
        }
    }
    go_down(m, was_seen);
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

static void set_supply(struct bias *b, uint32_t millivolt)
{
    b->set_mV = millivolt;
    hal_bias_dac(millivolt);
}

/* bias_max_mV was lowered: the supply must not stay above it for as long as the ramp takes. */
static void limit_supply(struct module *m)
{
    uint32_t most = (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV);
    if (m->bias.set_mV > most) {
        set_supply(&m->bias, most);
    }
}

static void ramp(struct module *m)
{
    struct bias *b = &m->bias;
    uint64_t passed = m->now - b->ramped_at;
    uint32_t left = distance(b->set_mV, b->target_mV);
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
    set_supply(b, b->set_mV < b->target_mV ? b->set_mV + step : b->set_mV - step);
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
    return distance(b->measured_mV, b->target_mV) <= tolerance(m) &&
                   distance(b->set_mV, b->target_mV) <= tolerance(m)
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
    bias_measure(m);
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

void bias_safe(struct module *m)
{
    m->bias.requested_mV = 0;
    m->bias.target_mV = 0;
    m->bias.ramp_rest = 0;
    set_supply(&m->bias, 0);
}

void bias_poll(struct module *m)
{
    bias_measure(m);
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
