/* SPDX-License-Identifier: Apache-2.0
 *
 * How the module is: rates over the last second, the scaler's gates of 100 ms, the longest turn of
 * the main loop; and the notice that says so every telemetry_ms.
 */
#ifndef TOMOSHIBI_TELEMETRY_H
#define TOMOSHIBI_TELEMETRY_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

void telemetry_start(struct module *m);
void telemetry_poll(struct module *m);
void telemetry_turn(struct module *m, uint32_t ticks); /* a turn of the main loop took so long */
void telemetry_fill(struct module *m, struct tomoshibi_telemetry *t);

#endif
