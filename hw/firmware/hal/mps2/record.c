/* SPDX-License-Identifier: Apache-2.0
 *
 * Reset and supervision. The board has no register that tells why it was reset, so the program
 * notes before each reset what the next start should know, in memory that no start clears. The
 * watchdog's first time-out is an interrupt that nothing masks: it notes that, its second resets.
 */
#include "base/crc32c.h"
#include "mps2.h"

#define RECORD_MAGIC 0x44524354u /* "TCRD" */

#define WATCHDOG_LOAD MPS2_REGISTER(MPS2_WATCHDOG, 0x000u)
#define WATCHDOG_CONTROL MPS2_REGISTER(MPS2_WATCHDOG, 0x008u)
#define WATCHDOG_CLEAR MPS2_REGISTER(MPS2_WATCHDOG, 0x00Cu)
#define WATCHDOG_LOCK MPS2_REGISTER(MPS2_WATCHDOG, 0xC00u)
#define WATCHDOG_UNLOCK 0x1ACCE551u
#define WATCHDOG_INTERRUPT_AND_RESET 3u
#define LAST_WORDS_US 1000u
#define TICKS_PER_US (TOMOSHIBI_COUNTER_HZ / 1000000u)

struct record {
    uint32_t magic;
    uint32_t starts;     /* since power came */
    uint32_t cause;      /* of this start */
    uint32_t next_cause; /* of the next one, should it come now */
    uint32_t slot;       /* image that runs */
    uint32_t crc;
};

static struct record *record(void)
{
    return (struct record *)(void *)mps2_record_start;
}

static uint32_t record_crc(void)
{
    return crc32c(0u, record(), (uint32_t)offsetof(struct record, crc));
}

static void record_seal(void)
{
    record()->crc = record_crc();
}

void mps2_record_start_up(void)
{
    struct record *r = record();
    if (!mps2_is_factory_image()) {
        return; /* the factory image counted this start before it started this one */
    }
    if (r->magic == RECORD_MAGIC && r->crc == record_crc()) {
        r->starts++;
        r->cause = r->next_cause;
    } else {
        r->magic = RECORD_MAGIC;
        r->starts = 1u;
        r->cause = TOMOSHIBI_RESET_POWER_ON;
    }
    r->next_cause = TOMOSHIBI_RESET_SOFTWARE; /* the reset button: asked for */
    r->slot = TOMOSHIBI_SLOT_FACTORY;
    record_seal();
}

void mps2_record_next(uint32_t cause)
{
    record()->next_cause = cause;
    record_seal();
}

void mps2_record_slot(uint32_t slot)
{
    record()->slot = slot;
    record_seal();
}

uint32_t hal_reset_cause(void)
{
    return record()->cause;
}

uint32_t hal_starts(void)
{
    return record()->starts;
}

uint32_t hal_running_slot(void)
{
    return record()->slot;
}

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
