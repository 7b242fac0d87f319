/* SPDX-License-Identifier: Apache-2.0
 *
 * A module as a process: --serial pty|tcp:PORT --window FILE [--udp HOST:PORT] [--leash PID].
 * The URL that the host opens is the only line on stdout.
 */
#include "control/turn.h"
#include "state/module.h"

#include <unistd.h>

#include "posix.h"

static struct module module;

int main(int argc, char **argv)
{
    if (board_set_up(argc, argv) != 0) {
        return 2;
    }
    clock_start();
    analogue_start();
    module_start(&module);
#ifdef TOMOSHIBI_HANGS /* an update that is no good: tests try that it is rolled back */
    for (;;) {
        pause();
    }
#endif
    for (;;) {
        module_turn(&module);
    }
}
