/* SPDX-License-Identifier: Apache-2.0
 *
 * How the module is: rates over the last second, the scaler's gates of 100 ms, the longest turn of
 * the main loop; and the notice that says so every telemetry_ms.
 */
#ifndef TOMOSHIBI_TELEMETRY_H
#define TOMOSHIBI_TELEMETRY_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

struct telemetry {
    uint64_t second_began;
    uint64_t gate_began;
    uint64_t noticed;         /* when the last notice was due and given */
    uint64_t hits_before;     /* totals at second_began */
    uint64_t words_before;
    uint32_t hit_rate;
    uint32_t word_rate;
    uint32_t crossings_before; /* the comparator's count at gate_began */
    uint32_t scaler;
    uint32_t scaler_gates;
    uint32_t stack_bytes;     /* deepest, looked at once a second */
    uint32_t turn_longest;    /* ticks, in the present second */
    uint32_t loop_us;         /* of the last full second */
};

void telemetry_start(struct module *m);
void telemetry_poll(struct module *m);
void telemetry_turn(struct module *m, uint32_t ticks); /* a turn of the main loop took so long */
void telemetry_fill(struct module *m, struct tomoshibi_telemetry *t);

#endif
