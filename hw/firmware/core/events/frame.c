/* SPDX-License-Identifier: Apache-2.0
 *
 * See frame.h. The CRC of two pieces: a CRC without its initial and final XOR is the remainder of
 * the bytes as a polynomial, so crc(A, B) = crc(A) * x^(bits of B) + crc(B) modulo the polynomial
 * (M. Adler, zlib, crc32_combine).
 */
#include "events/frame.h"

#include "base/crc32c.h"
#include "line/outbox.h"
#include "safety/bias.h"
#include "state/module.h"
#include "state/registers.h"

#define LENGTH_BITS 17u /* of a count of event words, TOMOSHIBI_MAX_EVENTS included */

/* x^(64 * 2^k) modulo the polynomial, reflected: a shift by 2^k event words. */
static const uint32_t word_shift[LENGTH_BITS] = {
    0x6EA2D55Cu, 0x18B8EA18u, 0x510AC59Au, 0xB82BE955u,
    0xB8FDB1E7u, 0x88E56F72u, 0x74C360A4u, 0xE4172B16u,
    0x0D65762Au, 0x35D73A62u, 0x28461564u, 0xBF455269u,
    0xE2EA32DCu, 0xFE7740E6u, 0xF946610Bu, 0x3C204F8Fu,
    0x538586E3u
};

static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1) {
        if (a & UINT32_C(0x80000000)) {
            product ^= b;
        }
        b = (b >> 1) ^ ((b & 1u) ? TOMOSHIBI_CRC32C_POLYNOMIAL_REFLECTED : 0u);
    }
    return product;
}

uint32_t frame_crc_join(uint32_t first, uint32_t second, uint32_t words)
{
    unsigned k;
    for (k = 0; k < LENGTH_BITS && words >> k; k++) {
        if ((words >> k) & 1u) {
            first = multiply(word_shift[k], first);
        }
    }
    return first ^ second;
}

void frame_begin_run(struct frame *f, uint32_t first_sequence)
{
    f->open = 0;
    f->sequence = first_sequence;
    f->before = 0;
}

int frame_open(struct module *m)
{
    struct frame *f = &m->run.frame;
    uint32_t queue = (uint32_t)register_get(m, TOMOSHIBI_REGI_QUEUE_WORDS);
    uint32_t most = outbox_max_words();
    uint8_t *bytes = 0;
    enum outbox_room room;
    f->most = queue < most ? queue : most;
    room = outbox_reserve(m, f->most, &bytes);
    if (room == OUTBOX_WAIT) {
        return 0;
    }
    f->header = (struct tomoshibi_frame_header *)(void *)bytes;
    f->words = bytes ? (uint64_t *)(void *)(bytes + TOMOSHIBI_HEADER_BYTES) : 0;
    f->count = 0;
    f->others = 0;
    f->lost = 0;
    f->dead = 0;
    f->crc = 0;
    f->crc_words = 0;
    f->open = 1;
    return 1;
}

void frame_take_crc(struct frame *f)
{
    uint32_t fresh = f->count - f->crc_words;
    if (f->words && fresh) {
        f->crc = crc32c(f->crc, f->words + f->crc_words, fresh * TOMOSHIBI_WORD_BYTES);
    }
    f->crc_words = f->count;
}

static int16_t temperature(const struct module *m)
{
    int32_t cC = m->bias.temperature_cC;
    return (int16_t)(cC > INT16_MAX ? INT16_MAX : cC < INT16_MIN ? INT16_MIN : cC);
}

static uint16_t bias_voltage(const struct module *m)
{
    uint32_t units = m->bias.measured_mV / 10u;
    return (uint16_t)(units > UINT16_MAX ? UINT16_MAX : units);
}

static void fill(struct module *m, uint32_t period, uint32_t dead_time, uint32_t flags)
{
    struct frame *f = &m->run.frame;
    struct tomoshibi_frame_header *h = f->header;
    h->magic = TOMOSHIBI_MAGIC;
    h->version = TOMOSHIBI_PROTOCOL_VERSION;
    h->flags = (uint8_t)flags;
    h->module = (uint16_t)register_get(m, TOMOSHIBI_REGI_MODULE);
    h->sequence = f->sequence;
    h->frame_id = period;
    h->run_tag = m->run.report.run_tag;
    h->event_count = f->count;
    h->events_before = f->before;
    h->lost_events = f->lost;
    h->dead_events = f->dead;
    h->dead_time = dead_time;
    h->temperature = temperature(m);
    h->bias = bias_voltage(m);
    h->epoch = bias_epoch(m);
    h->reserved = 0;
    h->reserved_2 = 0;
    h->reserved_3 = 0;
    h->crc = frame_crc_join(crc32c(0, h, TOMOSHIBI_CRC_OFFSET), f->crc, f->count);
}

int frame_close(struct module *m, uint32_t period, uint32_t dead_time, uint32_t flags)
{
    struct frame *f = &m->run.frame;
    int made = f->header != 0;
    frame_take_crc(f);
    if (made) {
        fill(m, period, dead_time, flags);
        outbox_commit(m, (uint8_t *)(void *)f->header,
                      TOMOSHIBI_HEADER_BYTES + f->count * TOMOSHIBI_WORD_BYTES);
    } else {
        outbox_dropped(m);
    }
    f->before += f->count;
    f->sequence++;
    f->open = 0;
    return made;
}
