/* SPDX-License-Identifier: Apache-2.0
 *
 * Reset, supply and watchdog. What the signals' handlers call is on POSIX's list of what is safe
 * there, or a write to memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "hal.h"
#include "posix.h"
#include "tomoshibi_control.h"

#define LEASH_NS 200000000L
/* A program that the host did not let run for a while is not one that hangs: it gets so long. */
#define GRACE_US 50000u
#define SUPPLY_BACK_MV 4600u
#define DOWN_AT_LEAST_MS 100u
#define LOOK_MS 5

extern char **environ;

static char resume_number[12];
static char *resume_argv[4];
static uint32_t watchdog_us;
static volatile uint32_t kicked_at; /* counter */
static volatile sig_atomic_t graced;

/* --- starting anew ------------------------------------------------------------------------ */

static void arm(uint32_t after_us)
{
    struct itimerval timer = {{0, 0}, {0, 0}};
    timer.it_value.tv_sec = (time_t)(after_us / 1000000u);
    timer.it_value.tv_usec = (suseconds_t)(after_us % 1000000u);
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* Signals stay blocked until the new program takes them, or they would end it. */
static void execute(int program)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    arm(0);
    fexecve(program, resume_argv, environ);
    sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Outputs fall to what they are without a program: bias off, gate shut. */
static void let_go(void)
{
    hal_hits_gate(0);
    world_write(TOMOSHIBI_WORLD_SHOWN_DAC_MV, 0);
    world_write(TOMOSHIBI_WORLD_SHOWN_BIAS_MV, 0);
    world_write(TOMOSHIBI_WORLD_SHOWN_STATE, TOMOSHIBI_STATE_BOOT);
}

static void restart(uint32_t cause)
{
    let_go();
    kept->cause = cause;
    kept->slot = TOMOSHIBI_SLOT_FACTORY;
    kept->starts = cause == TOMOSHIBI_RESET_POWER_ON ? 1u : kept->starts + 1u;
    execute(kept->program);
    _exit(3);
}

/* --- signals ------------------------------------------------------------------------------ */

static void on_reset_button(int number)
{
    (void)number;
    if (kept->powered != 0) {
        restart(TOMOSHIBI_RESET_SOFTWARE);
    }
}

static void on_supply(int number)
{
    uint32_t powered = number == SIGUSR2 ? 1u : 0u;
    if (powered != kept->powered) {
        kept->powered = powered;
        restart(TOMOSHIBI_RESET_POWER_ON);
    }
}

static void on_end(int number)
{
    (void)number;
    let_go();
    _exit(0);
}

static void on_leash(int number)
{
    (void)number;
    if (getppid() != (pid_t)kept->parent) {
        _exit(0);
    }
}

static void on_watchdog(int number)
{
    static const char words[] = "watchdog: the program hangs\n";
    uint32_t silent_us = (hal_counter() - kicked_at) / (TOMOSHIBI_COUNTER_HZ / 1000000u);
    (void)number;
    if (silent_us < watchdog_us) {
        graced = 0;
        arm(watchdog_us - silent_us);
    } else if (!graced) {
        graced = 1;
        arm(GRACE_US);
    } else {
        (void)!write(STDERR_FILENO, words, sizeof words - 1);
        restart(TOMOSHIBI_RESET_WATCHDOG);
    }
}

/* A processor that cannot go on stands still until the watchdog resets it. */
static void on_crash(int number)
{
    static char words[] = "crash: signal 00\n";
    words[14] = (char)('0' + number / 10 % 10);
    words[15] = (char)('0' + number % 10);
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    if (watchdog_us == 0) {
        _exit(4); /* nobody would reset it */
    }
    for (;;) {
        pause();
    }
}

static void take(int number, void (*handler)(int))
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigaction(number, &action, NULL);
}

