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
#define BIAS_LONGEST_STEP_US 20000u   /* a later turn does not ramp further than this allows */

void bias_start(struct module *m);  /* bias 0, first measurements; epoch 0 */
/* Status: ok, bad_value (above bias_max_mV), faulted, bad_state. 0 ramps down and switches off. */
uint16_t bias_set(struct module *m, uint32_t target_mV);
void bias_poll(struct module *m);   /* every turn: measure, check, move */
int bias_is_on(const struct module *m);          /* steady at its target */
uint32_t bias_state(const struct module *m);     /* TOMOSHIBI_BIAS_x */
uint16_t bias_epoch(const struct module *m);     /* temperature and bias epoch */
void bias_new_epoch(struct module *m);           /* gains changed: calibrations no longer hold */

#endif
