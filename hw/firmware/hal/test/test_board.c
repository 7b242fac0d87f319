/* SPDX-License-Identifier: Apache-2.0 */
#include "test_board.h"

#include <stdlib.h>
#include <string.h>

#include "board_model.h"
#include "control/turn.h"
#include "hal.h"
#include "state/module.h"
#include "tomoshibi_control.h"
#include "window.h"

#define LINE_IN 65536u
#define LINE_OUT (8u << 20)
#define LINE_FIFO 4096u
#define DATAGRAMS 4096u
#define DATAGRAM_BYTES 2048u
#define SECTOR 4096u
#define TICKS_PER_MS (TOMOSHIBI_COUNTER_HZ / 1000u)
#define FOR_EVER UINT32_C(0xFFFFFFFF)

struct queue {
    uint8_t *bytes;
    uint32_t size, head, tail; /* size: a power of two */
};

const uint16_t hal_board = TOMOSHIBI_BOARD_TEST;

static struct test_board board;
static struct board_model model;
static struct module module;
static uint64_t window_words[TOMOSHIBI_WINDOW_BYTES / 8u];
static uint8_t in_bytes[LINE_IN], out_bytes[LINE_OUT];
static struct queue line_in = {in_bytes, LINE_IN, 0, 0};
static struct queue line_out = {out_bytes, LINE_OUT, 0, 0};
static struct {
    uint32_t length;
    uint8_t bytes[DATAGRAM_BYTES];
} datagrams[DATAGRAMS];
static uint32_t datagrams_taken;

static uint32_t queue_put(struct queue *q, const uint8_t *bytes, uint32_t count)
{
    uint32_t room = q->size - (q->head - q->tail);
    uint32_t i;
    if (count > room) {
        count = room;
    }
    for (i = 0; i < count; i++) {
        q->bytes[(q->head + i) % q->size] = bytes[i];
    }
    q->head += count;
    return count;
}

static uint32_t queue_get(struct queue *q, uint8_t *bytes, uint32_t most)
{
    uint32_t waiting = q->head - q->tail;
    uint32_t i;
    if (most > waiting) {
        most = waiting;
    }
    for (i = 0; i < most; i++) {
        bytes[i] = q->bytes[(q->tail + i) % q->size];
    }
    q->tail += most;
    return most;
}

/* --- for the test ------------------------------------------------------------------------- */

struct test_board *test_board(void)
{
    return &board;
}

struct module *test_module(void)
{
    return &module;
}

uint8_t *test_window(void)
{
    return (uint8_t *)window_words;
}

void test_forget_module(void)
{
    memset(&module, 0, sizeof module);
    board_model_start(&model, window_word(TOMOSHIBI_WINDOW_WORLD), board.counter);
}

/* The window's large parts are left as they are: no test may count on what lies behind a ring's
   counts or in an erased slot. */
void test_new_board(void)
{
    window_start(test_window());
    memset(&board, 0, sizeof board);
    memset(window_words, 0, TOMOSHIBI_WINDOW_NV);
    memset(test_window() + TOMOSHIBI_WINDOW_NV, 0xFF, TOMOSHIBI_WINDOW_NV_BYTES);
    memset(test_window() + TOMOSHIBI_WINDOW_SLOT_A, 0xFF, SECTOR);
    memset(test_window() + TOMOSHIBI_WINDOW_SLOT_B, 0xFF, SECTOR);
    line_in.head = line_in.tail = line_out.head = line_out.tail = 0;
    datagrams_taken = 0;
    board.starts = 1;
    board.datagram_answer = 1;
    board.nv_budget = FOR_EVER;
    test_forget_module();
}

int test_asked_to_stop(void)
{
    return board.resets != 0 || board.downs != 0 || board.boots != 0;
}

uint32_t test_turns(uint32_t turns, uint32_t step_ticks)
{
    uint32_t done;
    for (done = 0; done < turns && !test_asked_to_stop(); done++) {
        board.counter += step_ticks;
        module_turn(&module);
    }
    return done;
}

uint32_t test_serial_put(const uint8_t *bytes, uint32_t count)
{
    return queue_put(&line_in, bytes, count);
}

uint32_t test_serial_get(uint8_t *bytes, uint32_t most)
{
    return queue_get(&line_out, bytes, most);
}

uint32_t test_datagram_get(uint8_t *bytes, uint32_t most)
{
    uint32_t at = datagrams_taken % DATAGRAMS;
    if (datagrams_taken == board.datagrams || datagrams[at].length > most) {
        return 0;
    }
    memcpy(bytes, datagrams[at].bytes, datagrams[at].length);
    datagrams_taken++;
    return datagrams[at].length;
}

/* --- for the firmware --------------------------------------------------------------------- */

uint32_t hal_counter(void)
{
    return board.counter;
}

void hal_idle(uint32_t most_us)
{
    board.idles++;
    board.idle_us = most_us;
}

uint32_t hal_reset_cause(void)
{
    return board.reset_cause;
}

uint32_t hal_starts(void)
{
    return board.starts;
}

void hal_watchdog_start(uint32_t timeout_us)
{
    board.watchdog_us = timeout_us;
}

void hal_watchdog_kick(void)
{
    board.kicks++;
}

