/* SPDX-License-Identifier: Apache-2.0
 *
 * See exchange.h.
 */
#include "control/exchange.h"

#include "base/cobs.h"
#include "base/memory.h"
#include "control/commands.h"
#include "hal.h"
#include "line/link.h"
#include "state/module.h"

#define READS_A_TURN 4u
#define HELLO_TICKS ((uint64_t)EXCHANGE_HELLO_MS * MODULE_TICKS_PER_MS)

void exchange_hello(struct module *m)
{
    struct tomoshibi_identity identity;
    identity_fill(m, &identity);
    (void)link_notice(m, TOMOSHIBI_NOTICE_HELLO, &identity, (uint32_t)sizeof identity);
    m->link.hello_due = m->now + HELLO_TICKS;
}

static void heard(struct module *m)
{
    m->host_heard_at = m->now;
    m->link.host_heard = 1;
    m->link.baud_before = 0; /* whatever the speed is, it works */
}

static void send_reply(struct link *l)
{
    link_queue(l, l->memory.reply, l->memory.reply + TOMOSHIBI_MESSAGE_BYTES,
               l->memory.bytes - TOMOSHIBI_MESSAGE_BYTES);
}

/* Writes header, status and detail around the reply's fields, which lie in memory already. */
static void seal_reply(struct link *l, const struct tomoshibi_message_header *command,
                       uint16_t status, uint16_t detail, uint32_t reply_bytes)
{
    struct tomoshibi_message_header h;
    uint8_t *payload = l->memory.reply + TOMOSHIBI_MESSAGE_BYTES;
    link_write_header(&h, TOMOSHIBI_MESSAGE_REPLY, command->code,
                      COMMAND_STATUS_BYTES + reply_bytes);
    h.sequence = command->sequence;
    mem_put16(payload, status);
    mem_put16(payload + 2, detail);
    h.crc = link_message_crc(&h, payload);
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
           h->length == count - TOMOSHIBI_MESSAGE_BYTES && link_message_crc(h, payload) == h->crc;
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
    while (!link_is_closing(l) && cobs_encoder_fits(&l->line, LINK_MESSAGE_MOST)) {
        if (l->input_from == l->input_end && (reads++ == READS_A_TURN || read_more(l) == 0u)) {
            return;
        }
        found = cobs_decode(&l->decoder, l->input + l->input_from, l->input_end - l->input_from,
                            &taken);
        l->input_from += taken;
        account(m, found);
    }
}

void exchange_poll(struct module *m)
{
    link_begin_turn(m);
    receive(m);
    if (!m->link.host_heard && m->now >= m->link.hello_due) {
        exchange_hello(m);
    }
    link_end_turn(m);
}
