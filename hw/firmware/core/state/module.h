/* SPDX-License-Identifier: Apache-2.0
 *
 * A detector module: all of its state. No libc, no allocation, no floating point. What each part
 * remembers is a struct in state/, its functions are a file of the part's own that takes the whole
 * module: parts read what others remember, change what is theirs, and call only parts that lie
 * below them (tests/firmware/core/test_includes.py).
 */
#ifndef TOMOSHIBI_MODULE_H
#define TOMOSHIBI_MODULE_H

#include "state/control.h"
#include "state/events.h"
#include "state/line.h"
#include "state/safety.h"
#include "state/store.h"

#define MODULE_TICKS_PER_US (TOMOSHIBI_COUNTER_HZ / 1000000u)
#define MODULE_TICKS_PER_MS (TOMOSHIBI_COUNTER_HZ / 1000u)

struct module {
    uint32_t state;          /* TOMOSHIBI_STATE_x */
    uint64_t now;            /* counter extended to 64 bits, at the start of this turn */
    uint64_t host_heard_at;  /* `now` at the last good command, or at the start */
    struct registers registers;
    struct link link;
    struct bias bias;
    struct faults faults;
    struct config config;
    struct update update;
    struct run run;
    struct outbox outbox;
    struct telemetry telemetry;
};

uint64_t module_clock(const struct module *m); /* the counter right now, 64 bits */
void module_state(struct module *m, uint32_t state); /* the one place where the state changes */
uint32_t module_host_silent_ms(const struct module *m); /* since host_heard_at; saturates */

#endif
