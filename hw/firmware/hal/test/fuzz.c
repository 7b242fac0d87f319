/* SPDX-License-Identifier: Apache-2.0
 *
 * Fuzzes the command parser and what it commands: tomoshibi-fuzz SEED LIVES [SECONDS].
 *
 * Each life is a board out of the box, up to some hundred steps of commands (good, mutated, pure
 * noise), bad weather, hits and resets. After every turn what must always hold is checked, and at
 * a life's end the module must still answer. Equal seeds give equal lives: a life that fails
 * names its own seed, `tomoshibi-fuzz THAT 1` repeats it. LIVES 0: no end but SECONDS.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "control/turn.h"
#include "fuzz_check.h"
#include "fuzz_life.h"
#include "fuzz_send.h"
#include "state/module.h"
#include "test_board.h"
#include "tomoshibi_control.h"

#define STEPS_MOST 300u
#define ANSWER_TURNS 3000u

/* A sanitizer's finding, or a turn that hangs. */
static void on_death(int number)
{
    char words[80];
    int count = snprintf(words, sizeof words, "fuzz: signal %d; repeat: tomoshibi-fuzz %llu 1\n",
                         number, (unsigned long long)fuzz.seed);
    (void)!write(STDERR_FILENO, words, (size_t)count);
    (void)signal(SIGABRT, SIG_DFL);
    abort();
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "abort_on_error=1:handle_abort=0";
}

const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void)
{
    return "abort_on_error=1:print_stacktrace=1";
}

/* Whatever came: the module answers the next good command. */
static void must_answer(void)
{
    static const uint8_t zero = 0;
    uint64_t before;
    uint64_t restarts;
    uint32_t waited;
    test_board()->line_bytes_per_ms = 0;
    /* what is on its way, a reset and a new speed among it */
    fuzz_turns(ANSWER_TURNS, FUZZ_TICKS_PER_MS);
    (void)test_serial_put(&zero, 1);
    fuzz_turns(2, FUZZ_TICKS_PER_MS);
    before = fuzz.answered;
    restarts = fuzz.restarts;
    fuzz_send_hello();
    for (waited = 0; waited < ANSWER_TURNS && fuzz.answered == before; waited++) {
        fuzz_turns(1, FUZZ_TICKS_PER_MS);
        if (fuzz.restarts != restarts) { /* a start forgets the line: hosts ask again */
            restarts = fuzz.restarts;
            fuzz_send_hello();
        }
    }
    if (fuzz.answered == before) {
        fuzz_fail("deaf: no reply to hello, in state", test_module()->state);
    }
}

static void live(uint64_t seed)
{
    uint32_t *page;
    uint32_t left;
    fuzz.seed = seed;
    fuzz.restarts = 0;
    fuzz.state = (seed + 1u) * UINT64_C(0x9E3779B97F4A7C15);
    test_new_board();
    page = fuzz_window() + TOMOSHIBI_WINDOW_WORLD / 4u;
#define WEATHER(name, value) page[TOMOSHIBI_WORLD_##name / 4u] = (value)
    WEATHER(SUPPLY_MV, 5000u);
    WEATHER(AMBIENT_CC, 2450u);
    WEATHER(INTERLOCK_CLOSED, 1u);
    WEATHER(POWER, 1u);
    WEATHER(BREAKDOWN_MV, 53000u);
    test_forget_module();
    fuzz_send_begin();
    fuzz_check_begin();
    module_start(test_module());
    for (left = fuzz_any(STEPS_MOST); left != 0; left--) {
        fuzz_step();
    }
    must_answer();
    fuzz.lives++;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1u;
    uint64_t most = argc > 2 ? strtoull(argv[2], NULL, 10) : 1u;
    double seconds = argc > 3 ? strtod(argv[3], NULL) : 1e9;
    time_t begun = time(NULL);
    (void)signal(SIGABRT, on_death);
    (void)signal(SIGALRM, on_death);
    while ((most == 0 || fuzz.lives < most) && difftime(time(NULL), begun) < seconds) {
        live(seed++);
    }
    printf("%llu lives, %llu packets sent, %llu replies, all well\n",
           (unsigned long long)fuzz.lives, (unsigned long long)fuzz.sent,
           (unsigned long long)fuzz.answered);
    return 0;
}
