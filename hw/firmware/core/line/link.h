/* SPDX-License-Identifier: Apache-2.0
 *
 * The serial line: packets in, judged, each command answered once; replies, notices and data
 * frames out, whole packets, never mixed. Replies and notices go before the next data frame; a
 * command is taken in only when its reply has room, so that none is ever lost here.
 *
 * Every byte that comes in is counted under one heading: bytes_in = good_bytes + invalid_bytes +
 * empty_bytes + those of the packet that has not ended.
 */
#ifndef TOMOSHIBI_LINK_H
#define TOMOSHIBI_LINK_H

#include <stdint.h>

#include "base/cobs.h"
#include "tomoshibi_control.h"

struct module;

#define LINK_MESSAGE_MOST (TOMOSHIBI_MESSAGE_BYTES + TOMOSHIBI_CONTROL_MAX_PAYLOAD)
#define LINK_INPUT_BYTES 512u
#define LINK_DRAIN_MS 1000u    /* a reset or a new speed waits so long for the line to empty */
#define LINK_BAUD_MS 1000u     /* a new speed that brings no good command is given up */
#define LINK_HELLO_MS 1000u
#define LINK_FRAME_MS 1000u    /* a data frame that stands still in the middle is given up */
#define LINK_QUEUE_BYTES 8192u /* encoded replies and notices */
#define LINK_STAGE_BYTES 4096u /* encoded piece of a data frame */

/* What the module remembers of the last command: a repeat is answered from here. */
struct link_memory {
    uint16_t sequence;
    uint16_t bytes; /* of the reply; 0: nothing remembered */
    uint32_t crc;   /* of the command */
    uint8_t reply[LINK_MESSAGE_MOST];
};

struct link_counters {
    uint32_t bytes_in;
    uint32_t good_bytes;
    uint32_t invalid_bytes;
    uint32_t empty_bytes;
    uint32_t bytes_out;
    uint32_t invalid_packets; /* damaged: COBS, CRC, magic, length or kind */
    uint32_t overlong;        /* of these: longer than any message */
    uint32_t commands;
    uint32_t repeats;
    uint32_t refused;
    uint32_t notices_dropped; /* no room: nobody reads the line */
};

struct link {
    struct link_counters counters;
    struct cobs_decoder decoder;
    struct cobs_encoder line;  /* replies and notices */
    struct cobs_encoder stage; /* data frames */
    uint64_t heard;            /* m->now at the last good command */
    uint64_t hello_due;
    uint64_t baud_until;       /* when an unconfirmed speed is given up */
    uint64_t drain_until;      /* when a reset or a new speed waits no longer for the line */
    uint64_t frame_seen;       /* m->now when the last bytes of a data frame were offered */
    uint32_t baud;
    uint32_t baud_before;      /* 0: the speed is confirmed */
    uint32_t baud_wanted;      /* 0: no change asked for */
    uint32_t input_from;
    uint32_t input_end;
    uint16_t notice_number;
    uint8_t host_heard;        /* a good command came since the start */
    uint8_t leaving;           /* reset once the line is empty */
    uint8_t frame_open;        /* a data frame's packet is begun and not wholly in the stage */
    uint8_t moved;             /* bytes came or went in the last link_poll */
    struct link_memory memory;
    uint64_t message[(LINK_MESSAGE_MOST + 7u) / 8u]; /* the packet that comes in; aligned */
    uint8_t input[LINK_INPUT_BYTES];
    uint8_t queue[LINK_QUEUE_BYTES];
    uint8_t staged[LINK_STAGE_BYTES];
};

void link_start(struct module *m);
void link_poll(struct module *m);
void link_hello(struct module *m); /* the HELLO notice, now */

/* 0: no room, the notice is dropped and counted; room for one reply is always kept. */
int link_notice(struct module *m, uint16_t code, const void *payload, uint32_t bytes);

/* Put `count` bytes of a data frame on the line; `ends`: they are its last. Returns how many it
 * took: fewer when the line is slow, or 0 before a frame's first byte while replies wait. The
 * frame is over when a call with `ends` took all. */
uint32_t link_frame_bytes(struct module *m, const uint8_t *bytes, uint32_t count, int ends);
void link_frame_abandon(struct module *m); /* the rest of it will not come: the host sees damage */

void link_reset_after_reply(struct module *m);
void link_baud_after_reply(struct module *m, uint32_t baud);
/* Since the last good command, or the start; saturates. */
uint32_t link_host_silent_ms(const struct module *m);

#endif
