/* SPDX-License-Identifier: Apache-2.0
 *
 * The SiPM bias: never above bias_max_mV, never faster than bias_slew, never on while a fault is
 * latched or the host is silent. Every turn looks at voltage, current, temperature, supply,
 * interlock and host before it moves the set value, so that a fault acts within one turn.
 *
 * target = requested + temperature_coefficient * (temperature - temperature_reference_cC) / 100,
 * between 0 and bias_max_mV.
 */
#ifndef TOMOSHIBI_BIAS_H
#define TOMOSHIBI_BIAS_H

#include <stdint.h>

struct module;

#define BIAS_OFF_MV 1000u             /* below this it counts as off */
#define BIAS_ASTRAY_MS 200u           /* so long away from the set value is a regulation fault */
#define BIAS_ASTRAY_TOLERANCES 5
#define BIAS_LONGEST_STEP_US 20000u   /* a later turn does not ramp further than this allows */

struct bias {
    uint32_t state;             /* TOMOSHIBI_BIAS_x */
    uint32_t requested_mV;      /* at the reference temperature; 0: off */
    uint32_t target_mV;         /* with temperature compensation, at most bias_max_mV */
    uint32_t set_mV;            /* what the supply was told */
    uint32_t measured_mV;
    uint32_t current_nA;
    uint32_t supply_mV;
    int32_t temperature_cC;
    int interlock_closed;
    uint16_t epoch;             /* goes into every frame; wraps */
    int32_t epoch_cC;           /* temperature at which the epoch began */
    uint32_t epoch_mV;          /* requested voltage of the epoch */
    int32_t epoch_coefficient, epoch_reference_cC;
    uint64_t ramped_at;         /* counter up to which the ramp has come */
    uint64_t ramp_rest;         /* part of a millivolt, in mV times counter frequency */
    uint64_t astray_since;      /* counter; meaningful while `astray` */
    int astray;                 /* further than five tolerances from the set value */
};

void bias_start(struct module *m);  /* bias 0, first measurements; epoch 0 */
/* Status: ok, bad_value (above bias_max_mV), faulted, bad_state. 0 ramps down and switches off. */
uint16_t bias_set(struct module *m, uint32_t target_mV);
void bias_safe(struct module *m);   /* switches off at once, without the slew limit */
void bias_poll(struct module *m);   /* every turn: measure, check, move */
void bias_measure(struct module *m); /* reads voltage, current, temperature, supply, interlock */
/* Whether what was measured last violates what this fault watches; what was found and allowed. */
int bias_violates(const struct module *m, uint16_t fault, int32_t *value, int32_t *limit);
int bias_is_on(const struct module *m);          /* steady at its target */
uint32_t bias_state(const struct module *m);     /* TOMOSHIBI_BIAS_x */
uint16_t bias_epoch(const struct module *m);     /* temperature and bias epoch */
void bias_new_epoch(struct module *m);           /* gains changed: calibrations no longer hold */

#endif
