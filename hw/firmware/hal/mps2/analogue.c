/* SPDX-License-Identifier: Apache-2.0
 *
 * Bias, SiPMs, thermometer and supply: this board has none, a model answers (hal/common). On a real
 * board this file talks to the converters.
 */
#include "../common/board_model.h"
#include "mps2.h"

/* Where a start goes on after a brown-out: the core decides what is enough to run. */
#define SUPPLY_BACK_MV 4500

static struct board_model model;

static struct board_model *stepped(void)
{
    if (model.world == 0) {
        board_model_start(&model, mps2_window(TOMOSHIBI_WINDOW_WORLD), hal_counter());
    }
    board_model_step(&model, hal_counter());
    return &model;
}

int32_t hal_adc(enum hal_analogue what)
{
    return board_model_adc(stepped(), (int)what);
}

void hal_bias_dac(uint32_t millivolt)
{
    board_model_dac(stepped(), millivolt);
}

int hal_interlock_closed(void)
{
    return board_model_interlock_closed(stepped());
}

void hal_comparator(uint32_t millivolt)
{
    board_model_comparator(stepped(), millivolt);
}

uint32_t hal_comparator_count(void)
{
    return board_model_count(stepped());
}

int mps2_supply_is_back(void)
{
    return hal_adc(HAL_SUPPLY_MV) >= SUPPLY_BACK_MV;
}
