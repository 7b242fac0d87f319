/* SPDX-License-Identifier: Apache-2.0 */
#include "window.h"

#include "hal.h"
#include "tomoshibi_control.h"

#define SLOT_BYTES (TOMOSHIBI_WINDOW_SLOT_B - TOMOSHIBI_WINDOW_SLOT_A)
#define HIT_COUNT(name) (TOMOSHIBI_WINDOW_HIT_RING + (TOMOSHIBI_RING_##name))
#define FRAME_COUNT(name) (TOMOSHIBI_WINDOW_FRAME_RING + (TOMOSHIBI_RING_##name))

static uint8_t *window;

void window_start(uint8_t *memory)
{
    window = memory;
}

volatile uint32_t *window_word(uint32_t offset)
{
    return (volatile uint32_t *)(void *)(window + offset);
}

void hal_memory_barrier(void)
{
    __sync_synchronize();
}

uint32_t hal_serial_number(void)
{
    return *window_word(TOMOSHIBI_WINDOW_WORLD + TOMOSHIBI_WORLD_SERIAL_NUMBER);
}

uint32_t hal_hits_peek(const uint64_t **words)
{
    uint32_t head = *window_word(HIT_COUNT(HEAD));
    uint32_t tail = *window_word(HIT_COUNT(TAIL));
    uint32_t at = tail % TOMOSHIBI_WINDOW_HIT_WORDS;
    uint32_t waiting = head - tail;
    hal_memory_barrier();
    if (waiting > TOMOSHIBI_WINDOW_HIT_WORDS) {
        /* counts that cannot be: the detector was exchanged; begin where it is now */
        *window_word(HIT_COUNT(TAIL)) = head;
        return 0;
    }
    *words = (const uint64_t *)(void *)(window + TOMOSHIBI_WINDOW_HIT_DATA) + at;
    return waiting < TOMOSHIBI_WINDOW_HIT_WORDS - at ? waiting : TOMOSHIBI_WINDOW_HIT_WORDS - at;
}

void hal_hits_take(uint32_t count)
{
    hal_memory_barrier();
    *window_word(HIT_COUNT(TAIL)) += count;
}

void hal_hits_discard(uint32_t count)
{
    *window_word(HIT_COUNT(DISCARDED)) += count;
    hal_hits_take(count);
}

void hal_hits_gate(uint32_t run_tag)
{
    *window_word(HIT_COUNT(GATE)) = run_tag;
}

uint32_t hal_hits_lost(void)
{
    return *window_word(HIT_COUNT(LOST));
}

uint8_t *hal_frames_memory(void)
{
    return window + TOMOSHIBI_WINDOW_FRAME_DATA;
}

uint32_t hal_frames_bytes(void)
{
    return TOMOSHIBI_WINDOW_FRAME_BYTES;
}

volatile uint32_t *hal_frames_head(void)
{
    return window_word(FRAME_COUNT(HEAD));
}

volatile uint32_t *hal_frames_tail(void)
{
    return window_word(FRAME_COUNT(TAIL));
}

const uint8_t *hal_nv(uint32_t offset)
{
    return window + (offset < TOMOSHIBI_WINDOW_BYTES ? offset : 0);
}

static int part_holds(uint32_t part, uint32_t part_bytes, uint32_t offset, uint32_t bytes)
{
    return offset >= part && bytes <= part_bytes && offset - part <= part_bytes - bytes;
}

int window_nv_holds(uint32_t offset, uint32_t bytes)
{
    return part_holds(TOMOSHIBI_WINDOW_NV, TOMOSHIBI_WINDOW_NV_BYTES, offset, bytes) ||
           part_holds(TOMOSHIBI_WINDOW_SLOT_A, SLOT_BYTES, offset, bytes) ||
           part_holds(TOMOSHIBI_WINDOW_SLOT_B, SLOT_BYTES, offset, bytes);
}

static int refused(uint32_t offset, uint32_t bytes)
{
    return *window_word(TOMOSHIBI_WINDOW_WORLD + TOMOSHIBI_WORLD_NV_BROKEN) != 0 ||
           !window_nv_holds(offset, bytes);
}

int window_nv_erase(uint32_t offset, uint32_t bytes)
{
    uint8_t *memory = window + offset;
    uint32_t i;
    if (refused(offset, bytes)) {
        return -1;
    }
    for (i = 0; i < bytes; i++) {
        memory[i] = 0xFF;
    }
    return 0;
}

int window_nv_write(uint32_t offset, const uint8_t *bytes, uint32_t count)
{
    uint8_t *memory = window + offset;
    uint32_t i;
    if (refused(offset, count)) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        memory[i] = (uint8_t)(memory[i] & bytes[i]);
    }
    return 0;
}
