/* SPDX-License-Identifier: Apache-2.0
 *
 * Who may write on the line: a data frame whose packet is begun until it ends, then replies and
 * notices, then the next data frame.
 */
#include "line/link.h"

#include "control/commands.h"
#include "base/crc32c.h"
#include "hal.h"
#include "base/memory.h"
#include "state/module.h"

#define READS_A_TURN 4u
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

/* The line is about to go: nothing new begins on it. */
static int is_closing(const struct link *l)
{
    return l->leaving || l->baud_wanted != 0u;
}

static void write_header(struct tomoshibi_message_header *h, uint8_t kind, uint16_t code,
                         uint32_t length)
{
    h->magic = TOMOSHIBI_CONTROL_MAGIC;
    h->version = TOMOSHIBI_CONTROL_VERSION;
    h->kind = kind;
    h->code = code;
    h->length = (uint16_t)length;
}

static uint32_t message_crc(const struct tomoshibi_message_header *h, const void *payload)
{
    return crc32c(crc32c(0, h, TOMOSHIBI_MESSAGE_CRC_OFFSET), payload, h->length);
}

/* Both pieces of a message that was seen to fit. */
static void queue_message(struct link *l, const void *head, const void *body, uint32_t body_bytes)
{
    (void)cobs_encode(&l->line, head, TOMOSHIBI_MESSAGE_BYTES);
    (void)cobs_encode(&l->line, body, body_bytes);
    (void)cobs_encode_end(&l->line);
}

int link_notice(struct module *m, uint16_t code, const void *payload, uint32_t bytes)
{
    struct link *l = &m->link;
    struct tomoshibi_message_header h;
    if (bytes > TOMOSHIBI_CONTROL_MAX_PAYLOAD || is_closing(l) ||
        !cobs_encoder_fits(&l->line, TOMOSHIBI_MESSAGE_BYTES + bytes + 2u * LINK_MESSAGE_MOST)) {
        l->counters.notices_dropped++;
        return 0;
    }
    write_header(&h, TOMOSHIBI_MESSAGE_NOTICE, code, bytes);
    h.sequence = l->notice_number++;
    h.crc = message_crc(&h, payload);
    queue_message(l, &h, payload, bytes);
    return 1;
}

void link_hello(struct module *m)
{
    struct tomoshibi_identity identity;
    identity_fill(m, &identity);
    (void)link_notice(m, TOMOSHIBI_NOTICE_HELLO, &identity, (uint32_t)sizeof identity);
    m->link.hello_due = m->now + TICKS(LINK_HELLO_MS);
}

