/* SPDX-License-Identifier: Apache-2.0
 *
 * A detector module: all of its state, and the turn of its main loop. No libc, no allocation, no
 * floating point. Every part is a file of its own with a struct of its own in here; parts speak
 * through the functions in their headers.
 */
#ifndef TOMOSHIBI_MODULE_H
#define TOMOSHIBI_MODULE_H

#include "safety/bias.h"
#include "store/config.h"
#include "safety/faults.h"
#include "line/link.h"
#include "line/outbox.h"
#include "state/registers.h"
#include "events/run.h"
#include "control/telemetry.h"
#include "store/update.h"

#define MODULE_TICKS_PER_US (TOMOSHIBI_COUNTER_HZ / 1000000u)
#define MODULE_TICKS_PER_MS (TOMOSHIBI_COUNTER_HZ / 1000u)

struct module {
    uint32_t state;          /* TOMOSHIBI_STATE_x */
    uint64_t now;            /* counter extended to 64 bits, at the start of this turn */
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

void module_start(struct module *m); /* once after reset: configuration, image, watchdog, HELLO */
void module_turn(struct module *m);  /* one turn: link, hits, frames, bias, faults, telemetry */
uint64_t module_clock(const struct module *m); /* the counter right now, 64 bits */
void module_state(struct module *m, uint32_t state); /* the one place where the state changes */

#endif
