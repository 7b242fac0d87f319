/* SPDX-License-Identifier: Apache-2.0
 *
 * See dead_time.h; the test of each hit itself is in intake.c, in its loop.
 */
#include "events/dead_time.h"

#include "state/module.h"
#include "state/registers.h"

#define PASSED UINT32_C(0x80000000) /* end - base from here on: the end lies before the base */

void dead_time_begin(struct dead_time *d, const struct module *m)
{
    uint32_t i;
    d->ticks = (uint32_t)register_get(m, TOMOSHIBI_REGI_DEAD_TIME_TICKS);
    d->paralysable = (uint32_t)register_get(m, TOMOSHIBI_REGI_PARALYSABLE);
    d->mask = register_get(m, TOMOSHIBI_REGI_DEAD_TIME_SCOPE) ? CHANNELS_MOST - 1u : 0u;
    d->unit = 1u << DEAD_TIME_UNIT_LOG2;
    if (d->mask) {
        d->unit *= (uint32_t)register_get(m, TOMOSHIBI_REGI_CHANNELS);
    }
    d->base = 0;
    d->sweep = 0;
    d->sum = 0;
    for (i = 0; i < CHANNELS_MOST; i++) {
        d->ends[i] = 0;
    }
}

static void sweep(struct dead_time *d)
{
    uint32_t counters = d->mask ? CHANNELS_MOST / DEAD_TIME_SWEEPS : 1u;
    uint32_t *ends = d->ends + (d->mask ? d->sweep * counters : 0u);
    uint32_t i;
    for (i = 0; i < counters; i++) {
        if (ends[i] - d->base >= PASSED) {
            ends[i] = d->base;
        }
    }
    d->sweep = (d->sweep + 1u) % DEAD_TIME_SWEEPS;
}

uint32_t dead_time_end_period(struct dead_time *d)
{
    uint64_t units = d->sum / d->unit;
    d->sum -= units * d->unit;
    d->base += TOMOSHIBI_FRAME_PERIOD_TICKS;
    sweep(d);
    return units > UINT32_MAX ? UINT32_MAX : (uint32_t)units;
}
