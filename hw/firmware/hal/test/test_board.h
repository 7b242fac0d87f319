/* SPDX-License-Identifier: Apache-2.0
 *
 * A board inside a test program: its clock stands until the test moves it, its serial line is two
 * byte queues, its world, rings and non-volatile memory are a window in memory, and what the
 * firmware asked of it is written down. hal_reset(), hal_down() and hal_boot_image() are written
 * down and return: the test decides what then happens. tests/rigs/firmware/core_board.py drives it.
 */
#ifndef TOMOSHIBI_TEST_BOARD_H
#define TOMOSHIBI_TEST_BOARD_H

#include <stdint.h>

struct module;

struct test_board {
    /* what the test sets */
    uint32_t counter;           /* hal_counter() */
    uint32_t reset_cause, starts, running_slot;
    uint32_t line_bytes_per_ms; /* speed of the serial line; 0: takes everything at once */
    int32_t datagram_answer;    /* 1: takes datagrams; 0: has no room; -1: has no Ethernet */
    uint32_t nv_budget;         /* bytes written (erasing: 1 a sector) until the power is cut;
                                   then nothing is done, returning 0; 0xFFFFFFFF: never */
    uint32_t adc_is_set;        /* bit n: hal_adc(n) is adc[n], not the board model's */
    int32_t adc[4];             /* by enum hal_analogue */
    uint32_t stack_used, stack_size;
    /* what the firmware did */
    uint32_t resets, downs;     /* calls of hal_reset(), hal_down() */
    uint32_t boots;             /* calls of hal_boot_image() */
    uint32_t boot_slot, boot_bytes; /* of the first */
    uint32_t watchdog_us, kicks;
    uint32_t baud, shown_state;
    uint32_t dac_mV, comparator_mV;
    uint32_t nv_writes, nv_erases;
    uint32_t nv_overwrites;     /* writes that wanted to set bits which were not erased: a bug */
    uint32_t nv_refused;        /* writes and erases outside of the non-volatile parts: a bug */
    uint32_t idles, idle_us;
    uint32_t datagrams, datagram_bytes;
    uint32_t line_pending, line_at; /* bytes on their way, and counter up to which they were sent */
};

struct test_board *test_board(void);
struct module *test_module(void);
uint8_t *test_window(void);             /* TOMOSHIBI_WINDOW_BYTES */
void test_new_board(void);              /* as out of the box; the module is not started */
void test_forget_module(void);          /* what a reset does to the memory of the program */
int test_asked_to_stop(void);           /* reset, down or boot was asked since the module started */
/* Turns of the main loop, the counter moving on before each; ends early when asked to stop.
   Returns how many it made. */
uint32_t test_turns(uint32_t turns, uint32_t step_ticks);
uint32_t test_serial_put(const uint8_t *bytes, uint32_t count);  /* to the module; how many fit */
uint32_t test_serial_get(uint8_t *bytes, uint32_t most);         /* from the module */
uint32_t test_datagram_get(uint8_t *bytes, uint32_t most);       /* next one; 0: none */

#endif
