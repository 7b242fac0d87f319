/* SPDX-License-Identifier: Apache-2.0
 *
 * See outbox.h. All records begin at multiples of 8, so a skip mark always has room.
 */
#include "line/outbox.h"

#include "hal.h"
#include "line/datagram.h"
#include "line/link.h"
#include "state/module.h"
#include "state/registers.h"

#define FRAME_MOST (TOMOSHIBI_HEADER_BYTES + TOMOSHIBI_MAX_EVENTS * TOMOSHIBI_WORD_BYTES)
#define SERIAL_PIECE 4096u /* bytes in one step: a line may take all at once, and its time */
#define TURN ((uint64_t)OUTBOX_TURN_MS * MODULE_TICKS_PER_MS)
#define PATIENCE ((uint64_t)OUTBOX_PATIENCE_MS * MODULE_TICKS_PER_MS)

struct record {
    uint32_t bytes; /* of the frame behind it, or OUTBOX_SKIP */
    uint32_t zero;
};

static uint32_t place(uint32_t count)
{
    return count & (hal_frames_bytes() - 1u);
}

static struct record *record_at(uint32_t count)
{
    return (struct record *)(void *)(hal_frames_memory() + place(count));
}

uint32_t outbox_queued(const struct module *m)
{
    return m->outbox.head - *hal_frames_tail();
}

/* Half of the memory: a record of this size always fits in an empty memory, wherever head is. */
uint32_t outbox_max_words(void)
{
    uint32_t half = hal_frames_bytes() / 2u;
    uint32_t fixed = OUTBOX_RECORD_BYTES + TOMOSHIBI_HEADER_BYTES;
    uint32_t words = half > fixed ? (half - fixed) / TOMOSHIBI_WORD_BYTES : 0u;
    return words < TOMOSHIBI_MAX_EVENTS ? words : TOMOSHIBI_MAX_EVENTS;
}

/* The frames of before a reset: the host may still read them from a ring; nobody else does. Counts
 * that cannot be are those of an empty memory. */
void outbox_start(struct module *m)
{
    volatile uint32_t *head = hal_frames_head();
    volatile uint32_t *tail = hal_frames_tail();
    struct outbox *o = &m->outbox;
    if (*head - *tail > hal_frames_bytes() || (*head | *tail) % OUTBOX_RECORD_BYTES ||
        register_get(m, TOMOSHIBI_REGI_DATA_PATH) != (int32_t)TOMOSHIBI_PATH_RING) {
        *head &= ~(OUTBOX_RECORD_BYTES - 1u);
        *tail = *head;
    }
    o->head = *head;
    o->moved_at = m->now;
    o->tail_seen = *tail;
    o->line_seen = 0;
    o->path = TOMOSHIBI_PATH_NONE;
    o->sending = 0;
    o->sent = 0;
    o->datagrams = 0;
    o->frames = 0;
    o->frames_dropped = 0;
}

/* --- in ------------------------------------------------------------------------------------ */

static void watch_consumer(struct module *m)
{
    struct outbox *o = &m->outbox;
    uint32_t tail = *hal_frames_tail();
    int moved = tail != o->tail_seen || tail == o->head;
    if (o->path == TOMOSHIBI_PATH_SERIAL && m->link.counters.bytes_out != o->line_seen) {
        o->line_seen = m->link.counters.bytes_out; /* a slow line is no silent one */
        moved = 1;
    }
    if (moved) {
        o->tail_seen = tail;
        o->moved_at = m->now;
    }
}

enum outbox_room outbox_reserve(struct module *m, uint32_t words, uint8_t **frame)
{
    uint32_t need = OUTBOX_RECORD_BYTES + TOMOSHIBI_HEADER_BYTES + words * TOMOSHIBI_WORD_BYTES;
    uint32_t head = m->outbox.head;
    uint32_t to_end = hal_frames_bytes() - place(head);
    uint32_t skip = to_end < need ? to_end : 0u;
    uint32_t queued = outbox_queued(m);
    watch_consumer(m);
    if (queued <= hal_frames_bytes() && hal_frames_bytes() - queued >= skip + need) {
        *frame = hal_frames_memory() + place(head + skip) + OUTBOX_RECORD_BYTES;
        return OUTBOX_HERE;
    }
    *frame = 0;
    return m->now - m->outbox.moved_at < PATIENCE ? OUTBOX_WAIT : OUTBOX_DROP;
}

