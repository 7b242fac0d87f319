/* SPDX-License-Identifier: Apache-2.0
 *
 * The analogue world of a simulated board: bias supply, SiPMs, comparator, thermometer, supply and
 * interlock, as the world page ([[world]] in hw/wire/control.toml) sets them. Integers only, without
 * noise: equal inputs give equal readings, on every board. For HALs of simulated boards; a real
 * board has the real thing. Formulas and their numbers: board_model.c.
 *
 * The HAL calls board_model_step() with its counter before it reads, at least every 60 s.
 */
#ifndef TOMOSHIBI_BOARD_MODEL_H
#define TOMOSHIBI_BOARD_MODEL_H

#include <stdint.h>

struct board_model {
    volatile uint32_t *world;   /* the world page */
    uint32_t counter;           /* up to which it has been stepped, TOMOSHIBI_COUNTER_HZ */
    uint32_t dac_mV;            /* what the supply was told */
    uint32_t comparator_mV;
    int64_t bias_nV;            /* at the SiPMs, nanovolt */
    uint64_t crossings_rest;    /* part of a crossing, in ten thousandths */
    uint32_t crossings;         /* ever; wraps */
};

void board_model_start(struct board_model *b, volatile uint32_t *world, uint32_t counter);
void board_model_step(struct board_model *b, uint32_t counter);
void board_model_dac(struct board_model *b, uint32_t millivolt);        /* hal_bias_dac */
void board_model_comparator(struct board_model *b, uint32_t millivolt); /* hal_comparator */
uint32_t board_model_count(const struct board_model *b);                /* hal_comparator_count */
int32_t board_model_adc(const struct board_model *b, int what);         /* hal_adc */
int board_model_interlock_closed(const struct board_model *b);

#endif
