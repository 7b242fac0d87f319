/* SPDX-License-Identifier: Apache-2.0
 *
 * Copy, fill and compare bytes, and numbers in little-endian bytes: what the core needs of a libc.
 */
#ifndef TOMOSHIBI_MEMORY_H
#define TOMOSHIBI_MEMORY_H

#include <stdint.h>

/* The two areas must not overlap, except that `to` may lie before `from`. */
void mem_copy(void *to, const void *from, uint32_t count);
void mem_set(void *to, uint8_t value, uint32_t count);
int mem_equal(const void *a, const void *b, uint32_t count); /* 1: equal */

static inline uint16_t mem_get16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | ((uint32_t)bytes[1] << 8));
}

static inline uint32_t mem_get32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | ((uint32_t)bytes[1] << 8) | ((uint32_t)bytes[2] << 16) |
           ((uint32_t)bytes[3] << 24);
}

static inline uint64_t mem_get64(const uint8_t *bytes)
{
    return (uint64_t)mem_get32(bytes) | ((uint64_t)mem_get32(bytes + 4) << 32);
}

static inline void mem_put16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void mem_put32(uint8_t *bytes, uint32_t value)
{
    mem_put16(bytes, value);
    mem_put16(bytes + 2, value >> 16);
}

static inline void mem_put64(uint8_t *bytes, uint64_t value)
{
    mem_put32(bytes, (uint32_t)value);
    mem_put32(bytes + 4, (uint32_t)(value >> 32));
}

#endif
