/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of the generated dictionary.
 */
#include "base/dictionary.h"

#include "base/dictionary_data.h"
#include "base/memory.h"

uint32_t dictionary_bytes(void)
{
    return DICTIONARY_BYTES;
}

uint32_t dictionary_crc(void)
{
    return DICTIONARY_CRC;
}

uint32_t dictionary_piece(uint32_t offset, uint8_t *to, uint32_t most)
{
    uint32_t left = offset < DICTIONARY_BYTES ? DICTIONARY_BYTES - offset : 0u;
    uint32_t count = most < left ? most : left;
    if (count > 0u) {
        mem_copy(to, dictionary_data + offset, count);
    }
    return count;
}
