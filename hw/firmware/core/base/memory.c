/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain loops: the compiler makes of them what the machine does best, but never calls of memcpy,
 * for the build says -ffreestanding and the image has none.
 */
#include "base/memory.h"

void mem_copy(void *to, const void *from, uint32_t count)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    while (count >= 4u) {
        mem_put32(t, mem_get32(f));
        t += 4;
        f += 4;
        count -= 4u;
    }
    while (count > 0u) {
        *t++ = *f++;
        count--;
    }
}

void mem_set(void *to, uint8_t value, uint32_t count)
{
    uint8_t *t = to;
    while (count > 0u) {
        *t++ = value;
        count--;
    }
}

int mem_equal(const void *a, const void *b, uint32_t count)
{
    const uint8_t *x = a;
    const uint8_t *y = b;
    uint32_t differs = 0;
    while (count > 0u) {
        differs |= (uint32_t)(*x++ ^ *y++);
        count--;
    }
    return differs == 0u;
}
