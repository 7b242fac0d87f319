/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_send.h"

#include <string.h>

#include "base/cobs.h"
#include "base/crc32c.h"
#include "fuzz_check.h"
#include "fuzz_life.h"
#include "state/module.h"
#include "test_board.h"
#include "tomoshibi_control.h"

#define IMAGE_BYTES 96u

struct known {
    uint16_t code, bytes, tail;
};

#define KNOWN(name, code, states, bytes, tail) {code, bytes, tail},
static const struct known known[] = {TOMOSHIBI_COMMANDS(KNOWN)};
#define KNOWN_COUNT (sizeof known / sizeof known[0])

#define ADDRESS(address, least, greatest, initial, flags) address,
static const uint16_t addresses[] = {TOMOSHIBI_REGISTERS(ADDRESS)};
#define ADDRESS_COUNT (sizeof addresses / sizeof addresses[0])

static uint16_t sequence;
static uint32_t marks;

void fuzz_send_begin(void)
{
    sequence = 0;
    marks = 0;
}

static uint32_t interesting(void)
{
    static const uint32_t values[] = {0, 1, 2, 3, 7, 64, 255, 256, 1023, 1024, 4095, 4096, 56000,
        60000, 65535, 65536, 115200, UINT32_C(0x7FFFFFFF), UINT32_C(0x80000000),
        UINT32_C(0xFFFFFFFE), UINT32_C(0xFFFFFFFF)};
    uint32_t number = fuzz_any(UINT32_C(0x7FFFFFFF)) << 1;
    return fuzz_any(4) == 0 ? number : values[fuzz_any(sizeof values / 4u)];
}

static void put_line(const uint8_t *bytes, uint32_t count)
{
    static uint8_t line[COBS_ENCODED_MOST(4096u) + 2u * COBS_BLOCK_ROOM];
    struct cobs_encoder e;
    cobs_encoder_start(&e, line, sizeof line);
    if (cobs_encode(&e, bytes, count) != count || !cobs_encode_end(&e)) {
        fuzz_fail("the fuzzer's own packet does not fit", count);
    }
    fuzz.sent++;
    if (fuzz_any(16) == 0) { /* noise on the wire */
        line[e.from + fuzz_any(e.closed - e.from)] ^= (uint8_t)(1u << fuzz_any(8));
    }
    (void)test_serial_put(line + e.from, e.closed - e.from);
}

static uint32_t finish(uint8_t *bytes, uint16_t code, uint32_t length)
{
    struct tomoshibi_message_header h;
    h.magic = TOMOSHIBI_CONTROL_MAGIC;
    h.version = TOMOSHIBI_CONTROL_VERSION;
    h.kind = TOMOSHIBI_MESSAGE_COMMAND;
    h.sequence = fuzz_any(8) == 0 ? sequence : ++sequence; /* now and then a repeat */
    h.code = code;
    h.length = (uint16_t)length;
    h.crc = 0;
    memcpy(bytes, &h, sizeof h);
    h.crc = crc32c(crc32c(0, bytes, TOMOSHIBI_MESSAGE_CRC_OFFSET), bytes + sizeof h, length);
    memcpy(bytes, &h, sizeof h);
    return (uint32_t)sizeof h + length;
}

/* Change the bytes of a packet: bits, values, length; the CRC may be made right again. */
static uint32_t mutate(uint8_t *bytes, uint32_t count, uint32_t most)
{
    uint32_t changes = 1u + fuzz_any(4);
    while (changes-- != 0 && count > 4u) {
        uint32_t value = interesting();
        switch (fuzz_any(5)) {
        case 0:
            bytes[fuzz_any(count)] ^= (uint8_t)(1u << fuzz_any(8));
            break;
        case 1:
            memcpy(bytes + fuzz_any(count - 3u), &value, 1u << fuzz_any(3));
            break;
        case 2:
            count = 1u + fuzz_any(count);
            break;
        case 3:
            while (count < most && fuzz_any(16) != 0) {
                bytes[count++] = (uint8_t)value;
            }
            break;
        default:
            bytes[fuzz_any(count)] = 0;
        }
    }
    if (count >= TOMOSHIBI_MESSAGE_BYTES && fuzz_any(2) != 0) {
        uint16_t length = (uint16_t)(count - TOMOSHIBI_MESSAGE_BYTES);
        uint32_t crc;
        if (fuzz_any(4) != 0) {
            memcpy(bytes + 10, &length, sizeof length);
        }
        crc = crc32c(0, bytes, TOMOSHIBI_MESSAGE_CRC_OFFSET);
        crc = crc32c(crc, bytes + TOMOSHIBI_MESSAGE_BYTES, length);
        memcpy(bytes + TOMOSHIBI_MESSAGE_CRC_OFFSET, &crc, sizeof crc);
    }
    return count;
}

