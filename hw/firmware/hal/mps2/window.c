/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory that module, detector and host share (PSRAM): hit queue, frames, non-volatile memory
 * and update slots, and the world page that tests set. Layout: [window] of hw/wire/control.toml.
 */
#include "mps2.h"

#define HITS(name) (*mps2_window(TOMOSHIBI_WINDOW_HIT_RING + TOMOSHIBI_RING_##name))
#define WORLD(name) (*mps2_window(TOMOSHIBI_WINDOW_WORLD + TOMOSHIBI_WORLD_##name))
#define HIT_MASK (TOMOSHIBI_WINDOW_HIT_WORDS - 1u)

const uint16_t hal_board = TOMOSHIBI_BOARD_MPS2_AN386;

void hal_memory_barrier(void)
{
    __asm__ volatile("dmb" ::: "memory");
}

uint32_t hal_serial_number(void)
{
    return WORLD(SERIAL_NUMBER);
}

void mps2_window_start(void)
{
    HITS(GATE) = 0u;
    if (mps2_is_factory_image()) {
        WORLD(SHOWN_STARTS)++;
    }
}

void mps2_freeze_if_asked(void)
{
    if (WORLD(FREEZE)) {
        WORLD(FREEZE) = 0u;
        for (;;) {
        }
    }
}

void hal_show(uint32_t state)
{
    WORLD(SHOWN_STATE) = state;
    WORLD(SHOWN_ALIVE)++;
}

/* --- hits ---------------------------------------------------------------------------------- */

uint32_t hal_hits_peek(const uint64_t **words)
{
    uint32_t tail = HITS(TAIL);
    uint32_t waiting = HITS(HEAD) - tail;
    uint32_t place = tail & HIT_MASK;
    uint32_t to_end = TOMOSHIBI_WINDOW_HIT_WORDS - place;
    hal_memory_barrier(); /* the words were written before the head was */
    *words = (const uint64_t *)(MPS2_WINDOW + TOMOSHIBI_WINDOW_HIT_DATA) + place;
    return waiting < to_end ? waiting : to_end;
}

void hal_hits_take(uint32_t count)
{
    hal_memory_barrier(); /* the words were read before the producer may write over them */
    HITS(TAIL) += count;
}

void hal_hits_discard(uint32_t count)
{
    HITS(DISCARDED) += count;
    hal_hits_take(count);
}

void hal_hits_gate(uint32_t run_tag)
{
    hal_memory_barrier();
    HITS(GATE) = run_tag;
}

uint32_t hal_hits_lost(void)
{
    return HITS(LOST);
}

/* --- frames -------------------------------------------------------------------------------- */

uint8_t *hal_frames_memory(void)
{
    return (uint8_t *)(MPS2_WINDOW + TOMOSHIBI_WINDOW_FRAME_DATA);
}

uint32_t hal_frames_bytes(void)
{
    return TOMOSHIBI_WINDOW_FRAME_BYTES;
}

volatile uint32_t *hal_frames_head(void)
{
    return mps2_window(TOMOSHIBI_WINDOW_FRAME_RING + TOMOSHIBI_RING_HEAD);
}

volatile uint32_t *hal_frames_tail(void)
{
    return mps2_window(TOMOSHIBI_WINDOW_FRAME_RING + TOMOSHIBI_RING_TAIL);
}

/* --- non-volatile memory ------------------------------------------------------------------- */

static int nv_refuses(uint32_t offset, uint32_t bytes)
{
    uint32_t end = TOMOSHIBI_WINDOW_SLOT_B + TOMOSHIBI_IMAGE_MAX_BYTES +
                   (uint32_t)sizeof(struct tomoshibi_image);
    return WORLD(NV_BROKEN) || offset < TOMOSHIBI_WINDOW_NV || offset > end ||
           bytes > end - offset;
}

const uint8_t *hal_nv(uint32_t offset)
{
    return (const uint8_t *)(MPS2_WINDOW + offset);
}

int hal_nv_erase(uint32_t offset, uint32_t bytes)
{
    uint8_t *to = (uint8_t *)(MPS2_WINDOW + offset);
    uint32_t i;
    if (nv_refuses(offset, bytes)) {
        return -1;
    }
    for (i = 0; i < bytes; i++) {
        to[i] = 0xFFu;
    }
    return 0;
}

int hal_nv_write(uint32_t offset, const void *bytes, uint32_t count)
{
    volatile uint8_t *to = (volatile uint8_t *)(MPS2_WINDOW + offset);
    const uint8_t *from = bytes;
    uint32_t i;
    if (nv_refuses(offset, count)) {
        return -1;
    }
    for (i = 0; i < count; i++) {
        to[i] = (uint8_t)(to[i] & from[i]); /* as flash: only an erase sets bits */
    }
    return 0;
}
