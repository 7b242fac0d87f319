/* SPDX-License-Identifier: Apache-2.0
 *
 * Reset and supervision; each reset is noted in the record before it happens. The watchdog's first
 * time-out is an interrupt that nothing masks: it notes that, its second resets.
 */
#include "mps2.h"

#define WATCHDOG_LOAD MPS2_REGISTER(MPS2_WATCHDOG, 0x000u)
#define WATCHDOG_CONTROL MPS2_REGISTER(MPS2_WATCHDOG, 0x008u)
#define WATCHDOG_CLEAR MPS2_REGISTER(MPS2_WATCHDOG, 0x00Cu)
#define WATCHDOG_LOCK MPS2_REGISTER(MPS2_WATCHDOG, 0xC00u)
#define WATCHDOG_UNLOCK 0x1ACCE551u
#define WATCHDOG_INTERRUPT_AND_RESET 3u
#define LAST_WORDS_US 1000u
#define TICKS_PER_US (TOMOSHIBI_COUNTER_HZ / 1000000u)

/* --- watchdog ------------------------------------------------------------------------------ */

void hal_watchdog_start(uint32_t timeout_us)
{
    uint32_t most_us = UINT32_MAX / TICKS_PER_US;
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_LOAD = (timeout_us < most_us ? timeout_us : most_us) * TICKS_PER_US;
    WATCHDOG_CONTROL = WATCHDOG_INTERRUPT_AND_RESET;
    WATCHDOG_LOCK = 0u;
}

void hal_watchdog_kick(void)
{
    mps2_freeze_if_asked();
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_CLEAR = 1u;
    WATCHDOG_LOCK = 0u;
}

void mps2_watchdog_stop(void)
{
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_CONTROL = 0u;
    WATCHDOG_LOCK = 0u;
}

void mps2_on_watchdog(void)
{
    mps2_interrupts_off();
    mps2_record_next(TOMOSHIBI_RESET_WATCHDOG);
    hal_bias_dac(0u);
    WATCHDOG_LOCK = WATCHDOG_UNLOCK;
    WATCHDOG_LOAD = LAST_WORDS_US * TICKS_PER_US; /* the second time-out in a row resets */
    for (;;) {
    }
}

/* --- resets -------------------------------------------------------------------------------- */

void mps2_reset(void)
{
    hal_memory_barrier();
    MPS2_AIRCR = MPS2_AIRCR_RESET;
    hal_memory_barrier();
    for (;;) {
    }
}

void hal_reset(void)
{
    hal_bias_dac(0u);
    mps2_record_next(TOMOSHIBI_RESET_SOFTWARE);
    mps2_reset();
}

void hal_down(void)
{
    hal_bias_dac(0u);
    mps2_watchdog_stop();
    mps2_record_next(TOMOSHIBI_RESET_BROWN_OUT);
    while (!mps2_supply_is_back()) {
        mps2_sleep_us(1000u);
    }
    mps2_reset();
}
