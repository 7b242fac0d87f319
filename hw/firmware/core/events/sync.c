/* SPDX-License-Identifier: Apache-2.0
 *
 * See sync.h. Numbers of marks are compared modulo 2^30: "ahead" is the distance forward.
 */
#include "events/sync.h"

#include "safety/faults.h"
#include "state/module.h"
#include "state/registers.h"

#define NUMBER_MASK TOMOSHIBI_WORD_TIME_MASK
#define FURTHEST (UINT32_C(1) << 24) /* periods, a day: more is a counter that began anew */

void sync_start(struct sync *s)
{
    s->lock = TOMOSHIBI_LOCK_UNLOCKED;
    s->with = 0;
    s->losses = 0;
    s->missed_ever = 0;
    sync_begin(s);
}

void sync_begin(struct sync *s)
{
    s->without = 0;
    s->expected = 0;
    s->last = 0;
    s->shift = 0;
    s->any = 0;
    s->missed = 0;
}

static uint32_t ahead(uint32_t number, uint32_t expected)
{
    return (number - expected) & NUMBER_MASK;
}

/* How many periods further than expected the mark says it is: what to believe, see sync.h. */
static uint32_t believed(struct sync *s, uint32_t number)
{
    uint32_t distance = ahead(number, s->expected);
    int follows = number == ((s->last + 1u) & NUMBER_MASK);
    if (distance <= SYNC_LEAP || (follows && distance <= FURTHEST)) {
        s->shift = 0;
        s->missed += distance;
        s->missed_ever += distance;
        return distance;
    }
    distance = ahead(number + s->shift, s->expected);
    if (distance > SYNC_LEAP) {
        s->shift = s->expected - number;
        distance = 0;
        s->missed++;
        s->missed_ever++;
    }
    s->missed += distance;
    s->missed_ever += distance;
    return distance;
}

static void lose(struct module *m, uint32_t bound)
{
    struct sync *s = &m->run.sync;
    s->losses += s->lock == TOMOSHIBI_LOCK_LOCKED;
    s->lock = TOMOSHIBI_LOCK_UNLOCKED;
    fault_raise(m, TOMOSHIBI_FAULT_SYNC_LOST, (int32_t)s->without, (int32_t)bound);
}

static void miss(struct module *m, uint32_t pulses)
{
    struct sync *s = &m->run.sync;
    uint32_t bound = (uint32_t)register_get(m, TOMOSHIBI_REGI_SYNC_LOSS_COUNT);
    uint32_t before = s->without;
    if (pulses == 0) {
        return;
    }
    s->with = 0;
    s->without = pulses < UINT32_MAX / 2u - before ? before + pulses : UINT32_MAX / 2u;
    if (s->without >= bound && (before < bound || s->lock == TOMOSHIBI_LOCK_LOCKED)) {
        lose(m, bound);
    }
}

static void pulse(struct module *m)
{
    struct sync *s = &m->run.sync;
    s->without = 0;
    s->with += s->with < UINT32_MAX;
    if (s->with >= (uint32_t)register_get(m, TOMOSHIBI_REGI_SYNC_LOCK_COUNT)) {
        s->lock = TOMOSHIBI_LOCK_LOCKED;
    }
}

int sync_mark(struct module *m, uint32_t number, int synced, uint32_t *period)
{
    struct sync *s = &m->run.sync;
    uint32_t absent = 0;
    if (s->any && number == s->last) {
        s->missed++;
        s->missed_ever++;
        *period = s->expected;
        return 0;
    }
    if (s->any) {
        absent = believed(s, number);
    } else {
        s->expected = number;
    }
    s->any = 1;
    s->last = number;
    *period = s->expected + absent;
    s->expected = *period + 1u;
    miss(m, absent + (synced ? 0u : 1u));
    if (synced) {
        pulse(m);
    }
    return 1;
}
