/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_check.h"

#include <string.h>
#include <unistd.h>

#include "base/cobs.h"
#include "base/crc32c.h"
#include "control/turn.h"
#include "fuzz_life.h"
#include "safety/faults.h"
#include "state/module.h"
#include "state/registers.h"
#include "test_board.h"
#include "tomoshibi_control.h"

#define OUT_BYTES 65536u
#define STUCK_S 20u /* a turn that takes so long hangs */

static struct cobs_decoder decoder;
static uint64_t decoded[(TOMOSHIBI_MAX_FRAME_BYTES + 8u) / 8u];
static uint32_t cut_messages; /* of this life */

void fuzz_check_begin(void)
{
    cut_messages = 0;
    cobs_decoder_start(&decoder, (uint8_t *)decoded, sizeof decoded);
}

/* A reset may come into the middle of a message: its zero follows, and the host sees damage. */
static void check_message(const uint8_t *bytes, uint32_t count)
{
    struct tomoshibi_message_header h;
    uint32_t crc;
    memcpy(&h, bytes, sizeof h);
    if (h.length > count - sizeof h && ++cut_messages <= fuzz.restarts) {
        return;
    }
    if (h.length != count - sizeof h || h.version != TOMOSHIBI_CONTROL_VERSION) {
        fuzz_fail("a message of a wrong length or version", h.length);
    }
    crc = crc32c(0, bytes, TOMOSHIBI_MESSAGE_CRC_OFFSET);
    if (h.crc != crc32c(crc, bytes + sizeof h, h.length)) {
        fuzz_fail("a message with a wrong CRC", h.crc);
    }
    if (h.kind == TOMOSHIBI_MESSAGE_REPLY) {
        fuzz.answered++;
    } else if (h.kind != TOMOSHIBI_MESSAGE_NOTICE) {
        fuzz_fail("a message of a kind that a module does not send", h.kind);
    }
}

/* One that stands still on a slow line is cut: it is shorter than it says. */
static void check_frame(const uint8_t *bytes, uint32_t count)
{
    struct tomoshibi_frame_header h;
    uint32_t crc, said;
    memcpy(&h, bytes, sizeof h);
    said = TOMOSHIBI_HEADER_BYTES + h.event_count * TOMOSHIBI_WORD_BYTES;
    if (count < said) {
        return;
    }
    if (count > said) {
        fuzz_fail("a frame longer than it says", count);
    }
    crc = crc32c(0, bytes, TOMOSHIBI_CRC_OFFSET);
    if (h.crc != crc32c(crc, bytes + TOMOSHIBI_HEADER_BYTES, count - TOMOSHIBI_HEADER_BYTES)) {
        fuzz_fail("a frame with a wrong CRC", h.crc);
    }
}

static void check_packet(void)
{
    const uint8_t *bytes = (const uint8_t *)decoded;
    uint32_t magic;
    memcpy(&magic, bytes, sizeof magic);
    if (magic == TOMOSHIBI_CONTROL_MAGIC) {
        if (decoder.count >= TOMOSHIBI_MESSAGE_BYTES) {
            check_message(bytes, decoder.count);
        }
    } else if (magic == TOMOSHIBI_MAGIC) {
        if (decoder.count >= TOMOSHIBI_HEADER_BYTES) {
            check_frame(bytes, decoder.count);
        }
    } else {
        fuzz_fail("a packet that is neither message nor frame", magic);
    }
}

static void check_output(void)
{
    static uint8_t out[OUT_BYTES];
    uint32_t count, at, taken;
    while ((count = test_serial_get(out, sizeof out)) != 0) {
        for (at = 0; at < count; at += taken) {
            /* a frame that was cut in the middle is damaged, and the host sees that it is */
            if (cobs_decode(&decoder, out + at, count - at, &taken) == COBS_PACKET &&
                decoder.count >= 4u) {
                check_packet();
            }
        }
    }
}

static void check_state(const struct module *m, const struct test_board *b)
{
    const struct link_counters *c = &m->link.counters;
    uint32_t waiting;
    unsigned i;
    if (m->state > TOMOSHIBI_STATE_UPDATING) {
        fuzz_fail("no such state", m->state);
    }
    if (b->dac_mV > (uint32_t)register_get(m, TOMOSHIBI_REGI_BIAS_MAX_MV)) {
        fuzz_fail("bias above bias_max_mV", b->dac_mV);
    }
    if (fault_latched(m) != 0 && b->dac_mV != 0) {
        fuzz_fail("bias on while a fault is latched", b->dac_mV);
    }
    if (b->nv_overwrites != 0 || b->nv_refused != 0) {
        fuzz_fail("written over what was written, or beside the memory", b->nv_overwrites);
    }
    for (i = 0; i < TOMOSHIBI_REGISTER_COUNT; i++) {
        int32_t value = register_get(m, i);
        if (value < register_specs[i].least || value > register_specs[i].greatest) {
            fuzz_fail("a register is out of its bounds", register_specs[i].address);
        }
    }
    if (c->good_bytes + c->invalid_bytes + c->empty_bytes > c->bytes_in) {
        fuzz_fail("more bytes judged than came", c->bytes_in);
    }
    waiting = fuzz_window()[FUZZ_FRAME_COUNT(HEAD)] - fuzz_window()[FUZZ_FRAME_COUNT(TAIL)];
    if (waiting > TOMOSHIBI_WINDOW_FRAME_BYTES) {
        fuzz_fail("more frames than their memory holds", waiting);
    }
}

void fuzz_turns(uint32_t count, uint32_t step_ticks)
{
    struct test_board *b = test_board();
    while (count-- != 0 && !test_asked_to_stop()) {
        (void)alarm(STUCK_S);
        (void)test_turns(1, step_ticks);
        check_output();
        check_state(test_module(), test_board());
    }
    if (test_asked_to_stop()) { /* as the board would: anew, with what the window keeps */
        uint32_t cause = b->downs != 0 ? TOMOSHIBI_RESET_BROWN_OUT : TOMOSHIBI_RESET_SOFTWARE;
        b->running_slot = b->boots != 0 ? b->boot_slot : TOMOSHIBI_SLOT_FACTORY;
        b->reset_cause = cause;
        b->starts += b->boots != 0 ? 0u : 1u;
        b->resets = b->downs = b->boots = b->dac_mV = 0;
        b->nv_budget = UINT32_C(0xFFFFFFFF);
        fuzz.restarts++;
        test_forget_module();
        module_start(test_module());
    }
}