static void send(uint16_t code, const void *payload, uint32_t length, uint32_t one_in)
{
    uint8_t bytes[4096];
    uint32_t count;
    memcpy(bytes + TOMOSHIBI_MESSAGE_BYTES, payload, length);
    count = finish(bytes, code, length);
    if (fuzz_any(one_in) == 0) {
        count = mutate(bytes, count, 2048u);
    }
    put_line(bytes, count);
}

/* A command with fields that could be meant: interesting numbers, addresses that exist. */
static void send_any(uint32_t one_in)
{
    const struct known *k = &known[fuzz_any(KNOWN_COUNT)];
    uint8_t payload[2048];
    uint32_t length = k->bytes;
    uint32_t value, at;
    for (at = 0; at < k->bytes; at += 4u) {
        value = interesting();
        memcpy(payload + at, &value, sizeof value);
    }
    if (k->code == TOMOSHIBI_COMMAND_READ || k->code == TOMOSHIBI_COMMAND_WRITE) {
        memcpy(payload, &addresses[fuzz_any(ADDRESS_COUNT)], 2);
    }
    if (k->tail != 0) {
        uint32_t tail = fuzz_any(3) == 0 ? fuzz_any(1100) : fuzz_any(64) * k->tail;
        uint16_t units = (uint16_t)(tail / k->tail);
        memset(payload + length, (int)fuzz_any(256), tail);
        if (k->code == TOMOSHIBI_COMMAND_CHANNELS_WRITE && fuzz_any(4) != 0) {
            memcpy(payload + 2, &units, sizeof units);
        }
        length += tail;
    }
    send(k->code, payload, length, one_in);
}

static void send_number(uint16_t code, uint32_t number)
{
    send(code, &number, sizeof number, 12);
    fuzz_turns(2, FUZZ_TICKS_PER_MS);
}

void fuzz_send_hello(void)
{
    uint8_t bytes[TOMOSHIBI_MESSAGE_BYTES], line[COBS_BLOCK_ROOM + 32u];
    struct cobs_encoder e;
    cobs_encoder_start(&e, line, sizeof line);
    (void)cobs_encode(&e, bytes, finish(bytes, TOMOSHIBI_COMMAND_HELLO, 0));
    (void)cobs_encode_end(&e);
    (void)test_serial_put(line + e.from, e.closed - e.from);
}

/* --- longer stories, each packet of which may still be spoilt -------------------------------- */

static void story_run(void)
{
    uint32_t run[4] = {0, 0, 0, 0};
    send_number(TOMOSHIBI_COMMAND_BIAS, 56000u);
    fuzz_turns(40, 100u * FUZZ_TICKS_PER_MS);
    run[0] = 1u + fuzz_any(1000);
    run[1] = fuzz_any(3);
    run[2] = interesting();
    send(TOMOSHIBI_COMMAND_RUN, run, sizeof run, 12);
    fuzz_turns(3, FUZZ_TICKS_PER_MS);
}

static void story_update(void)
{
    uint8_t piece[4u + IMAGE_BYTES];
    struct tomoshibi_image h;
    uint32_t half = IMAGE_BYTES / 2u, offset;
    uint16_t end;
    memset(piece, (int)fuzz_any(256), sizeof piece);
    memset(&h, 0, sizeof h);
    h.magic = TOMOSHIBI_IMAGE_MAGIC;
    h.board = TOMOSHIBI_BOARD_TEST;
    h.control_version = TOMOSHIBI_CONTROL_VERSION;
    h.schema = TOMOSHIBI_CONTROL_SCHEMA_CRC;
    h.length = IMAGE_BYTES;
    h.crc = crc32c(crc32c(0, piece + 4, half), piece + 4, half);
    h.header_crc = crc32c(0, &h, (uint32_t)sizeof h - 4u);
    send(TOMOSHIBI_COMMAND_UPDATE_BEGIN, &h, sizeof h, 12);
    fuzz_turns(2, FUZZ_TICKS_PER_MS);
    for (offset = 0; offset < IMAGE_BYTES; offset += half) {
        memcpy(piece, &offset, sizeof offset);
        send(TOMOSHIBI_COMMAND_UPDATE_DATA, piece, 4u + half, 12);
        fuzz_turns(2, FUZZ_TICKS_PER_MS);
    }
    end = fuzz_any(8) == 0 ? TOMOSHIBI_COMMAND_UPDATE_ABORT : TOMOSHIBI_COMMAND_UPDATE_END;
    send(end, "", 0, 12);
    fuzz_turns(2, FUZZ_TICKS_PER_MS);
    send(fuzz_any(2) == 0 ? TOMOSHIBI_COMMAND_RESET : TOMOSHIBI_COMMAND_UPDATE_CONFIRM, "", 0, 12);
}

