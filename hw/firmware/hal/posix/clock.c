/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "hal.h"
#include "posix.h"
#include "tomoshibi_control.h"

#define NS_PER_TICK (UINT32_C(1000000000) / TOMOSHIBI_COUNTER_HZ)
/* An idle module looks at its hit queue so often, whatever the core asks: a period takes 5.2 ms,
   and 48 modules share two processors. */
#define LOOK_US 2000u

static uint64_t started_ns;

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

void clock_start(void)
{
    started_ns = now_ns();
}

uint32_t hal_counter(void)
{
    uint64_t ticks = (now_ns() - started_ns) / NS_PER_TICK;
    return (uint32_t)ticks + world_read(TOMOSHIBI_WORLD_COUNTER_START);
}

void hal_idle(uint32_t most_us)
{
    const uint64_t *words;
    int takes_hits = world_read(TOMOSHIBI_WINDOW_HIT_RING + TOMOSHIBI_RING_GATE) != 0;
    if (takes_hits && hal_hits_peek(&words) != 0) {
        return;
    }
    serial_wait(most_us > LOOK_US ? most_us : LOOK_US);
}

uint32_t hal_stack_used(void)
{
    return 0; /* the kernel lets it grow: not known */
}

uint32_t hal_stack_size(void)
{
    return 0;
}