/* On a board nothing comes after this; here the core goes on until it returns, in vain. */
static void nothing_follows(void)
{
    board.nv_budget = 0;
}

void hal_reset(void)
{
    board.resets++;
    nothing_follows();
}

void hal_down(void)
{
    board.downs++;
    nothing_follows();
}

uint32_t hal_stack_used(void)
{
    return board.stack_used;
}

uint32_t hal_stack_size(void)
{
    return board.stack_size;
}

uint32_t hal_serial_read(uint8_t *bytes, uint32_t most)
{
    return queue_get(&line_in, bytes, most);
}

static void line_send(void)
{
    uint32_t sent = (board.counter - board.line_at) / TICKS_PER_MS * board.line_bytes_per_ms;
    board.line_at += (board.counter - board.line_at) / TICKS_PER_MS * TICKS_PER_MS;
    board.line_pending -= sent < board.line_pending ? sent : board.line_pending;
}

uint32_t hal_serial_write(const uint8_t *bytes, uint32_t count)
{
    if (board.line_bytes_per_ms == 0) {
        return queue_put(&line_out, bytes, count);
    }
    line_send();
    if (count > LINE_FIFO - board.line_pending) {
        count = LINE_FIFO - board.line_pending;
    }
    count = queue_put(&line_out, bytes, count);
    board.line_pending += count;
    return count;
}

uint32_t hal_serial_waiting(void)
{
    if (board.line_bytes_per_ms == 0) {
        return 0;
    }
    line_send();
    return board.line_pending;
}

void hal_serial_baud(uint32_t baud)
{
    board.baud = baud;
}

int hal_datagram_send(const void *head, uint32_t head_bytes, const void *body, uint32_t body_bytes)
{
    uint32_t at = board.datagrams % DATAGRAMS;
    if (board.datagram_answer <= 0) {
        return board.datagram_answer;
    }
    if (head_bytes > DATAGRAM_BYTES || body_bytes > DATAGRAM_BYTES - head_bytes) {
        abort(); /* no board takes so large a datagram */
    }
    if (board.datagrams - datagrams_taken == DATAGRAMS) {
        return 0;
    }
    memcpy(datagrams[at].bytes, head, head_bytes);
    memcpy(datagrams[at].bytes + head_bytes, body, body_bytes);
    datagrams[at].length = head_bytes + body_bytes;
    board.datagrams++;
    board.datagram_bytes += head_bytes + body_bytes;
    return 1;
}

int32_t hal_adc(enum hal_analogue what)
{
    board_model_step(&model, board.counter);
    if ((board.adc_is_set >> (unsigned)what & 1u) != 0) {
        return board.adc[what];
    }
    return board_model_adc(&model, (int)what);
}

void hal_bias_dac(uint32_t millivolt)
{
    board.dac_mV = millivolt;
    board_model_step(&model, board.counter);
    board_model_dac(&model, millivolt);
}

int hal_interlock_closed(void)
{
    return board_model_interlock_closed(&model);
}

void hal_comparator(uint32_t millivolt)
{
    board.comparator_mV = millivolt;
    board_model_step(&model, board.counter);
    board_model_comparator(&model, millivolt);
}

uint32_t hal_comparator_count(void)
{
    board_model_step(&model, board.counter);
    return board_model_count(&model);
}

/* Take `cost` from the budget; returns how much of it there was. */
static uint32_t nv_spend(uint32_t cost)
{
    uint32_t had = board.nv_budget < cost ? board.nv_budget : cost;
    if (board.nv_budget != FOR_EVER) {
        board.nv_budget -= had;
    }
    return had;
}

int hal_nv_erase(uint32_t offset, uint32_t bytes)
{
    uint32_t done;
    board.nv_erases++;
    if (!window_nv_holds(offset, bytes) || offset % SECTOR != 0 || bytes % SECTOR != 0) {
        board.nv_refused++;
        return -1;
    }
    for (done = 0; done < bytes && board.nv_budget != 0; done += SECTOR) {
        /* the erase that the power cut comes into leaves half of its sector as it was */
        nv_spend(1);
        if (window_nv_erase(offset + done, board.nv_budget == 0 ? SECTOR / 2u : SECTOR) != 0) {
            return -1;
        }
    }
    return 0;
}

int hal_nv_write(uint32_t offset, const void *bytes, uint32_t count)
{
    const uint8_t *from = bytes;
    uint32_t i;
    board.nv_writes++;
    if (!window_nv_holds(offset, count)) {
        board.nv_refused++;
        return -1;
    }
    for (i = 0; i < count; i++) {
        if ((hal_nv(offset)[i] & from[i]) != from[i]) {
            board.nv_overwrites++;
            break;
        }
    }
    return window_nv_write(offset, from, nv_spend(count));
}

uint32_t hal_running_slot(void)
{
    return board.running_slot;
}

void hal_boot_image(uint32_t slot, const uint8_t *image, uint32_t bytes)
{
    (void)image;
    if (board.boots++ == 0) {
        board.boot_slot = slot;
        board.boot_bytes = bytes;
    }
    nothing_follows();
}

void hal_show(uint32_t state)
{
    board.shown_state = state;
    *window_word(TOMOSHIBI_WINDOW_WORLD + TOMOSHIBI_WORLD_SHOWN_STATE) = state;
}
