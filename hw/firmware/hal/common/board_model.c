/* SPDX-License-Identifier: Apache-2.0
 *
 * The analogue world of a simulated board: see board_model.h.
 *
 * Bias: dV/dt = (dac - V) / tau; tau = 20 ms, and 2 ms while the set value is 0, for then a switch
 *   discharges the SiPMs. Stepped by 0.1 ms: V += (dac - V) * (1 - exp(-0.1 ms / tau)). The supply
 *   below 3 V has no bias; `bias_stuck` holds V where it is.
 * Breakdown: breakdown_mV + 22 mV/K * (T - 25 degC); overvoltage U = V - breakdown, at least 0.
 * Current, nA: V / 1000 mV (1 nA/V of leakage)
 *   + short_uA * 1000 where V is above 1 V
 *   + (20 000 * 2^((T - 25 degC) / 8 K) + light_uA * 1000) * (U / 3 V)^2.
 * Crossings per second of a comparator behind one of 64 channels:
 *   (1e6 * 2^((T - 25 degC) / 8 K) + 49 * light_nA) * (U / 3 V)^2 * crosstalk^(n - 1),
 *   crosstalk 0.2. n: photoelectrons that the threshold asks for; one makes 10 mV * U / 3 V. Pulses
 *   are not all of one height: within 1/8 photoelectron of a step the rate goes over linearly.
 * Temperature: `ambient_cC` at once, within 300 K of 0 degC. 2^x: straight between eighths of x,
 *   within 0.1 %.
 */
#include "board_model.h"

#include "hal.h"
#include "tomoshibi_control.h"

#define STEP_COUNTS (TOMOSHIBI_COUNTER_HZ / 10000u) /* 0.1 ms */
#define STEPS_PER_MS 10u
#define SETTLED_MS 600u /* 30 tau: at the set value to the nanovolt */
#define NV_PER_MV 1000000
#define SUPPLY_NEEDED_MV 3000
#define SHORT_CARRIES_MV 1000
#define NOMINAL_MV 3000u /* overvoltage */
#define BREAKDOWN_MV_PER_K 22
#define REFERENCE_CC 2500
#define EXTREME_CC 30000
#define DOUBLING_CC 800
#define DARK_NA 20000u
#define DARK_RATE 1000000u
#define LIGHT_RATE_PER_NA 49u
#define PHOTOELECTRON_MV 10u
#define MOST_STEPS 16u /* of the staircase: nothing left above */
#define ONE 65536u     /* of 16-bit fractions */

/* (1 - exp(-t / tau)) * 2^32 for t = 0.1 ms and 1 ms */
struct approach {
    uint32_t step;
    uint32_t ms;
};
static const struct approach following = {21421239u, 209468027u};
static const struct approach discharging = {209468027u, 1689937949u};

static const uint32_t eighth_powers[9] = {65536,  71468,  77936,  84990, 92682,
                                          101070, 110218, 120194, 131072};

static uint32_t world_get(const struct board_model *b, uint32_t offset)
{
    return b->world[offset / 4u];
}

static int32_t temperature_cC(const struct board_model *b)
{
    int32_t ambient = (int32_t)world_get(b, TOMOSHIBI_WORLD_AMBIENT_CC);
    return ambient > EXTREME_CC ? EXTREME_CC : ambient < -EXTREME_CC ? -EXTREME_CC : ambient;
}

static int32_t supply_mV(const struct board_model *b)
{
    uint32_t millivolt = world_get(b, TOMOSHIBI_WORLD_SUPPLY_MV);
    if (world_get(b, TOMOSHIBI_WORLD_POWER) == 0)
        return 0;
    return millivolt > (uint32_t)INT32_MAX ? INT32_MAX : (int32_t)millivolt;
}

static uint32_t bias_mV(const struct board_model *b)
{
    return (uint32_t)((b->bias_nV + NV_PER_MV / 2) / NV_PER_MV);
}

/* --- bias supply ---------------------------------------------------------------------------- */

