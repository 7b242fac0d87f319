/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may write on the line: a data frame whose packet is begun until it ends, then replies and
 * notices, then the next data frame.
 */
#include "line/link.h"

#include "base/cobs.h"
#include "base/crc32c.h"
#include "base/memory.h"
#include "hal.h"
#include "state/module.h"

#define FORGET_READS 256u /* 128 KiB: more than any board keeps */
#define TICKS(ms) ((uint64_t)(ms) * MODULE_TICKS_PER_MS)

/* --- out ----------------------------------------------------------------------------------- */

static void push(struct link *l, struct cobs_encoder *e)
{
    uint32_t ready = cobs_encoder_ready(e);
    uint32_t took = ready > 0u ? hal_serial_write(e->bytes + e->from, ready) : 0u;
    if (took > 0u) {
        cobs_encoder_sent(e, took);
        l->counters.bytes_out += took;
        l->moved = 1;
    }
}

static void send(struct link *l)
{
    push(l, &l->stage);
    if (!l->frame_open && cobs_encoder_ready(&l->stage) == 0u) {
        push(l, &l->line);
    }
}

static int all_is_sent(const struct link *l)
{
    return !l->frame_open && cobs_encoder_ready(&l->stage) == 0u &&
           cobs_encoder_ready(&l->line) == 0u;
}

int link_is_closing(const struct link *l)
{
    return l->leaving || l->baud_wanted != 0u;
}

void link_write_header(struct tomoshibi_message_header *h, uint8_t kind, uint16_t code,
                       uint32_t length)
{
    h->magic = TOMOSHIBI_CONTROL_MAGIC;
    h->version = TOMOSHIBI_CONTROL_VERSION;
    h->kind = kind;
    h->code = code;
    h->length = (uint16_t)length;
}

uint32_t link_message_crc(const struct tomoshibi_message_header *h, const void *payload)
{
    return crc32c(crc32c(0, h, TOMOSHIBI_MESSAGE_CRC_OFFSET), payload, h->length);
}

void link_queue(struct link *l, const void *head, const void *body, uint32_t body_bytes)
{
    (void)cobs_encode(&l->line, head, TOMOSHIBI_MESSAGE_BYTES);
    (void)cobs_encode(&l->line, body, body_bytes);
    (void)cobs_encode_end(&l->line);
}

int link_notice(struct module *m, uint16_t code, const void *payload, uint32_t bytes)
{
    struct link *l = &m->link;
    struct tomoshibi_message_header h;
    if (bytes > TOMOSHIBI_CONTROL_MAX_PAYLOAD || link_is_closing(l) ||
        !cobs_encoder_fits(&l->line, TOMOSHIBI_MESSAGE_BYTES + bytes + 2u * LINK_MESSAGE_MOST)) {
        l->counters.notices_dropped++;
        return 0;
    }
    link_write_header(&h, TOMOSHIBI_MESSAGE_NOTICE, code, bytes);
    h.sequence = l->notice_number++;
    h.crc = link_message_crc(&h, payload);
    link_queue(l, &h, payload, bytes);
    return 1;
}

uint32_t link_frame_bytes(struct module *m, const uint8_t *bytes, uint32_t count, int ends)
{
    struct link *l = &m->link;
    uint32_t taken = 0;
    uint32_t more;
    l->frame_seen = m->now;
    if (!l->frame_open) {
        send(l);
        if (link_is_closing(l) || !all_is_sent(l)) {
            return 0;
        }
        l->frame_open = 1;
    }
    do {
        more = cobs_encode(&l->stage, bytes + taken, count - taken);
        taken += more;
        push(l, &l->stage);
    } while (more > 0u && taken < count);
    if (ends && taken == count && cobs_encode_end(&l->stage)) {
        l->frame_open = 0;
        push(l, &l->stage);
    }
    return taken;
}

void link_frame_abandon(struct module *m)
{
    struct link *l = &m->link;
    if (l->frame_open && cobs_encode_cut(&l->stage)) {
        l->frame_open = 0;
    }
}

/* --- what waits for the line to empty ------------------------------------------------------ */

void link_reset_after_reply(struct module *m)
{
    m->link.leaving = 1;
    m->link.drain_until = m->now + TICKS(LINK_DRAIN_MS);
}

void link_baud_after_reply(struct module *m, uint32_t baud)
{
    m->link.baud_wanted = baud;
    m->link.drain_until = m->now + TICKS(LINK_DRAIN_MS);
}

static void set_baud(struct link *l, uint32_t baud)
{
    l->baud = baud;
    hal_serial_baud(baud);
    (void)cobs_encode_cut(&l->line); /* a zero: whatever the change made of the line ends here */
}

static void close_line(struct module *m)
{
    struct link *l = &m->link;
    int empty = all_is_sent(l) && hal_serial_waiting() == 0u;
    if (!empty && m->now < l->drain_until) {
        return;
    }
    if (l->leaving) {
        l->leaving = 0;
        hal_reset();
    } else if (empty) {
        l->baud_before = l->baud;
        l->baud_until = m->now + TICKS(LINK_BAUD_MS);
        set_baud(l, l->baud_wanted);
    }
    l->baud_wanted = 0;
}

/* --- start and turn ------------------------------------------------------------------------ */

static void look_at_clock(struct module *m)
{
    struct link *l = &m->link;
    if (l->baud_before != 0u && m->now >= l->baud_until) {
        set_baud(l, l->baud_before);
        l->baud_before = 0;
    }
    if (m->now - l->frame_seen >= TICKS(LINK_FRAME_MS)) {
        link_frame_abandon(m);
    }
}

/* What was said to the program before a reset is void: no order outlives it. At power-on nothing
 * is there but a host's first HELLO. Bounded, for a host may go on talking. */
static void forget_input(struct link *l)
{
    uint32_t reads = FORGET_READS;
    while (reads > 0u && hal_serial_read(l->input, LINK_INPUT_BYTES) > 0u) {
        reads--;
    }
}

void link_start(struct module *m)
{
    struct link *l = &m->link;
    mem_set(l, 0, (uint32_t)sizeof *l);
    if (hal_reset_cause() != TOMOSHIBI_RESET_POWER_ON) {
        forget_input(l);
    }
    cobs_decoder_start(&l->decoder, (uint8_t *)l->message, LINK_MESSAGE_MOST);
    cobs_encoder_start(&l->line, l->queue, LINK_QUEUE_BYTES);
    cobs_encoder_start(&l->stage, l->staged, LINK_STAGE_BYTES);
    l->hello_due = m->now;
    set_baud(l, TOMOSHIBI_BAUD_DEFAULT); /* and a zero: a reset may have cut a packet */
}

void link_begin_turn(struct module *m)
{
    m->link.moved = 0;
    send(&m->link);
}

void link_end_turn(struct module *m)
{
    look_at_clock(m);
    if (link_is_closing(&m->link)) {
        close_line(m);
    }
    send(&m->link);
}
