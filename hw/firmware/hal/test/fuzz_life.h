/* SPDX-License-Identifier: Apache-2.0
 *
 * The life under way. Everything random comes from its seed.
 */
#ifndef TOMOSHIBI_FUZZ_LIFE_H
#define TOMOSHIBI_FUZZ_LIFE_H

#include <stdint.h>

#include "tomoshibi_control.h"

#define FUZZ_TICKS_PER_MS (TOMOSHIBI_COUNTER_HZ / 1000u)
#define FUZZ_FRAME_COUNT(name) ((TOMOSHIBI_WINDOW_FRAME_RING + (TOMOSHIBI_RING_##name)) / 4u)
#define FUZZ_HIT_COUNT(name) ((TOMOSHIBI_WINDOW_HIT_RING + (TOMOSHIBI_RING_##name)) / 4u)

struct fuzz {
    uint64_t seed, state;           /* of this life; of its random numbers */
    uint32_t restarts;              /* of this life */
    uint64_t sent, answered, lives; /* packets, replies, boards, ever */
};
extern struct fuzz fuzz;

uint32_t fuzz_any(uint32_t below);
void fuzz_fail(const char *what, uint32_t value); /* does not return */
uint32_t *fuzz_window(void);

#endif
