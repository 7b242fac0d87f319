/* SPDX-License-Identifier: Apache-2.0
 *
 * The data dictionary that the module serves: JSON, UTF-8, made by `python -m hw.generate`. With
 * it a program that has never seen this firmware can drive it.
 */
#ifndef TOMOSHIBI_DICTIONARY_H
#define TOMOSHIBI_DICTIONARY_H

#include <stdint.h>

uint32_t dictionary_bytes(void);
uint32_t dictionary_crc(void);
/* Copies up to `most` bytes from `offset` on; returns how many: 0 at and behind the end. */
uint32_t dictionary_piece(uint32_t offset, uint8_t *to, uint32_t most);

#endif