uint32_t link_frame_bytes(struct module *m, const uint8_t *bytes, uint32_t count, int ends)
{
    struct link *l = &m->link;
    uint32_t taken = 0;
    uint32_t more;
    l->frame_seen = m->now;
    if (!l->frame_open) {
        send(l);
        if (is_closing(l) || !all_is_sent(l)) {
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

/* --- in ------------------------------------------------------------------------------------ */

static void heard(struct module *m)
{
    m->link.heard = m->now;
    m->link.host_heard = 1;
    m->link.baud_before = 0; /* whatever the speed is, it works */
}

uint32_t link_host_silent_ms(const struct module *m)
{
    uint64_t ticks = m->now - m->link.heard;
    uint64_t ms;
    if (ticks <= UINT32_MAX) { /* nearly always, and much cheaper */
        return (uint32_t)ticks / MODULE_TICKS_PER_MS;
    }
    ms = ticks / MODULE_TICKS_PER_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

static void send_reply(struct link *l)
{
    queue_message(l, l->memory.reply, l->memory.reply + TOMOSHIBI_MESSAGE_BYTES,
                  l->memory.bytes - TOMOSHIBI_MESSAGE_BYTES);
}

/* Writes header, status and detail around the reply's fields, which lie in memory already. */
static void seal_reply(struct link *l, const struct tomoshibi_message_header *command,
                       uint16_t status, uint16_t detail, uint32_t reply_bytes)
{
    struct tomoshibi_message_header h;
    uint8_t *payload = l->memory.reply + TOMOSHIBI_MESSAGE_BYTES;
    write_header(&h, TOMOSHIBI_MESSAGE_REPLY, command->code, COMMAND_STATUS_BYTES + reply_bytes);
    h.sequence = command->sequence;
    mem_put16(payload, status);
    mem_put16(payload + 2, detail);
    h.crc = message_crc(&h, payload);
    mem_copy(l->memory.reply, &h, TOMOSHIBI_MESSAGE_BYTES);
    l->memory.sequence = command->sequence;
    l->memory.crc = command->crc;
    l->memory.bytes = (uint16_t)(TOMOSHIBI_MESSAGE_BYTES + h.length);
    l->counters.refused += status != TOMOSHIBI_STATUS_OK;
}

static void execute(struct module *m, const struct tomoshibi_message_header *h,
                    const uint8_t *payload)
{
    struct link *l = &m->link;
    struct command c;
    uint16_t status;
    l->counters.commands++;
    c.code = h->code;
    c.bytes = h->length;
    c.payload = payload;
    c.detail = 0;
    c.reply_bytes = 0;
    c.reply = l->memory.reply + TOMOSHIBI_MESSAGE_BYTES + COMMAND_STATUS_BYTES;
    l->memory.bytes = 0; /* what was remembered is being overwritten */
    status = command_do(m, &c);
    seal_reply(l, h, status, c.detail, status == TOMOSHIBI_STATUS_OK ? c.reply_bytes : 0u);
}

static void answer(struct module *m, const struct tomoshibi_message_header *h,
                   const uint8_t *payload)
{
    struct link *l = &m->link;
    if (h->version != TOMOSHIBI_CONTROL_VERSION) {
        seal_reply(l, h, TOMOSHIBI_STATUS_WRONG_VERSION, TOMOSHIBI_CONTROL_VERSION, 0);
        send_reply(l);
        l->memory.bytes = 0;
        return;
    }
    heard(m);
    if (l->memory.bytes != 0u && l->memory.sequence == h->sequence && l->memory.crc == h->crc) {
        l->counters.repeats++;
    } else {
        execute(m, h, payload);
    }
    send_reply(l);
    if (h->code == TOMOSHIBI_COMMAND_HELLO) {
        l->memory.bytes = 0; /* a new host may begin with the numbers of the last one */
    }
}

/* Whether it is a whole command, of whatever version. */
static int is_command(const struct tomoshibi_message_header *h, const uint8_t *payload,
                      uint32_t count)
{
    return h->magic == TOMOSHIBI_CONTROL_MAGIC && h->kind == TOMOSHIBI_MESSAGE_COMMAND &&
           h->length == count - TOMOSHIBI_MESSAGE_BYTES && message_crc(h, payload) == h->crc;
}

static void judge(struct module *m, uint32_t count)
{
    struct link *l = &m->link;
    const uint8_t *bytes = l->decoder.bytes;
    struct tomoshibi_message_header h;
    if (count >= TOMOSHIBI_MESSAGE_BYTES) {
        mem_copy(&h, bytes, TOMOSHIBI_MESSAGE_BYTES);
        if (is_command(&h, bytes + TOMOSHIBI_MESSAGE_BYTES, count)) {
            l->counters.good_bytes += l->decoder.raw;
            answer(m, &h, bytes + TOMOSHIBI_MESSAGE_BYTES);
            return;
        }
    }
    l->counters.invalid_packets++;
    l->counters.invalid_bytes += l->decoder.raw;
}

static void account(struct module *m, enum cobs_found found)
{
    struct link *l = &m->link;
    if (found == COBS_PACKET) {
        judge(m, l->decoder.count);
    } else if (found == COBS_DAMAGED) {
        l->counters.invalid_packets++;
        l->counters.overlong += l->decoder.overlong;
        l->counters.invalid_bytes += l->decoder.raw;
    } else if (found == COBS_EMPTY) {
        l->counters.empty_bytes += l->decoder.raw;
    }
}

static uint32_t read_more(struct link *l)
{
    l->input_from = 0;
    l->input_end = hal_serial_read(l->input, LINK_INPUT_BYTES);
    l->counters.bytes_in += l->input_end;
    l->moved |= l->input_end > 0u;
    return l->input_end;
}

/* A packet is taken in only where its reply has room: what is not, waits in the board's buffer. */
static void receive(struct module *m)
{
    struct link *l = &m->link;
    uint32_t reads = 0;
    uint32_t taken;
    enum cobs_found found;
    while (!is_closing(l) && cobs_encoder_fits(&l->line, LINK_MESSAGE_MOST)) {
        if (l->input_from == l->input_end && (reads++ == READS_A_TURN || read_more(l) == 0u)) {
            return;
        }
        found = cobs_decode(&l->decoder, l->input + l->input_from, l->input_end - l->input_from,
                            &taken);
        l->input_from += taken;
        account(m, found);
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

/* --- turn ---------------------------------------------------------------------------------- */

static void look_at_clock(struct module *m)
{
    struct link *l = &m->link;
    if (!l->host_heard && m->now >= l->hello_due) {
        link_hello(m);
    }
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
    l->heard = m->now;
    l->hello_due = m->now;
    set_baud(l, TOMOSHIBI_BAUD_DEFAULT); /* and a zero: a reset may have cut a packet */
}

void link_poll(struct module *m)
{
    struct link *l = &m->link;
    l->moved = 0;
    send(l);
    receive(m);
    look_at_clock(m);
    if (is_closing(l)) {
        close_line(m);
    }
    send(l);
}