void outbox_commit(struct module *m, uint8_t *frame, uint32_t bytes)
{
    struct record *record = (struct record *)(void *)(frame - OUTBOX_RECORD_BYTES);
    struct outbox *o = &m->outbox;
    struct record *next = record_at(o->head);
    if (record != next) {
        next->bytes = OUTBOX_SKIP;
        next->zero = 0;
        o->head += hal_frames_bytes() - place(o->head);
    }
    record->bytes = bytes;
    record->zero = 0;
    o->head += OUTBOX_RECORD_BYTES + bytes;
    o->frames++;
    hal_memory_barrier();
    *hal_frames_head() = o->head;
}

void outbox_dropped(struct module *m)
{
    m->outbox.frames_dropped++;
}

/* --- out ----------------------------------------------------------------------------------- */

/* Whether a record of a frame of so many bytes can lie within `most`. */
static int is_frame(uint32_t bytes, uint32_t most)
{
    return bytes >= TOMOSHIBI_HEADER_BYTES && bytes <= FRAME_MOST &&
           bytes % TOMOSHIBI_WORD_BYTES == 0 && bytes + OUTBOX_RECORD_BYTES <= most;
}

/* How many bytes of the rest of a frame went; 0: the path takes none now. */
static uint32_t send_rest(struct module *m, const uint8_t *frame, uint32_t bytes)
{
    struct outbox *o = &m->outbox;
    if (o->path == TOMOSHIBI_PATH_SERIAL) {
        uint32_t rest = bytes - o->sent;
        uint32_t piece = rest < SERIAL_PIECE ? rest : SERIAL_PIECE;
        return link_frame_bytes(m, frame + o->sent, piece, piece == rest);
    }
    if (o->path == TOMOSHIBI_PATH_ETHERNET) {
        int32_t went = datagram_send(m, frame, bytes, o->sent);
        return went < 0 ? bytes - o->sent : (uint32_t)went;
    }
    return bytes - o->sent;
}

static void choose_path(struct module *m)
{
    struct outbox *o = &m->outbox;
    if (!o->sending) {
        o->path = (uint32_t)register_get(m, TOMOSHIBI_REGI_DATA_PATH);
        o->sent = 0;
    }
}

/* The tail or the memory was written from outside: what is in it cannot be told. */
static void forget(struct module *m)
{
    if (m->outbox.sending && m->outbox.path == TOMOSHIBI_PATH_SERIAL) {
        link_frame_abandon(m);
    }
    m->outbox.sending = 0;
    m->outbox.sent = 0;
    *hal_frames_tail() = m->outbox.head;
}

/* One step of the frame at the tail; 0: no room on the path. */
static int send_piece(struct module *m, uint32_t tail, uint32_t bytes)
{
    struct outbox *o = &m->outbox;
    const uint8_t *frame = (const uint8_t *)record_at(tail) + OUTBOX_RECORD_BYTES;
    uint32_t went = send_rest(m, frame, bytes);
    o->sent += went;
    o->sending = o->sent > 0 && o->sent < bytes ? bytes : 0u;
    if (o->sent == bytes) {
        o->sent = 0;
        *hal_frames_tail() = tail + OUTBOX_RECORD_BYTES + bytes;
    }
    if (went) {
        o->moved_at = m->now;
    }
    return went > 0;
}

/* One step of the oldest record; 0: nothing to do, or no room on the path. */
static int send_step(struct module *m)
{
    uint32_t tail = *hal_frames_tail();
    uint32_t queued = m->outbox.head - tail;
    uint32_t to_end = hal_frames_bytes() - place(tail);
    uint32_t sending = m->outbox.sending;
    if (queued == 0 && sending == 0) {
        return 0;
    }
    if (tail % OUTBOX_RECORD_BYTES == 0 && queued > 0 && queued <= hal_frames_bytes()) {
        uint32_t bytes = record_at(tail)->bytes;
        if (bytes == OUTBOX_SKIP && sending == 0 && to_end <= queued) {
            *hal_frames_tail() = tail + to_end;
            return 1;
        }
        if (is_frame(bytes, to_end < queued ? to_end : queued) &&
            (sending == 0 || sending == bytes)) {
            return send_piece(m, tail, bytes);
        }
    }
    forget(m);
    return 0;
}

void outbox_poll(struct module *m)
{
    uint64_t begin = module_clock(m);
    uint32_t steps = 0;
    watch_consumer(m);
    do {
        choose_path(m);
    } while (m->outbox.path != TOMOSHIBI_PATH_RING && send_step(m) && ++steps < OUTBOX_STEPS &&
             module_clock(m) - begin < TURN);
}

void outbox_telemetry(const struct module *m, struct tomoshibi_telemetry *t)
{
    t->frames = m->outbox.frames;
    t->frames_dropped = m->outbox.frames_dropped;
    t->queue_bytes = outbox_queued(m);
}
