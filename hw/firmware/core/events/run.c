/* SPDX-License-Identifier: Apache-2.0
 *
 * See run.h.
 */
#include "events/run.h"

#include "base/memory.h"
#include "events/channels.h"
#include "events/dead_time.h"
#include "events/frame.h"
#include "events/intake.h"
#include "events/sync.h"
#include "hal.h"
#include "line/link.h"
#include "safety/bias.h"
#include "safety/faults.h"
#include "state/module.h"

#define MARK_WORDS 64u /* the closing of a frame costs about as much as so many hits */
#define BLOCK_WORDS 2048u /* after each the clock is looked at */
#define TURN ((uint64_t)RUN_TURN_MS * MODULE_TICKS_PER_MS)
#define NOTICE_AGAIN (100u * MODULE_TICKS_PER_MS)
#define SILENCE ((uint64_t)RUN_SILENCE_MS * MODULE_TICKS_PER_MS)

void run_start(struct module *m)
{
    struct run *r = &m->run;
    mem_set(r, 0, (uint32_t)sizeof *r);
    hal_hits_gate(0);
    r->detector_lost = hal_hits_lost();
    channels_start(m);
    sync_start(&r->sync);
}

/* --- the detector's losses and what comes outside of a run ----------------------------------- */

static uint32_t lost_since(struct run *r)
{
    uint32_t lost = hal_hits_lost();
    uint32_t since = lost - r->detector_lost;
    r->detector_lost = lost;
    return since;
}

static uint32_t is_hit(uint64_t word)
{
    uint32_t kind = (uint32_t)(word >> TOMOSHIBI_WORD_KIND_SHIFT);
    return kind != TOMOSHIBI_KIND_SYNC && kind != TOMOSHIBI_KIND_GATE &&
           kind != TOMOSHIBI_KIND_ANGLE;
}

/* Throw away what lies in the queue in one piece; returns how many words. */
static uint32_t discard(struct run *r, uint32_t most)
{
    const uint64_t *words;
    uint32_t count = hal_hits_peek(&words);
    uint32_t i;
    count = count < most ? count : most;
    for (i = 0; i < count; i++) {
        r->report.discarded += is_hit(words[i]);
    }
    hal_hits_discard(count);
    r->report.discarded += lost_since(r);
    return count;
}

/* --- begin and end --------------------------------------------------------------------------- */

static void begin_books(struct module *m, uint32_t run_tag)
{
    struct run *r = &m->run;
    uint64_t discarded = r->report.run_tag == 0 ? r->report.discarded : 0u;
    r->hits_before += r->intake.hits;
    r->words_before += r->frame.before;
    mem_set(&r->report, 0, (uint32_t)sizeof r->report);
    r->report.run_tag = run_tag;
    r->report.discarded = discarded;
}

uint16_t run_begin(struct module *m, uint32_t run_tag, uint32_t periods, uint32_t first_sequence)
{
    struct run *r = &m->run;
    if (fault_latched(m)) {
        return TOMOSHIBI_STATUS_FAULTED;
    }
    if (m->state != TOMOSHIBI_STATE_IDLE || r->on) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    if (run_tag == 0) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    if (!bias_is_on(m)) {
        return TOMOSHIBI_STATUS_NO_BIAS;
    }
    (void)discard(r, UINT32_MAX); /* what is in the queue is of before; it may wrap, so twice */
    (void)discard(r, UINT32_MAX);
    begin_books(m, run_tag);
    r->on = 1;
    r->stopping = 0;
    r->periods = periods;
    r->first = 1;
    r->silent = 0;
    r->notice_due = 0;
    r->heard_at = m->now;
    intake_begin(m);
    dead_time_begin(&r->dead_time, m);
    sync_begin(&r->sync);
    frame_begin_run(&r->frame, first_sequence);
    module_state(m, TOMOSHIBI_STATE_RUNNING);
    hal_hits_gate(run_tag);
    return TOMOSHIBI_STATUS_OK;
}

