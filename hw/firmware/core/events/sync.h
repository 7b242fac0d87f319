/* SPDX-License-Identifier: Apache-2.0
 *
 * Period marks: which period each ends, and whether the SYNC pulses make a lock.
 *
 * Marks count periods in 30 bits. One ahead of its time means that marks in between did not come:
 * they are counted and its number is taken. The same mark twice is counted and left out. One that
 * is behind (the detector's counter began anew), or further ahead than SYNC_LEAP (the host would
 * refuse it), is counted as one missed and the module goes on by its own count, until the marks
 * agree with that count again, or a second one confirms the leap forward (of a day at most).
 */
#ifndef TOMOSHIBI_SYNC_H
#define TOMOSHIBI_SYNC_H

#include <stdint.h>

struct sync;
struct module;

#define SYNC_LEAP 64u /* as the host's bound (daq/path/frame_check.py) */

void sync_start(struct sync *s); /* after a reset */
void sync_begin(struct sync *s); /* a run begins; the lock stays as it is */
/* A mark came. 1: it ends period *period; 0: it is the last one once more. */
int sync_mark(struct module *m, uint32_t number, int synced, uint32_t *period);

#endif
