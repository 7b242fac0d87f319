/* SPDX-License-Identifier: Apache-2.0
 *
 * All that the firmware needs of a board. A new board is a folder beside hal/posix and hal/mps2
 * that defines these functions and a main() that calls module_start() and module_turn() for ever
 * (docs/firmware.md). None of them blocks, except hal_idle() for its bound and those that say so.
 */
#ifndef TOMOSHIBI_HAL_H
#define TOMOSHIBI_HAL_H

#include <stddef.h>
#include <stdint.h>

/* --- identity and time -------------------------------------------------------------------- */
extern const uint16_t hal_board;            /* TOMOSHIBI_BOARD_x */
uint32_t hal_serial_number(void);
uint32_t hal_counter(void);                 /* free-running, TOMOSHIBI_COUNTER_HZ, wraps */
void hal_idle(uint32_t most_us);            /* sleep until there may be work, at most so long */

/* --- reset and supervision ---------------------------------------------------------------- */
uint32_t hal_reset_cause(void);             /* TOMOSHIBI_RESET_x */
uint32_t hal_starts(void);                  /* since power came, this one included */
void hal_watchdog_start(uint32_t timeout_us);
void hal_watchdog_kick(void);
void hal_reset(void);                       /* does not return (in a test program it may) */
void hal_down(void);                        /* brown-out: hold everything until supply is back, then
                                               reset with TOMOSHIBI_RESET_BROWN_OUT; as hal_reset */
uint32_t hal_stack_used(void);              /* deepest so far, bytes; 0: not known */
uint32_t hal_stack_size(void);              /* 0: not known */

/* --- the serial line ---------------------------------------------------------------------- */
uint32_t hal_serial_read(uint8_t *bytes, uint32_t most);          /* how many came */
uint32_t hal_serial_write(const uint8_t *bytes, uint32_t count);  /* how many it took */
uint32_t hal_serial_waiting(void);          /* bytes taken by hal_serial_write, not sent yet */
void hal_serial_baud(uint32_t baud);

/* --- the detector: a queue of hit words and period marks, see hw/wire/control.toml -------------- */
uint32_t hal_hits_peek(const uint64_t **words);  /* how many lie there in one piece */
void hal_hits_take(uint32_t count);
void hal_hits_discard(uint32_t count);      /* take and count as thrown away */
void hal_hits_gate(uint32_t run_tag);       /* 0: the module takes none */
uint32_t hal_hits_lost(void);               /* hits that the detector could not queue, ever */

/* --- where frames are made: memory of `hal_frames_bytes()` bytes, a power of two ----------- */
/* Used by core/line/outbox.c alone. The ring's head and tail are memory that the host may share. */
uint8_t *hal_frames_memory(void);           /* aligned to 8 */
uint32_t hal_frames_bytes(void);
volatile uint32_t *hal_frames_head(void);   /* producer: the firmware */
volatile uint32_t *hal_frames_tail(void);   /* consumer: the host (data path ring), else core */
void hal_memory_barrier(void);              /* what was written before is seen before what follows */

/* --- datagrams: both parts are sent as one; 0: no room now, try again; -1: this board has none */
int hal_datagram_send(const void *head, uint32_t head_bytes, const void *body, uint32_t body_bytes);

/* --- analogue ----------------------------------------------------------------------------- */
enum hal_analogue { HAL_BIAS_MV, HAL_CURRENT_NA, HAL_TEMPERATURE_CC, HAL_SUPPLY_MV };
int32_t hal_adc(enum hal_analogue what);
void hal_bias_dac(uint32_t millivolt);      /* 0 switches the supply off at once */
int hal_interlock_closed(void);
void hal_comparator(uint32_t millivolt);
uint32_t hal_comparator_count(void);        /* crossings, ever; wraps */

/* --- non-volatile memory: offsets in the window's nv and slots, see hw/wire/control.toml --------- */
/* Mapped for reading. Writing returns 0, or -1 where the memory refused. Erased bytes are 0xFF. */
const uint8_t *hal_nv(uint32_t offset);     /* offset from TOMOSHIBI_WINDOW_x */
int hal_nv_erase(uint32_t offset, uint32_t bytes);
int hal_nv_write(uint32_t offset, const void *bytes, uint32_t count);

/* --- images --------------------------------------------------------------------------------- */
uint32_t hal_running_slot(void);            /* TOMOSHIBI_SLOT_x: where this program came from */
void hal_boot_image(uint32_t slot, const uint8_t *image, uint32_t bytes); /* does not return if it
                                               could start it */
void hal_show(uint32_t state);              /* lamps, or the page that tests look at */

#endif
