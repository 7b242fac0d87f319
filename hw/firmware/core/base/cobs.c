/* SPDX-License-Identifier: Apache-2.0
 *
 * A block is a code byte and up to 254 bytes that are not zero; the code is the block's length.
 * Behind every block but a full one (code 255) and a packet's last one a zero is left out.
 */
#include "base/cobs.h"

#include "base/memory.h"

#define FULL_CODE 255u

void cobs_encoder_start(struct cobs_encoder *e, uint8_t *bytes, uint32_t size)
{
    e->bytes = bytes;
    e->size = size;
    e->from = 0;
    e->closed = 0;
    e->end = 0;
    e->in_packet = 0;
}

uint32_t cobs_encoder_ready(const struct cobs_encoder *e)
{
    return e->closed - e->from;
}

void cobs_encoder_sent(struct cobs_encoder *e, uint32_t count)
{
    e->from += count;
    if (e->from == e->end) { /* nothing left, no open block: begin at the front again */
        e->from = 0;
        e->closed = 0;
        e->end = 0;
    }
}

/* Moving what is left to the front costs its length, so it waits until half has been sent. */
static uint32_t encoder_room(struct cobs_encoder *e, uint32_t wanted)
{
    if (e->size - e->end < wanted && e->from >= e->size / 2u) {
        mem_copy(e->bytes, e->bytes + e->from, e->end - e->from);
        e->end -= e->from;
        e->closed -= e->from;
        e->from = 0;
    }
    return e->size - e->end;
}

int cobs_encoder_fits(struct cobs_encoder *e, uint32_t count)
{
    uint32_t wanted = COBS_ENCODED_MOST(count) + COBS_BLOCK_ROOM;
    return encoder_room(e, wanted) >= wanted;
}

static void close_block(struct cobs_encoder *e)
{
    e->bytes[e->closed] = (uint8_t)(e->end - e->closed);
    e->closed = e->end;
}

/* Fills the open block up to a zero, which closes it, or until it is full. */
static uint32_t fill_block(struct cobs_encoder *e, const uint8_t *bytes, uint32_t count)
{
    uint8_t *to = e->bytes + e->end;
    uint32_t room = FULL_CODE - (e->end - e->closed);
    uint32_t most = count < room ? count : room;
    uint32_t n = 0;
    while (n < most && bytes[n] != 0u) {
        to[n] = bytes[n];
        n++;
    }
    e->end += n;
    if (n == room) {
        close_block(e);
        return n;
    }
    if (n < most) { /* a zero: it is left out */
        close_block(e);
        e->after_zero = 1;
        return n + 1u;
    }
    return n;
}

uint32_t cobs_encode(struct cobs_encoder *e, const uint8_t *bytes, uint32_t count)
{
    uint32_t taken = 0;
    while (taken < count) {
        if (e->end == e->closed) { /* no block is open */
            if (encoder_room(e, COBS_BLOCK_ROOM) < COBS_BLOCK_ROOM) {
                break;
            }
            e->end++; /* its code, known when it is closed */
            e->in_packet = 1;
            e->after_zero = 0;
        }
        taken += fill_block(e, bytes + taken, count - taken);
    }
    return taken;
}

int cobs_encode_end(struct cobs_encoder *e)
{
    if (!e->in_packet && encoder_room(e, 2u) < 2u) {
        return 0;
    }
    if (e->end > e->closed) {
        close_block(e);
    } else if (!e->in_packet || e->after_zero) {
        e->bytes[e->end++] = 1; /* an empty block: nothing, or the zero before it, was left out */
        e->closed = e->end;
    }
    e->bytes[e->end++] = 0;
    e->closed = e->end;
    e->in_packet = 0;
    e->after_zero = 0;
    return 1;
}

int cobs_encode_cut(struct cobs_encoder *e)
{
    if (encoder_room(e, 1u) < 1u) {
        return 0;
    }
    e->end = e->closed;
    e->bytes[e->end++] = 0;
    e->closed = e->end;
    e->in_packet = 0;
    e->after_zero = 0;
    return 1;
}

void cobs_decoder_start(struct cobs_decoder *d, uint8_t *bytes, uint32_t size)
{
    mem_set(d, 0, (uint32_t)sizeof *d);
    d->bytes = bytes;
    d->size = size;
    d->ended = 1;
}

static void put(struct cobs_decoder *d, uint8_t byte)
{
    if (d->count < d->size) {
        d->bytes[d->count++] = byte;
    } else {
        d->overlong = 1;
    }
}

static void begin_packet(struct cobs_decoder *d)
{
    d->count = 0;
    d->raw = 0;
    d->left = 0;
    d->full = 0;
    d->overlong = 0;
    d->ended = 0;
}

static void take(struct cobs_decoder *d, uint8_t byte)
{
    if (d->left > 0u) {
        put(d, byte);
        d->left--;
        return;
    }
    if (d->raw > 1u && !d->full) {
        put(d, 0);
    }
    d->left = byte - 1u;
    d->full = byte == FULL_CODE;
}

static enum cobs_found judge(const struct cobs_decoder *d)
{
    if (d->raw == 1u) {
        return COBS_EMPTY;
    }
    return d->overlong || d->left > 0u ? COBS_DAMAGED : COBS_PACKET;
}

enum cobs_found cobs_decode(struct cobs_decoder *d, const uint8_t *bytes, uint32_t count,
                            uint32_t *taken)
{
    uint32_t i;
    if (d->ended && count > 0u) {
        begin_packet(d);
    }
    for (i = 0; i < count; i++) {
        d->raw += d->raw < UINT32_MAX;
        if (bytes[i] == 0u) {
            d->ended = 1;
            *taken = i + 1u;
            return judge(d);
        }
        take(d, bytes[i]);
    }
    *taken = count;
    return COBS_NOTHING;
}