static void take_signals(void)
{
    sigset_t none;
    take(SIGHUP, on_reset_button);
    take(SIGUSR1, on_supply);
    take(SIGUSR2, on_supply);
    take(SIGTERM, on_end);
    take(SIGALRM, on_watchdog);
    take(SIGINT, SIG_IGN); /* Ctrl-C is for the program that started this one */
    take(SIGPIPE, SIG_IGN);
#ifndef __SANITIZE_ADDRESS__
    take(SIGSEGV, on_crash);
    take(SIGBUS, on_crash);
    take(SIGILL, on_crash);
    take(SIGFPE, on_crash);
#else
    (void)on_crash; /* the sanitizer says more */
#endif
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* The parent's process id, not PR_SET_PDEATHSIG, which is sent when the starting thread ends. */
static void start_leash(void)
{
    struct sigevent event;
    struct itimerspec every = {{0, LEASH_NS}, {0, LEASH_NS}};
    timer_t timer;
    if (kept->parent == 0) {
        return;
    }
    memset(&event, 0, sizeof event);
    event.sigev_notify = SIGEV_SIGNAL;
    event.sigev_signo = SIGRTMIN;
    take(SIGRTMIN, on_leash);
    if (getppid() != (pid_t)kept->parent || timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) {
        _exit(0);
    }
    (void)timer_settime(timer, 0, &every, NULL);
}

/* What the host sends to a board without supply is lost. */
static void wait_for_supply(void)
{
    uint8_t lost[256];
    while (kept->powered == 0) {
        while (kept->line != NO_FILE && read(kept->line, lost, sizeof lost) > 0) {
        }
        (void)poll(NULL, 0, LOOK_MS);
    }
}

void power_start(int kept_file)
{
    static char name[] = "tomoshibi-native", option[] = "--resume";
    (void)snprintf(resume_number, sizeof resume_number, "%d", kept_file);
    resume_argv[0] = name;
    resume_argv[1] = option;
    resume_argv[2] = resume_number;
    take_signals();
    start_leash();
    wait_for_supply();
    world_write(TOMOSHIBI_WORLD_SHOWN_STARTS, world_read(TOMOSHIBI_WORLD_SHOWN_STARTS) + 1u);
    fprintf(stderr, "start %u: cause %u, slot %u, build %#x\n", (unsigned)kept->starts,
            (unsigned)kept->cause, (unsigned)kept->slot, (unsigned)TOMOSHIBI_BUILD);
}

/* --- for the firmware --------------------------------------------------------------------- */

uint32_t hal_reset_cause(void)
{
    return kept->cause;
}

uint32_t hal_starts(void)
{
    return kept->starts;
}

void hal_watchdog_start(uint32_t timeout_us)
{
    watchdog_us = timeout_us;
    kicked_at = hal_counter();
    arm(timeout_us);
}

void hal_watchdog_kick(void)
{
    world_write(TOMOSHIBI_WORLD_SHOWN_ALIVE, world_read(TOMOSHIBI_WORLD_SHOWN_ALIVE) + 1u);
    if (world_read(TOMOSHIBI_WORLD_FREEZE) != 0) {
        world_write(TOMOSHIBI_WORLD_FREEZE, 0);
        for (;;) {
            pause();
        }
    }
    kicked_at = hal_counter();
}

void hal_reset(void)
{
    serial_flush();
    restart(TOMOSHIBI_RESET_SOFTWARE);
}

static int supply_is_good(void)
{
    return world_read(TOMOSHIBI_WORLD_POWER) != 0 &&
           world_read(TOMOSHIBI_WORLD_SUPPLY_MV) >= SUPPLY_BACK_MV;
}

void hal_down(void)
{
    uint32_t good_ms = 0;
    serial_flush();
    arm(0);
    let_go();
    while (good_ms < DOWN_AT_LEAST_MS) {
        good_ms = supply_is_good() ? good_ms + LOOK_MS : 0;
        (void)poll(NULL, 0, LOOK_MS);
    }
    restart(TOMOSHIBI_RESET_BROWN_OUT);
}

uint32_t hal_running_slot(void)
{
    return kept->slot;
}

void hal_boot_image(uint32_t slot, const uint8_t *image, uint32_t bytes)
{
    uint32_t slot_before = kept->slot;
    int program = memfd_create("slot", MFD_CLOEXEC);
    if (program >= 0 && write(program, image, bytes) == (ssize_t)bytes) {
        kept->slot = slot;
        execute(program);
        kept->slot = slot_before;
    }
    fprintf(stderr, "slot %u: %u bytes: %s\n", (unsigned)slot, (unsigned)bytes, strerror(errno));
    if (program >= 0) {
        (void)close(program);
    }
}