static void weather(void)
{
    static const uint16_t places[] = {TOMOSHIBI_WORLD_SUPPLY_MV, TOMOSHIBI_WORLD_AMBIENT_CC,
        TOMOSHIBI_WORLD_INTERLOCK_CLOSED, TOMOSHIBI_WORLD_SHORT_UA, TOMOSHIBI_WORLD_BIAS_STUCK,
        TOMOSHIBI_WORLD_LIGHT_UA, TOMOSHIBI_WORLD_NV_BROKEN, TOMOSHIBI_WORLD_BREAKDOWN_MV};
    static const uint32_t fair[] = {5000, 2450, 1, 0, 0, 0, 0, 53000};
    uint32_t which = fuzz_any(sizeof places / sizeof places[0]);
    uint32_t *page = fuzz_window() + TOMOSHIBI_WINDOW_WORLD / 4u;
    page[places[which] / 4u] = fuzz_any(2) == 0 ? fair[which] : interesting();
}

/* Words as a detector could send them, and some as none does; sometimes counts that cannot be. */
static void hits(void)
{
    uint64_t *words = (uint64_t *)(void *)(test_window() + TOMOSHIBI_WINDOW_HIT_DATA);
    uint32_t head = fuzz_window()[FUZZ_HIT_COUNT(HEAD)], count = fuzz_any(200);
    while (count-- != 0) {
        uint64_t word = ((uint64_t)interesting() << 32) | interesting();
        uint64_t kind = fuzz_any(4) == 0 ? fuzz_any(8) : TOMOSHIBI_KIND_SINGLE;
        word = (word & UINT64_C(0x1FFFFFFFFFFFFFFF)) | (kind << TOMOSHIBI_WORD_KIND_SHIFT);
        words[head++ % TOMOSHIBI_WINDOW_HIT_WORDS] = word;
    }
    words[head++ % TOMOSHIBI_WINDOW_HIT_WORDS] =
        ((uint64_t)TOMOSHIBI_KIND_SYNC << TOMOSHIBI_WORD_KIND_SHIFT) | marks++;
    fuzz_window()[FUZZ_HIT_COUNT(HEAD)] = fuzz_any(64) == 0 ? interesting() : head;
    fuzz_window()[FUZZ_HIT_COUNT(LOST)] += fuzz_any(8) == 0 ? fuzz_any(100) : 0;
    if (fuzz_any(4) != 0) { /* the host takes its frames */
        fuzz_window()[FUZZ_FRAME_COUNT(TAIL)] = fuzz_window()[FUZZ_FRAME_COUNT(HEAD)];
    }
}

static void noise(void)
{
    uint8_t bytes[600];
    uint32_t count = 1u + fuzz_any(sizeof bytes), i;
    for (i = 0; i < count; i++) {
        bytes[i] = (uint8_t)(fuzz_any(8) == 0 ? 0u : fuzz_any(256));
    }
    (void)test_serial_put(bytes, count);
}

/* --- what happens next ------------------------------------------------------------------------ */

void fuzz_step(void)
{
    static const uint32_t steps[] = {250, FUZZ_TICKS_PER_MS, 10u * FUZZ_TICKS_PER_MS,
        100u * FUZZ_TICKS_PER_MS, 1000u * FUZZ_TICKS_PER_MS};
    uint32_t which = fuzz_any(100);
    if (which < 55) {
        send_any(2);
    } else if (which < 75) {
        send_any(40);
    } else if (which < 80) {
        noise();
    } else if (which < 86) {
        weather();
    } else if (which < 92) {
        hits();
    } else if (which < 95) {
        story_run();
    } else if (which < 98) {
        story_update();
    } else {
        test_board()->line_bytes_per_ms = fuzz_any(3) * 20u;
    }
    fuzz_turns(1u + fuzz_any(4), fuzz_any(8) == 0 ? steps[fuzz_any(5)] : FUZZ_TICKS_PER_MS);
}