uint16_t run_stop(struct module *m)
{
    if (!m->run.on) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    m->run.stopping = 1;
    module_state(m, TOMOSHIBI_STATE_STOPPING);
    return TOMOSHIBI_STATUS_OK;
}

static void end_run(struct module *m, enum run_end why)
{
    struct run *r = &m->run;
    hal_hits_gate(0);
    r->on = 0;
    r->report.ended = (uint8_t)why;
    r->notice_due = 1;
    r->notice_at = m->now;
    if (m->state == TOMOSHIBI_STATE_RUNNING || m->state == TOMOSHIBI_STATE_STOPPING) {
        module_state(m, TOMOSHIBI_STATE_IDLE);
    }
}

static void give_up(struct module *m)
{
    struct run *r = &m->run;
    uint32_t lost = lost_since(r);
    r->intake.hits += lost;
    r->report.lost += lost;
    if (r->frame.open) {
        r->report.lost += r->frame.lost + (r->frame.count - r->frame.others);
        r->frame.open = 0;
    }
    end_run(m, RUN_END_GIVEN_UP);
}

uint16_t run_abort(struct module *m)
{
    if (!m->run.on) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    give_up(m);
    return TOMOSHIBI_STATUS_OK;
}

/* --- periods --------------------------------------------------------------------------------- */

/* Why the run ends with this period, RUN_ON where it goes on. */
static enum run_end reason(const struct run *r, int last)
{
    if (last) {
        return RUN_END_DETECTOR;
    }
    if (r->stopping) {
        return RUN_END_HOST;
    }
    if (r->periods && r->report.frames + r->report.frames_dropped + 1u == r->periods) {
        return RUN_END_PERIODS;
    }
    return RUN_ON;
}

static uint32_t frame_flags(const struct run *r, enum run_end why)
{
    uint32_t flags = r->first ? TOMOSHIBI_FRAME_FLAG_FIRST : 0u;
    flags |= why != RUN_ON ? TOMOSHIBI_FRAME_FLAG_LAST : 0u;
    flags |= r->sync.lock == TOMOSHIBI_LOCK_UNLOCKED ? TOMOSHIBI_FRAME_FLAG_SYNC_LOST : 0u;
    flags |= r->frame.lost ? TOMOSHIBI_FRAME_FLAG_OVERFLOW : 0u;
    return flags;
}

static void book_frame(struct run *r, uint32_t period, int made, uint32_t flags)
{
    struct tomoshibi_report *report = &r->report;
    report->frames += made ? 1u : 0u;
    report->frames_dropped += made ? 0u : 1u;
    report->sync_lost += made && (flags & TOMOSHIBI_FRAME_FLAG_SYNC_LOST) ? 1u : 0u;
    report->lost += r->frame.lost;
    report->first_period = r->first ? period : report->first_period;
    report->last_period = period;
    r->first = 0;
}

static void end_period(struct module *m, uint64_t mark)
{
    struct run *r = &m->run;
    uint32_t number = (uint32_t)mark & TOMOSHIBI_WORD_TIME_MASK;
    uint32_t said = (uint32_t)(mark >> TOMOSHIBI_WORD_FLAGS_SHIFT) & TOMOSHIBI_WORD_FLAGS_MASK;
    int last = (said & TOMOSHIBI_MARK_LAST) != 0;
    enum run_end why = reason(r, last);
    uint32_t period, flags, lost;
    if (!sync_mark(m, number, (said & TOMOSHIBI_MARK_SYNCED) != 0, &period) && !last) {
        return;
    }
    lost = lost_since(r);
    r->intake.hits += lost;
    r->frame.lost += lost;
    flags = frame_flags(r, why);
    book_frame(r, period, frame_close(m, period, dead_time_end_period(&r->dead_time), flags),
               flags);
    if (why != RUN_ON) {
        end_run(m, why);
    }
}

