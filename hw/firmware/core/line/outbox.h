/* SPDX-License-Identifier: Apache-2.0
 *
 * The frame memory: frames are made in place, wait there in order, and leave on the data path.
 *
 * A record is its length in bytes (u4, a multiple of 8), four bytes of 0, and the frame; it never
 * wraps: the length OUTBOX_SKIP says that the next record lies at the memory's start. Head and tail
 * count bytes and wrap at 2^32. On data path ring the host moves the tail; on the others the outbox
 * does, as it sends. Nothing that lies in shared memory is believed without a check.
 *
 * Room for a frame of the greatest size is kept before its first word is taken. Where there is none
 * hits wait; where the consumer has not moved for OUTBOX_PATIENCE_MS, frames are dropped whole and
 * counted, until there is room.
 */
#ifndef TOMOSHIBI_OUTBOX_H
#define TOMOSHIBI_OUTBOX_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

#define OUTBOX_SKIP UINT32_C(0xFFFFFFFF)
#define OUTBOX_RECORD_BYTES 8u
#define OUTBOX_PATIENCE_MS 1000u
#define OUTBOX_STEPS 64u /* pieces or frames sent in one turn at most */
#define OUTBOX_TURN_MS 2u /* after which no further one is begun in this turn */

enum outbox_room { OUTBOX_WAIT, OUTBOX_HERE, OUTBOX_DROP };

void outbox_start(struct module *m);
void outbox_poll(struct module *m);         /* sends what the data path takes now */
uint32_t outbox_queued(const struct module *m); /* bytes made and not sent yet */
uint32_t outbox_max_words(void);            /* event words that a frame can hold at most */
/* Room for a frame of `words` event words: OUTBOX_HERE and *frame, where it is made. */
enum outbox_room outbox_reserve(struct module *m, uint32_t words, uint8_t **frame);
void outbox_commit(struct module *m, uint8_t *frame, uint32_t bytes); /* the frame is made */
void outbox_dropped(struct module *m);      /* a frame was dropped */
void outbox_telemetry(const struct module *m, struct tomoshibi_telemetry *t);

#endif
