/* SPDX-License-Identifier: Apache-2.0
 *
 * A process as a board. Reset is a real one: the program is executed anew and all of its memory is
 * gone; the board's file descriptors (line, window, network) and its few facts (struct kept) live
 * on in memory that one execution hands to the next. The watchdog is a timer of the kernel whose
 * signal executes the program anew, whatever it hangs in.
 *
 * Signals: SIGHUP is the reset button, SIGUSR1 cuts the supply, SIGUSR2 gives it, SIGTERM ends the
 * board. It also ends when the process that started it is gone (option --leash).
 */
#ifndef TOMOSHIBI_POSIX_H
#define TOMOSHIBI_POSIX_H

#include <netinet/in.h>
#include <stdint.h>

#define KEPT_MAGIC UINT32_C(0x504B4D54) /* TMKP */
#define KEPT_VERSION UINT32_C(1)
#define NO_FILE (-1)

/* What outlives a reset. Another build may be started with it: change KEPT_VERSION with it. */
struct kept {
    uint32_t magic, version;
    uint32_t cause, starts, slot;  /* of the start that comes next, then of the one under way */
    uint32_t powered;
    int32_t program;               /* the factory image */
    int32_t window;                /* locked: no second board runs on it */
    int32_t line;                  /* pty or connection */
    int32_t listener;              /* tcp: where connections come */
    int32_t network;               /* UDP socket */
    int32_t parent;                /* ends with it; 0: with nobody */
    struct sockaddr_in receiver;   /* of datagrams */
};

extern struct kept *kept;

/* kept.c: -1 where it failed, why is in errno */
int kept_make(void);      /* at the first start: returns its file */
int kept_map(int file);   /* at the others */

/* start.c: options at the first start, the kept memory at the others. -1: said why on stderr */
int board_set_up(int argc, char **argv);
int serial_listen(const char *where); /* "pty" or "tcp:PORT"; prints the URL to open on stdout */

/* power.c */
void power_start(int kept_file);  /* takes the signals; waits here while the supply is cut */

/* serial.c */
void serial_flush(void);
void serial_wait(uint32_t most_us); /* until bytes come */

/* clock.c, analogue.c, memory.c */
void clock_start(void);
uint32_t clock_since_ms(uint64_t *since_ns); /* and begins anew */
void analogue_start(void);
int memory_start(void);
uint32_t world_read(uint32_t offset); /* TOMOSHIBI_WORLD_x */
void world_write(uint32_t offset, uint32_t value);

#endif
