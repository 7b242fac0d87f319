/* SPDX-License-Identifier: Apache-2.0
 *
 * From reset to main(): vector table, memory, stacks; and what happens when the program goes wrong:
 * it stops, and the watchdog resets the board.
 */
#include "mps2.h"

#define STACK_PAINT 0x5AFEC0DEu

typedef void (*mps2_handler)(void);

struct mps2_vectors {
    uint32_t *stack;
    mps2_handler handlers[15];
    mps2_handler interrupts[32];
};

extern const struct mps2_vectors mps2_vector_table;

/* Handlers run on the main stack, the program on the process stack; see sections.ld. */
__attribute__((section(".vectors"), used)) const struct mps2_vectors mps2_vector_table = {
    mps2_handler_stack_end,
    {mps2_on_reset, mps2_on_watchdog, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     0, 0, 0, 0, mps2_on_fault, mps2_on_fault, 0, mps2_on_fault, mps2_on_tick},
    {mps2_on_serial_in, mps2_on_serial_out, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault, mps2_on_fault,
     mps2_on_fault, mps2_on_fault, mps2_on_fault}};

static void copy_words(uint32_t *to, const uint32_t *from, const uint32_t *end_of_to)
{
    while (to < end_of_to) {
        *to++ = *from++;
    }
}

static void fill_words(uint32_t *to, const uint32_t *end, uint32_t value)
{
    while (to < end) {
        *to++ = value;
    }
}

static void run(void)
{
    mps2_interrupts_on();
    (void)main();
    mps2_on_fault(); /* main() never returns */
}

__attribute__((used, noreturn)) void mps2_start_program(void)
{
    copy_words(mps2_data_start, mps2_data_load, mps2_data_end);
    fill_words(mps2_bss_start, mps2_bss_end, 0u);
    fill_words(mps2_stack_start, mps2_stack_end, STACK_PAINT);
    MPS2_VTOR = (uint32_t)mps2_code_start;
    MPS2_CCR |= MPS2_CCR_STKALIGN;
    mps2_record_start_up();
    __asm__ volatile("msr psp, %0\n\t"
                     "movs r0, #2\n\t"
                     "msr control, r0\n\t"
                     "isb"
                     :
                     : "r"(mps2_stack_end)
                     : "r0", "memory");
    run();
    for (;;) {
    }
}

/* Also entered from the factory image's hal_boot_image(): nothing is taken for granted. */
__attribute__((naked, noreturn)) void mps2_on_reset(void)
{
    __asm__ volatile("cpsid i\n\t"
                     "ldr r0, =mps2_handler_stack_end\n\t"
                     "msr msp, r0\n\t"
                     "movs r0, #0\n\t"
                     "msr control, r0\n\t"
                     "isb\n\t"
                     "b mps2_start_program");
}

void mps2_on_fault(void)
{
    mps2_interrupts_off();
    mps2_record_next(TOMOSHIBI_RESET_WATCHDOG);
    hal_bias_dac(0u);
    mps2_reset();
}

/* Addresses, not pointers: the linker's symbols are objects of their own to the compiler. */
uint32_t hal_stack_size(void)
{
    return (uint32_t)mps2_stack_end - (uint32_t)mps2_stack_start;
}

uint32_t hal_stack_used(void)
{
    uint32_t words = hal_stack_size() / 4u;
    uint32_t untouched = 0;
    while (untouched < words && mps2_stack_start[untouched] == STACK_PAINT) {
        untouched++;
    }
    return (words - untouched) * 4u;
}