static int64_t approach(int64_t from_nV, int64_t to_nV, uint32_t fraction)
{
    int64_t way = to_nV - from_nV; /* below 2^37: halved precision keeps the product in 64 bits */
    return from_nV + way / 32 * (int64_t)(fraction / 32u) / (INT64_C(1) << 22);
}

static void bias_follow(struct board_model *b, uint32_t steps)
{
    uint32_t dac = supply_mV(b) < SUPPLY_NEEDED_MV ? 0u : b->dac_mV;
    const struct approach *a = dac == 0 ? &discharging : &following;
    int64_t to_nV = (int64_t)dac * NV_PER_MV;
    uint32_t ms = steps / STEPS_PER_MS;
    if (world_get(b, TOMOSHIBI_WORLD_BIAS_STUCK) != 0)
        return;
    if (ms >= SETTLED_MS) {
        b->bias_nV = to_nV;
        return;
    }
    for (; ms > 0; ms--)
        b->bias_nV = approach(b->bias_nV, to_nV, a->ms);
    for (uint32_t left = steps % STEPS_PER_MS; left > 0; left--)
        b->bias_nV = approach(b->bias_nV, to_nV, a->step);
}

/* --- SiPMs ---------------------------------------------------------------------------------- */

/* 2^((T - 25 degC) / 8 K) in 16-bit fractions, between 2^-16 and 2^16 */
static uint64_t warmth(const struct board_model *b)
{
    int32_t above = temperature_cC(b) - REFERENCE_CC;
    int32_t least = -16 * DOUBLING_CC;
    above = above < least ? least : above > -least ? -least : above;
    uint32_t shifted = (uint32_t)(above - least);
    uint32_t whole = shifted / DOUBLING_CC;
    uint32_t part = shifted % DOUBLING_CC;
    uint32_t eighth = part / (DOUBLING_CC / 8);
    uint32_t within = part % (DOUBLING_CC / 8);
    uint32_t low = eighth_powers[eighth];
    uint32_t power = low + (eighth_powers[eighth + 1u] - low) * within / (DOUBLING_CC / 8);
    return ((uint64_t)power << whole) >> 16;
}

static uint32_t overvoltage_mV(const struct board_model *b)
{
    int64_t warmer = (int64_t)temperature_cC(b) - REFERENCE_CC;
    int64_t breakdown =
        (int64_t)world_get(b, TOMOSHIBI_WORLD_BREAKDOWN_MV) + BREAKDOWN_MV_PER_K * warmer / 100;
    int64_t over = (int64_t)bias_mV(b) - breakdown;
    return over > 0 ? (uint32_t)(over > 100000 ? 100000 : over) : 0u;
}

/* `most` stays below 2^42 and the square of the overvoltage below 2^34: in two steps of 2^11 */
static uint64_t with_overvoltage(const struct board_model *b, uint64_t most)
{
    uint64_t over = overvoltage_mV(b);
    uint64_t once = most * over / NOMINAL_MV;
    return once * over / NOMINAL_MV;
}

static uint32_t light_nA(const struct board_model *b)
{
    uint32_t microampere = world_get(b, TOMOSHIBI_WORLD_LIGHT_UA);
    return (microampere > 1000000u ? 1000000u : microampere) * 1000u;
}

static int32_t current_nA(const struct board_model *b)
{
    uint64_t dark = (DARK_NA * warmth(b)) >> 16;
    uint64_t current = bias_mV(b) / 1000u + with_overvoltage(b, dark + light_nA(b));
    if (bias_mV(b) > SHORT_CARRIES_MV)
        current += (uint64_t)world_get(b, TOMOSHIBI_WORLD_SHORT_UA) * 1000u;
    return current > (uint64_t)INT32_MAX ? INT32_MAX : (int32_t)current;
}

/* --- comparator ----------------------------------------------------------------------------- */

static uint64_t with_crosstalk(uint64_t rate, uint32_t photoelectrons)
{
    for (uint32_t n = 1; n < photoelectrons; n++)
        rate /= 5u;
    return rate;
}

