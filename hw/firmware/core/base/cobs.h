/* SPDX-License-Identifier: Apache-2.0
 *
 * Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999), streaming, in bounded buffers:
 * packets without a zero byte, each followed by one. The encoding is the shortest one: a packet
 * that ends with a full block of 254 bytes has no empty block behind it.
 */
#ifndef TOMOSHIBI_COBS_H
#define TOMOSHIBI_COBS_H

#include <stdint.h>

/* Bytes on the line at most for a packet of `count` bytes, its zero included. */
#define COBS_ENCODED_MOST(count) ((count) + (count) / 254u + 2u)
/* Room that must be there before a block is begun: the block, an empty one, and the zero. */
#define COBS_BLOCK_ROOM 257u

/* Packets go in. Encoded bytes lie in `bytes` from `from` to `closed`, ready to be sent; those up
 * to `end` belong to a block that is still open. */
struct cobs_encoder {
    uint8_t *bytes;
    uint32_t size;
    uint32_t from;
    uint32_t closed;
    uint32_t end;
    uint8_t in_packet;  /* a packet is begun and not ended */
    uint8_t after_zero; /* its last byte so far was a zero, whose block is closed */
};

void cobs_encoder_start(struct cobs_encoder *e, uint8_t *bytes, uint32_t size);
/* How many of the bytes it took: all, or as many as there was room for. */
uint32_t cobs_encode(struct cobs_encoder *e, const uint8_t *bytes, uint32_t count);
/* Ends the packet. 0: no room, which cannot be once a byte of the packet was taken. */
int cobs_encode_end(struct cobs_encoder *e);
/* Gives up the packet that is begun, and puts a zero on the line in any case. 0: no room. */
int cobs_encode_cut(struct cobs_encoder *e);
int cobs_encoder_fits(struct cobs_encoder *e, uint32_t count); /* a packet of so many bytes */
uint32_t cobs_encoder_ready(const struct cobs_encoder *e);     /* bytes + from: how many */
void cobs_encoder_sent(struct cobs_encoder *e, uint32_t count);

enum cobs_found {
    COBS_NOTHING,  /* all bytes were taken, no packet ended */
    COBS_PACKET,   /* `count` bytes of a packet lie in `bytes` */
    COBS_EMPTY,    /* a zero behind a zero: nothing */
    COBS_DAMAGED   /* a packet ended in the middle of a block, or was longer than `size` */
};

/* Encoded bytes go in, one packet at a time comes out. After damage it is in step again at the
 * next zero. */
struct cobs_decoder {
    uint8_t *bytes;
    uint32_t size;
    uint32_t count;    /* decoded bytes of the present packet */
    uint32_t raw;      /* bytes on the line of the present packet, its zero included */
    uint32_t left;     /* bytes that the present block still has */
    uint8_t full;      /* the present block is a full one: no zero follows it */
    uint8_t overlong;  /* the packet did not fit: what follows is only counted */
    uint8_t ended;     /* the last call ended a packet: begin anew */
};

void cobs_decoder_start(struct cobs_decoder *d, uint8_t *bytes, uint32_t size);
/* Takes bytes until a packet ends; *taken says how many. The packet stays until the next call. */
enum cobs_found cobs_decode(struct cobs_decoder *d, const uint8_t *bytes, uint32_t count,
                            uint32_t *taken);

#endif
