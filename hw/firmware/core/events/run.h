/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs: takes hits while one is on, closes a frame with each period mark, keeps the books.
 *
 * The books close exactly: hits = words of kind single + below + dead + lost + masked + invalid.
 * `lost` has what the detector's queue lost, what found its frame full, and what was in the frame
 * under way when a run was given up. Words of dropped frames count as words: the next frame's
 * events_before tells the host of them; `frames` + `frames_dropped` sequence numbers were used.
 * Hits that come while no run is on are thrown away and counted in `discarded` of the last report.
 *
 * Each turn takes at most RUN_WORDS_A_TURN words, and no more once RUN_TURN_MS have passed since
 * its start, so that the line stays in time on a slow board too; some are taken in any case.
 */
#ifndef TOMOSHIBI_RUN_H
#define TOMOSHIBI_RUN_H

#include <stdint.h>

#include "events/channels.h"
#include "events/dead_time.h"
#include "events/frame.h"
#include "events/intake.h"
#include "events/sync.h"
#include "tomoshibi_control.h"

struct module;

#define RUN_WORDS_A_TURN 8192u
#define RUN_TURN_MS 2u
#define RUN_SILENCE_MS 2000u

enum run_end { RUN_ON, RUN_END_HOST, RUN_END_PERIODS, RUN_END_DETECTOR, RUN_END_GIVEN_UP };

struct run {
    uint32_t on;
    uint32_t stopping;        /* the present period is the last */
    uint32_t periods;         /* frames to make, 0: no end */
    uint32_t first;           /* no frame yet in this run */
    uint32_t detector_lost;   /* hal_hits_lost() as last seen */
    uint32_t silent;          /* detector_silent was raised for this silence */
    uint32_t notice_due;      /* run_ended had no room on the line yet */
    uint32_t moved;           /* words were taken in the last run_poll */
    uint64_t heard_at;        /* counter at the last sign of the detector */
    uint64_t notice_at;       /* when to try it again */
    uint64_t hits_before;     /* of all runs before, since the start */
    uint64_t words_before;
    struct tomoshibi_report report;
    struct channels channels;
    struct intake intake;
    struct dead_time dead_time;
    struct sync sync;
    struct frame frame;
};

void run_start(struct module *m);
void run_poll(struct module *m);
/* Status: ok, bad_state, faulted, no_bias, bad_value (run_tag 0). */
uint16_t run_begin(struct module *m, uint32_t run_tag, uint32_t periods, uint32_t first_sequence);
uint16_t run_stop(struct module *m);  /* ok, bad_state */
uint16_t run_abort(struct module *m); /* gives the run up; ok, bad_state */
void run_report(const struct module *m, struct tomoshibi_report *report);
void run_telemetry(const struct module *m, struct tomoshibi_telemetry *t);

#endif