/* Threshold in sixteenths of a photoelectron's pulse: at a step, from one under to one over it. */
static uint64_t staircase(uint64_t rate, uint32_t sixteenths, uint32_t part)
{
    uint32_t below = sixteenths / 16u; /* photoelectrons wholly under the threshold */
    uint32_t within = sixteenths % 16u;
    if (within >= 14u) { /* the next step begins */
        uint64_t over = (uint64_t)(within - 14u) * ONE + part;
        uint64_t from = with_crosstalk(rate, below + 1u);
        uint64_t to = with_crosstalk(rate, below + 2u);
        return from - (from - to) * over / (4u * ONE);
    }
    if (within < 2u && below > 0) { /* the step before ends */
        uint64_t over = (uint64_t)(within + 2u) * ONE + part;
        uint64_t from = with_crosstalk(rate, below);
        uint64_t to = with_crosstalk(rate, below + 1u);
        return from - (from - to) * over / (4u * ONE);
    }
    return with_crosstalk(rate, below + 1u);
}

static uint64_t crossing_rate(const struct board_model *b)
{
    uint64_t over = overvoltage_mV(b);
    if (over == 0)
        return 0;
    uint64_t single = ((DARK_RATE * warmth(b)) >> 16) + (uint64_t)LIGHT_RATE_PER_NA * light_nA(b);
    uint64_t fine = (uint64_t)b->comparator_mV * 16u * NOMINAL_MV * ONE / PHOTOELECTRON_MV / over;
    uint64_t sixteenths = fine / ONE;
    if (sixteenths >= 16u * MOST_STEPS)
        return 0;
    return staircase(with_overvoltage(b, single), (uint32_t)sixteenths, (uint32_t)(fine % ONE));
}

static void count_crossings(struct board_model *b, uint32_t steps)
{
    uint64_t rate = crossing_rate(b);
    if (rate > UINT32_MAX)
        rate = UINT32_MAX;
    b->crossings_rest += rate * steps;
    b->crossings += (uint32_t)(b->crossings_rest / 10000u);
    b->crossings_rest %= 10000u;
}

/* --- what the HAL calls --------------------------------------------------------------------- */

static void show(struct board_model *b)
{
    b->world[TOMOSHIBI_WORLD_SHOWN_BIAS_MV / 4u] = bias_mV(b);
    b->world[TOMOSHIBI_WORLD_SHOWN_DAC_MV / 4u] = b->dac_mV;
}

void board_model_start(struct board_model *b, volatile uint32_t *world, uint32_t counter)
{
    b->world = world;
    b->counter = counter;
    b->dac_mV = 0;
    b->comparator_mV = 0;
    b->bias_nV = 0;
    b->crossings_rest = 0;
    b->crossings = 0;
    show(b);
}

void board_model_step(struct board_model *b, uint32_t counter)
{
    uint32_t steps = (counter - b->counter) / STEP_COUNTS;
    if (steps == 0)
        return;
    b->counter += steps * STEP_COUNTS;
    count_crossings(b, steps);
    bias_follow(b, steps);
    show(b);
}

void board_model_dac(struct board_model *b, uint32_t millivolt)
{
    b->dac_mV = millivolt > 100000u ? 100000u : millivolt;
    show(b);
}

void board_model_comparator(struct board_model *b, uint32_t millivolt)
{
    b->comparator_mV = millivolt > 10000u ? 10000u : millivolt;
}

uint32_t board_model_count(const struct board_model *b)
{
    return b->crossings;
}

int32_t board_model_adc(const struct board_model *b, int what)
{
    switch (what) {
    case HAL_BIAS_MV:
        return (int32_t)bias_mV(b);
    case HAL_CURRENT_NA:
        return current_nA(b);
    case HAL_TEMPERATURE_CC:
        return temperature_cC(b);
    default:
        return supply_mV(b);
    }
}

int board_model_interlock_closed(const struct board_model *b)
{
    return world_get(b, TOMOSHIBI_WORLD_INTERLOCK_CLOSED) != 0;
}
