/* SPDX-License-Identifier: Apache-2.0
 *
 * The main loop: starts the parts in order, then one turn after the other.
 */
#ifndef TOMOSHIBI_TURN_H
#define TOMOSHIBI_TURN_H

struct module;

void module_start(struct module *m); /* once after reset: configuration, image, watchdog, HELLO */
void module_turn(struct module *m);  /* one turn: link, hits, frames, bias, faults, telemetry */

#endif
