/* SPDX-License-Identifier: Apache-2.0
 *
 * Values of the registers, and what telemetry remembers; the functions are in state/registers.h and
 * control/telemetry.h.
 */
#ifndef TOMOSHIBI_STATE_CONTROL_H
#define TOMOSHIBI_STATE_CONTROL_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct registers {
    int32_t values[TOMOSHIBI_REGISTER_COUNT];
};

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

#endif
