/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "hal.h"
#include "posix.h"
#include "tomoshibi_control.h"
#include "window.h"

const uint16_t hal_board = TOMOSHIBI_BOARD_POSIX;

int memory_start(void)
{
    void *memory = mmap(NULL, TOMOSHIBI_WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                        kept->window, 0);
    if (memory == MAP_FAILED) {
        fprintf(stderr, "window: cannot be mapped: %s\n", strerror(errno));
        return -1;
    }
    window_start(memory);
    return 0;
}

uint32_t world_read(uint32_t offset)
{
    return *window_word(TOMOSHIBI_WINDOW_WORLD + offset);
}

void world_write(uint32_t offset, uint32_t value)
{
    *window_word(TOMOSHIBI_WINDOW_WORLD + offset) = value;
}

void hal_show(uint32_t state)
{
    world_write(TOMOSHIBI_WORLD_SHOWN_STATE, state);
}

int hal_nv_erase(uint32_t offset, uint32_t bytes)
{
    return window_nv_erase(offset, bytes);
}

int hal_nv_write(uint32_t offset, const void *bytes, uint32_t count)
{
    return window_nv_write(offset, bytes, count);
}
