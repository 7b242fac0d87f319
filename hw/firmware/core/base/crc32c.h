/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C (Castagnoli, RFC 3720), eight bytes a step. Chainable: the CRC of two pieces is
 * crc32c(crc32c(0, first, n), second, m), and crc32c(0, anything, 0) is 0.
 */
#ifndef TOMOSHIBI_CRC32C_H
#define TOMOSHIBI_CRC32C_H

#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *bytes, uint32_t count);

#endif
