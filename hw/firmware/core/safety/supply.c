/* SPDX-License-Identifier: Apache-2.0
 *
 * See supply.h.
 */
#include "safety/supply.h"

#include "hal.h"
#include "state/module.h"
#include "state/registers.h"

static uint32_t reading(enum hal_analogue what)
{
    int32_t value = hal_adc(what);
    return value > 0 ? (uint32_t)value : 0u;
}

static int32_t as_signed(uint32_t value)
{
    return value > (uint32_t)INT32_MAX ? INT32_MAX : (int32_t)value;
}

/* --- tell ---------------------------------------------------------------------------------- */

void supply_set(struct module *m, uint32_t millivolt)
{
    m->bias.set_mV = millivolt;
    hal_bias_dac(millivolt);
}

void supply_off(struct module *m)
{
    m->bias.requested_mV = 0;
    m->bias.target_mV = 0;
    m->bias.ramp_rest = 0;
    supply_set(m, 0);
}

/* --- measure ------------------------------------------------------------------------------- */

uint32_t supply_tolerance_mV(const struct module *m)
{
    return (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_TOLERANCE_MV);
}

static void follow_astray(struct module *m)
{
    struct bias *b = &m->bias;
    uint32_t tolerance = supply_tolerance_mV(m);
    int ramping = distance_mV(b->set_mV, b->target_mV) > tolerance;
    int astray = distance_mV(b->measured_mV, b->set_mV) > tolerance * SUPPLY_ASTRAY_TOLERANCES;
    if (!b->astray || ramping) {
        b->astray_since = m->now;
    }
    b->astray = astray;
}

void supply_measure(struct module *m)
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
    return b->astray && m->now - b->astray_since >= SUPPLY_ASTRAY_MS * MODULE_TICKS_PER_MS;
}

static int host_is_lost(const struct module *m, int32_t *value, int32_t *limit)
{
    int in_use = m->bias.set_mV > 0 || m->bias.requested_mV > 0 ||
                 m->state == TOMOSHIBI_STATE_RUNNING || m->state == TOMOSHIBI_STATE_STOPPING;
    return above(as_signed(module_host_silent_ms(m)),
                 register_get(m, TOMOSHIBI_REGI_HOST_TIMEOUT_MS), value, limit) &&
           in_use;
}

int supply_violates(const struct module *m, uint16_t fault, int32_t *value, int32_t *limit)
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
