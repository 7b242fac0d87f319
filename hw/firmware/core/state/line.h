/* SPDX-License-Identifier: Apache-2.0
 *
 * What the serial line and the frames' memory remember; the functions are in line/.
 */
#ifndef TOMOSHIBI_STATE_LINE_H
#define TOMOSHIBI_STATE_LINE_H

#include <stdint.h>

#include "base/cobs.h"
#include "tomoshibi_control.h"

#define LINK_MESSAGE_MOST (TOMOSHIBI_MESSAGE_BYTES + TOMOSHIBI_CONTROL_MAX_PAYLOAD)
#define LINK_INPUT_BYTES 512u
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
    uint8_t moved;             /* bytes came or went in this turn */
    struct link_memory memory;
    uint64_t message[(LINK_MESSAGE_MOST + 7u) / 8u]; /* the packet that comes in; aligned */
    uint8_t input[LINK_INPUT_BYTES];
    uint8_t queue[LINK_QUEUE_BYTES];
    uint8_t staged[LINK_STAGE_BYTES];
};

struct outbox {
    uint64_t moved_at;       /* when the consumer last moved, or had nothing to do */
    uint32_t head;           /* what is shared of it is a copy: the host may write there */
    uint32_t tail_seen;
    uint32_t line_seen;      /* bytes that had gone on the serial line */
    uint32_t path;           /* TOMOSHIBI_PATH_x of the frame that is being sent */
    uint32_t sending;        /* bytes of the frame that went in part; 0: none */
    uint32_t sent;           /* bytes of it that went */
    uint32_t datagrams;      /* sent in this run: the next one's number */
    uint32_t frames;         /* made since the start */
    uint32_t frames_dropped; /* since the start */
};

#endif
