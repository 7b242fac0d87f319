/* SPDX-License-Identifier: Apache-2.0
 *
 * Slicing by eight (Kounavis and Berry, IEEE ISCC 2005): table k holds the CRC of a byte that has
 * k zero bytes behind it, so eight bytes are looked up independently of each other.
 */
#include "base/crc32c.h"

#include "base/crc32c_data.h"
#include "base/memory.h"

static uint32_t crc_byte(uint32_t crc, uint8_t byte)
{
    return (crc >> 8) ^ crc32c_tables[0][(crc ^ byte) & 0xFFu];
}

uint32_t crc32c(uint32_t crc, const void *bytes, uint32_t count)
{
    const uint8_t *b = bytes;
    crc = ~crc;
    while (count >= 8u) {
        uint32_t low = mem_get32(b) ^ crc;
        uint32_t high = mem_get32(b + 4);
        crc = crc32c_tables[7][low & 0xFFu] ^ crc32c_tables[6][(low >> 8) & 0xFFu] ^
              crc32c_tables[5][(low >> 16) & 0xFFu] ^ crc32c_tables[4][low >> 24] ^
              crc32c_tables[3][high & 0xFFu] ^ crc32c_tables[2][(high >> 8) & 0xFFu] ^
              crc32c_tables[1][(high >> 16) & 0xFFu] ^ crc32c_tables[0][high >> 24];
        b += 8;
        count -= 8u;
    }
    while (count > 0u) {
        crc = crc_byte(crc, *b++);
        count--;
    }
    return ~crc;
}
