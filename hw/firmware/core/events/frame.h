/* SPDX-License-Identifier: Apache-2.0
 *
 * One data frame, made in place: words are put behind the place of its header, their CRC is taken
 * while they are warm, the header is filled when the period ends.
 *
 * The CRC covers the header first, which is known last: crc(header, words) follows from
 * crc(header) and crc(words) by a multiplication modulo the polynomial.
 */
#ifndef TOMOSHIBI_FRAME_H
#define TOMOSHIBI_FRAME_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct frame;
struct module;

/* CRC-32C of two pieces from that of each, `words` * 8 bytes in the second. */
uint32_t frame_crc_join(uint32_t first, uint32_t second, uint32_t words);
void frame_begin_run(struct frame *f, uint32_t first_sequence);
int frame_open(struct module *m);   /* 0: no room now */
void frame_take_crc(struct frame *f); /* of the words put in since the last call */
/* Period `period` ends: header, CRC, out; `flags` as in the header. 0: the frame is dropped. */
int frame_close(struct module *m, uint32_t period, uint32_t dead_time, uint32_t flags);

#endif
