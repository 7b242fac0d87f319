/* SPDX-License-Identifier: Apache-2.0
 *
 * The serial line, outwards: replies, notices and data frames, whole packets, never mixed. Replies
 * and notices go before the next data frame; a command is taken in (control/exchange.h) only when
 * its reply has room, so that none is ever lost here. And the line's speed and its closing.
 */
#ifndef TOMOSHIBI_LINK_H
#define TOMOSHIBI_LINK_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct link;
struct module;

#define LINK_DRAIN_MS 1000u    /* a reset or a new speed waits so long for the line to empty */
#define LINK_BAUD_MS 1000u     /* a new speed that brings no good command is given up */
#define LINK_FRAME_MS 1000u    /* a data frame that stands still in the middle is given up */

void link_start(struct module *m);
void link_begin_turn(struct module *m); /* sends what waits */
void link_end_turn(struct module *m);   /* what is due on the line; sends */

/* 0: no room, the notice is dropped and counted; room for one reply is always kept. */
int link_notice(struct module *m, uint16_t code, const void *payload, uint32_t bytes);

/* Put `count` bytes of a data frame on the line; `ends`: they are its last. Returns how many it
 * took: fewer when the line is slow, or 0 before a frame's first byte while replies wait. The
 * frame is over when a call with `ends` took all. */
uint32_t link_frame_bytes(struct module *m, const uint8_t *bytes, uint32_t count, int ends);
void link_frame_abandon(struct module *m); /* the rest of it will not come: the host sees damage */

void link_reset_after_reply(struct module *m);
void link_baud_after_reply(struct module *m, uint32_t baud);
/* The line is about to go: nothing new begins on it. */
int link_is_closing(const struct link *l);

/* Messages of whatever kind; the sequence number and the CRC are the caller's. */
void link_write_header(struct tomoshibi_message_header *h, uint8_t kind, uint16_t code,
                       uint32_t length);
uint32_t link_message_crc(const struct tomoshibi_message_header *h, const void *payload);
/* Both pieces of a message that was seen to fit. */
void link_queue(struct link *l, const void *head, const void *body, uint32_t body_bytes);

#endif
