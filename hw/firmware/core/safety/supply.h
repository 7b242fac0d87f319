/* SPDX-License-Identifier: Apache-2.0
 *
 * The bias supply and its surroundings: what it is told, what is measured, and whether that is
 * allowed. It decides nothing: bias.c moves the set value, faults.c switches off.
 */
#ifndef TOMOSHIBI_SUPPLY_H
#define TOMOSHIBI_SUPPLY_H

#include <stdint.h>

struct module;

#define SUPPLY_ASTRAY_MS 200u /* so long away from the set value is a regulation fault */
#define SUPPLY_ASTRAY_TOLERANCES 5

static inline uint32_t distance_mV(uint32_t a, uint32_t b)
{
    return a > b ? a - b : b - a;
}

void supply_set(struct module *m, uint32_t millivolt);
void supply_off(struct module *m); /* at once, without the slew limit; nothing is ordered any more */
void supply_measure(struct module *m); /* voltage, current, temperature, supply, interlock */
uint32_t supply_tolerance_mV(const struct module *m);
/* Whether what was measured last violates what this fault watches; what was found and allowed. */
int supply_violates(const struct module *m, uint16_t fault, int32_t *value, int32_t *limit);

#endif