/* --- each turn ------------------------------------------------------------------------------- */

/* The words at the queue's head in one piece, at most so many. */
static uint32_t peek(const uint64_t **words, uint32_t most)
{
    uint32_t count = hal_hits_peek(words);
    count = count < most ? count : most;
    return count < BLOCK_WORDS ? count : BLOCK_WORDS;
}

/* One block, or what there is before the next mark; returns its cost in words, 0: nothing done. */
static uint32_t take_block(struct module *m, uint32_t most)
{
    struct run *r = &m->run;
    const uint64_t *words;
    uint32_t count = peek(&words, most);
    uint32_t taken;
    uint64_t mark;
    if (count == 0) {
        return 0;
    }
    r->heard_at = m->now;
    r->silent = 0;
    if (!r->frame.open && !frame_open(m)) {
        return 0;
    }
    r->moved = 1;
    taken = intake_take(m, words, count);
    if (taken == count) {
        hal_hits_take(taken);
        return taken;
    }
    mark = words[taken];
    hal_hits_take(taken + 1u);
    end_period(m, mark);
    return taken + MARK_WORDS;
}

static void take_words(struct module *m)
{
    uint32_t budget = RUN_WORDS_A_TURN;
    uint32_t cost;
    do {
        cost = take_block(m, budget);
        budget -= cost < budget ? cost : budget;
    } while (cost && budget && m->run.on && module_clock(m) - m->now < TURN);
}

static void watch_detector(struct module *m)
{
    struct run *r = &m->run;
    if (r->on && !r->silent && m->now - r->heard_at >= SILENCE) {
        r->silent = 1;
        fault_raise(m, TOMOSHIBI_FAULT_DETECTOR_SILENT,
                    (int32_t)((m->now - r->heard_at) / MODULE_TICKS_PER_MS),
                    (int32_t)RUN_SILENCE_MS);
    }
}

static void tell_the_end(struct module *m)
{
    struct run *r = &m->run;
    struct tomoshibi_report report;
    if (!r->notice_due || m->now < r->notice_at) {
        return;
    }
    run_report(m, &report);
    r->notice_at = m->now + NOTICE_AGAIN;
    r->notice_due = !link_notice(m, TOMOSHIBI_NOTICE_RUN_ENDED, &report, sizeof report);
}

void run_poll(struct module *m)
{
    struct run *r = &m->run;
    r->moved = 0;
    if (r->on && m->state != TOMOSHIBI_STATE_RUNNING && m->state != TOMOSHIBI_STATE_STOPPING) {
        give_up(m); /* a fault was latched */
    }
    if (r->on) {
        take_words(m);
        watch_detector(m);
    } else {
        r->moved = discard(r, RUN_WORDS_A_TURN) != 0;
    }
    tell_the_end(m);
}

/* --- what is told of it ---------------------------------------------------------------------- */

void run_report(const struct module *m, struct tomoshibi_report *report)
{
    const struct run *r = &m->run;
    *report = r->report;
    report->hits = r->intake.hits;
    report->words = r->frame.before;
    report->below = r->intake.below;
    report->dead = r->intake.dead;
    report->masked = r->intake.masked;
    report->invalid = r->intake.invalid;
    report->marks_missed = r->sync.missed;
    if (r->frame.open) {
        report->words += r->frame.count;
        report->lost += r->frame.lost;
    }
}

void run_telemetry(const struct module *m, struct tomoshibi_telemetry *t)
{
    const struct run *r = &m->run;
    t->hits = r->hits_before + r->intake.hits;
    t->words = r->words_before + r->frame.before;
    t->lock = (uint8_t)r->sync.lock;
    t->epoch = bias_epoch(m);
    t->period = r->report.last_period;
    t->marks_missed = r->sync.missed_ever;
    t->sync_losses = r->sync.losses;
}
