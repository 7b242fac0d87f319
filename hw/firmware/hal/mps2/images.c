/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting an update image: it was linked to run from RAM (update.ld), so it is copied there.
 * core/store/update.c has verified it; what is checked here is that its first two words can be a start.
 */
#include "base/memory.h"
#include "mps2.h"

#define DATA_START 0x20000000u
#define DATA_END 0x20200000u

static int can_start(uint32_t stack, uint32_t entry, uint32_t bytes)
{
    uint32_t start = (uint32_t)mps2_exec_start;
    return stack > DATA_START && stack <= DATA_END && (stack & 7u) == 0u && (entry & 1u) == 1u &&
           entry >= start && entry < start + bytes;
}

__attribute__((noreturn)) static void jump(uint32_t entry)
{
    __asm__ volatile("dsb\n\tisb\n\tbx %0" : : "r"(entry) : "memory");
    for (;;) {
    }
}

void hal_boot_image(uint32_t slot, const uint8_t *image, uint32_t bytes)
{
    const uint32_t *words = (const uint32_t *)(const void *)image;
    uint32_t room = (uint32_t)mps2_exec_end - (uint32_t)mps2_exec_start;
    if (!mps2_is_factory_image() || bytes < 8u || bytes > room ||
        !can_start(words[0], words[1], bytes)) {
        return;
    }
    mps2_interrupts_off();
    mps2_serial_stop();
    MPS2_SYST_CSR = 0u;
    mem_copy(mps2_exec_start, image, bytes);
    mps2_record_slot(slot);
    hal_memory_barrier();
    jump(mps2_exec_start[1]);
}
