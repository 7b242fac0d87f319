/* SPDX-License-Identifier: Apache-2.0
 *
 * The fuzzer's parts: fuzz.c has the lives, fuzz_send.c what happens in them, fuzz_check.c what
 * must hold all the while. Everything random comes from the life's seed.
 */
#ifndef TOMOSHIBI_FUZZ_H
#define TOMOSHIBI_FUZZ_H

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

/* Turns of the main loop, checked one by one; resets that the module asks for happen. */
void fuzz_turns(uint32_t count, uint32_t step_ticks);

void fuzz_send_begin(void);     /* a life begins */
void fuzz_step(void);           /* something happens to the module */
void fuzz_send_hello(void);     /* undamaged */
void fuzz_check_begin(void);    /* a life begins */
void fuzz_check_turn(void);     /* what the module sent, and what it is */

#endif
