/* SPDX-License-Identifier: Apache-2.0
 *
 * Dead time, of the whole module or of each channel, non-paralysable or paralysable; the same sums
 * as the emulator's digitizer (emulator/detector/digitizer.py).
 *
 * Times are ticks since the run's start, kept modulo 2^32. A hit at T is dead where the counter's
 * end E lies ahead of it by at most twice the dead time: 0 < E - T <= 2 dead, unsigned. In a stream
 * in order of time E - T is never more than the dead time; the factor of two keeps hits dead that
 * come out of order by less than it. The dead time is at most 51 200 000 ticks, so an E that lies
 * less than 2^32 - 2 * 51 200 000 ticks = 15.6 periods in the past is never mistaken for one ahead.
 * Every period one eighth of the counters is swept: an E that has passed is set to the period's
 * start. So no E is older than 9 periods, plus 4 that a word's time can be ahead: 13 < 15.6.
 */
#ifndef TOMOSHIBI_DEAD_TIME_H
#define TOMOSHIBI_DEAD_TIME_H

#include <stdint.h>

struct dead_time;
struct module;

#define DEAD_TIME_SWEEPS 8u    /* periods for one sweep of all counters */
#define DEAD_TIME_UNIT_LOG2 8u /* the header's unit of 5 ns is 256 ticks */

void dead_time_begin(struct dead_time *d, const struct module *m); /* a run begins: all is alive */
/* The period has ended: its dead time for the header, in units of 5 ns, mean over the channels.
 * What is below a unit is kept for the next. */
uint32_t dead_time_end_period(struct dead_time *d);

#endif
