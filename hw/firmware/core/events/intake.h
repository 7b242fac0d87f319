/* SPDX-License-Identifier: Apache-2.0
 *
 * From hits to event words. Each hit ends in exactly one counter, asked in this order: invalid (no
 * such channel or kind), masked (its channel is off), below the threshold, dead, lost (the frame is
 * full), word. Hits below the threshold begin no dead time; lost ones do.
 *
 * Words of kind gate and angle come from the detector ready made: they pass into the frame as they
 * are. One that finds the frame full counts as a hit that was lost.
 */
#ifndef TOMOSHIBI_INTAKE_H
#define TOMOSHIBI_INTAKE_H

#include <stdint.h>

struct module;

void intake_begin(struct module *m); /* a run begins */
/* Take hits from `words` until one is a mark, or `count` are taken: returns how many. */
uint32_t intake_take(struct module *m, const uint64_t *words, uint32_t count);

#endif
