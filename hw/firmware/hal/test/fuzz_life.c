/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_life.h"

#include <stdio.h>
#include <stdlib.h>

#include "test_board.h"

struct fuzz fuzz;

uint32_t fuzz_any(uint32_t below) /* xorshift64*, Vigna 2016 */
{
    fuzz.state ^= fuzz.state >> 12;
    fuzz.state ^= fuzz.state << 25;
    fuzz.state ^= fuzz.state >> 27;
    return (uint32_t)((fuzz.state * UINT64_C(2685821657736338717)) >> 33) % below;
}

void fuzz_fail(const char *what, uint32_t value)
{
    fprintf(stderr, "fuzz: %s: %u (%#x); repeat: tomoshibi-fuzz %llu 1\n", what, (unsigned)value,
            (unsigned)value, (unsigned long long)fuzz.seed);
    abort();
}

uint32_t *fuzz_window(void)
{
    return (uint32_t *)(void *)test_window();
}
