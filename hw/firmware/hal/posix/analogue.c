/* SPDX-License-Identifier: Apache-2.0 */
#include "board_model.h"
#include "hal.h"
#include "posix.h"
#include "tomoshibi_control.h"
#include "window.h"

static struct board_model model;

void analogue_start(void)
{
    board_model_start(&model, window_word(TOMOSHIBI_WINDOW_WORLD), hal_counter());
}

int32_t hal_adc(enum hal_analogue what)
{
    board_model_step(&model, hal_counter());
    return board_model_adc(&model, (int)what);
}

void hal_bias_dac(uint32_t millivolt)
{
    board_model_step(&model, hal_counter());
    board_model_dac(&model, millivolt);
}

int hal_interlock_closed(void)
{
    return board_model_interlock_closed(&model);
}

void hal_comparator(uint32_t millivolt)
{
    board_model_step(&model, hal_counter());
    board_model_comparator(&model, millivolt);
}

uint32_t hal_comparator_count(void)
{
    board_model_step(&model, hal_counter());
    return board_model_count(&model);
}
