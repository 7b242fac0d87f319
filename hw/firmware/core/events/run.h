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

#include "tomoshibi_control.h"

struct module;

#define RUN_WORDS_A_TURN 8192u
#define RUN_TURN_MS 2u
#define RUN_SILENCE_MS 2000u

enum run_end { RUN_ON, RUN_END_HOST, RUN_END_PERIODS, RUN_END_DETECTOR, RUN_END_GIVEN_UP };

void run_start(struct module *m);
void run_poll(struct module *m);
/* Status: ok, bad_state, faulted, no_bias, bad_value (run_tag 0). */
uint16_t run_begin(struct module *m, uint32_t run_tag, uint32_t periods, uint32_t first_sequence);
uint16_t run_stop(struct module *m);  /* ok, bad_state */
uint16_t run_abort(struct module *m); /* gives the run up; ok, bad_state */
void run_report(const struct module *m, struct tomoshibi_report *report);
void run_telemetry(const struct module *m, struct tomoshibi_telemetry *t);

#endif
