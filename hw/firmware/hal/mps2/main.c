/* SPDX-License-Identifier: Apache-2.0
 *
 * The program: start the board's parts, then turn for ever. It sleeps inside hal_idle().
 */
#include "control/turn.h"
#include "mps2.h"
#include "state/module.h"

static struct module module;

int main(void)
{
    mps2_window_start();
    mps2_clock_start();
    mps2_serial_start();
    mps2_ethernet_start();
    module_start(&module);
#ifdef TOMOSHIBI_HANGS /* an update that is no good: tests try that it is rolled back */
    for (;;) {
    }
#endif
    for (;;) {
        module_turn(&module);
    }
}
