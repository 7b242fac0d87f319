/* SPDX-License-Identifier: Apache-2.0
 *
 * Time: the FPGA's counter, free-running at 25 MHz, and sleeping. Time is never counted in
 * interrupts: SysTick only ends a sleep.
 */
#include "mps2.h"

#define TICKS_PER_US (TOMOSHIBI_COUNTER_HZ / 1000000u)
#define SYST_MOST_TICKS 0x00FFFFFFu
#define SYST_ENABLE_WITH_INTERRUPT 7u
#define ICSR_CLEAR_PENDING_TICK (1u << 25)

/* After a byte others follow. Waiting for them awake takes them in several times faster than going
 * to sleep after each; looking at memory, not at registers, leaves the bus (in QEMU: the machine's
 * other thread) to the UART. About 50 us without a byte end it, and 1 ms in any case. */
#define QUIET_LOOKS 20000u
#define MOST_LOOKS 400000u

uint32_t hal_counter(void)
{
    return MPS2_COUNTER;
}

void mps2_clock_start(void)
{
    MPS2_PRESCALE = 0u;
    if (hal_reset_cause() == TOMOSHIBI_RESET_POWER_ON && mps2_is_factory_image()) {
        MPS2_COUNTER = *mps2_window(TOMOSHIBI_WINDOW_WORLD + TOMOSHIBI_WORLD_COUNTER_START);
    }
}

void mps2_on_tick(void)
{
    MPS2_SYST_CSR = 0u;
}

/* With interrupts off: WFI ends with a pending interrupt, which is taken when they are on again. */
static void sleep_with_interrupts_off(uint32_t ticks)
{
    MPS2_SYST_CSR = 0u;
    MPS2_SYST_RVR = ticks;
    MPS2_SYST_CVR = 0u;
    MPS2_SYST_CSR = SYST_ENABLE_WITH_INTERRUPT;
    __asm__ volatile("dsb\n\twfi" ::: "memory");
    MPS2_SYST_CSR = 0u;
    MPS2_ICSR = ICSR_CLEAR_PENDING_TICK;
}

static uint32_t ticks_of(uint32_t most_us)
{
    return most_us < SYST_MOST_TICKS / TICKS_PER_US ? most_us * TICKS_PER_US : SYST_MOST_TICKS;
}

void mps2_sleep_us(uint32_t most_us)
{
    mps2_interrupts_off();
    sleep_with_interrupts_off(ticks_of(most_us));
    mps2_interrupts_on();
}

static void take_in(void)
{
    uint32_t bytes = mps2_serial_bytes_in();
    uint32_t quiet = 0;
    uint32_t looks;
    for (looks = 0; looks < MOST_LOOKS && quiet < QUIET_LOOKS; looks++) {
        uint32_t now = mps2_serial_bytes_in();
        quiet = now == bytes ? quiet + 1u : 0u;
        bytes = now;
    }
}

void hal_idle(uint32_t most_us)
{
    mps2_freeze_if_asked();
    if (most_us == 0u) {
        return;
    }
    if (mps2_serial_heard()) {
        take_in();
        return;
    }
    mps2_interrupts_off();
    if (!mps2_serial_waiting_in()) {
        sleep_with_interrupts_off(ticks_of(most_us));
    }
    mps2_interrupts_on();
}
