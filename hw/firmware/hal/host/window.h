/* SPDX-License-Identifier: Apache-2.0
 *
 * The window ([window] in hw/wire/control.toml) as the detector's queue, the frames' memory and the
 * non-volatile memory of a simulated board. window.c defines hal_hits_x(), hal_frames_x(),
 * hal_memory_barrier(), hal_nv() and hal_serial_number(); a HAL that uses it calls window_start()
 * before anything else.
 */
#ifndef TOMOSHIBI_WINDOW_H
#define TOMOSHIBI_WINDOW_H

#include <stdint.h>

void window_start(uint8_t *memory);                /* TOMOSHIBI_WINDOW_BYTES, aligned to 8 */
volatile uint32_t *window_word(uint32_t offset);   /* a ring's count or a word of the world page */

/* As flash does: erasing sets all bits, writing can only clear them. 0, or -1: refused (the world
   says that the memory is broken, or not all of it lies in the non-volatile parts). */
int window_nv_erase(uint32_t offset, uint32_t bytes);
int window_nv_write(uint32_t offset, const uint8_t *bytes, uint32_t count);
int window_nv_holds(uint32_t offset, uint32_t bytes); /* whether all of it is non-volatile */

#endif
