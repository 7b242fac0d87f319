/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults: what stops the module, what is remembered of it, and who hears of it.
 *
 * A latching fault cuts the bias and keeps the module in state fault until it is cleared; the
 * first one stays named. What else must stop, it says in `fresh`: the main loop stops it in the
 * same turn (control/turn.c). A further one is logged once, until the latch is cleared.
 * A fault that does not latch is logged at most once a second each; the others are counted only.
 * The log (128 to 256 newest faults) survives resets; damaged entries are left out and counted.
 * Every logged fault goes to the host as a notice, as soon as the line has room.
 */
#ifndef TOMOSHIBI_FAULTS_H
#define TOMOSHIBI_FAULTS_H

#include <stdint.h>

#include "base/nv_layout.h"
#include "tomoshibi_control.h"

struct module;

#define FAULTS_SECTOR_ENTRIES (NV_SECTOR / (uint32_t)sizeof(struct tomoshibi_fault_entry))
#define FAULTS_STACK_GUARD 128u /* bytes at the stack's end that must stay unused */

/* Reads the log, latches what the reset itself means (watchdog, brown-out). Before the others. */
void faults_start(struct module *m);
/* A fault happened: `value` was measured, `limit` was allowed. From any state, any number. */
void fault_raise(struct module *m, uint16_t fault, int32_t value, int32_t limit);
/* The latched fault, 0: none. */
uint16_t fault_latched(const struct module *m);
/* A latching fault whose cause is there now, 0: none; the latched one first. */
uint16_t fault_present(struct module *m);
/* Leaves state fault: status ok, or still_present; its detail is fault_present(). */
uint16_t faults_clear(struct module *m);
/* The log, newest first: how many entries there are; entry `index`: 1, or 0 where there is none. */
uint32_t faults_count(const struct module *m);
int fault_entry(const struct module *m, uint32_t index, struct tomoshibi_fault_entry *entry);
/* Sends the notices that wait. Every turn. */
void faults_poll(struct module *m);

#endif
