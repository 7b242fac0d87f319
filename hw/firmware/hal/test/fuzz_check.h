/* SPDX-License-Identifier: Apache-2.0
 *
 * Turns of a fuzzed module, and what must hold after each.
 */
#ifndef TOMOSHIBI_FUZZ_CHECK_H
#define TOMOSHIBI_FUZZ_CHECK_H

#include <stdint.h>

void fuzz_check_begin(void);    /* a life begins */
/* Turns of the main loop, checked one by one; resets that the module asks for happen. */
void fuzz_turns(uint32_t count, uint32_t step_ticks);

#endif
