/* SPDX-License-Identifier: Apache-2.0
 *
 * The serial line as a pty, or as a TCP connection (pyserial: socket://). As on a wire, what is
 * sent while nobody has the other end open is lost. A second connection is refused by closing it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "hal.h"
#include "posix.h"

#define FIFO_BYTES 65536u
#define FLUSH_BYTES 4096u

static uint8_t fifo[FIFO_BYTES]; /* from `sent` to `filled`: not on the line yet */
static uint32_t filled, sent;
static int nobody;               /* the pty's other end is not open */

/* --- opening, at the first start ----------------------------------------------------------- */

static int failed(const char *where)
{
    fprintf(stderr, "option --serial %s: %s\n", where, strerror(errno));
    return -1;
}

/* Raw, or what the module says comes back as an echo until the host has set it up. */
static int make_raw(const char *path)
{
    struct termios settings;
    int slave = open(path, O_RDWR | O_NOCTTY);
    int done = slave >= 0 && tcgetattr(slave, &settings) == 0;
    if (done) {
        cfmakeraw(&settings);
        done = tcsetattr(slave, TCSANOW, &settings) == 0;
    }
    if (slave >= 0) {
        (void)close(slave);
    }
    return done ? 0 : -1;
}

static int open_pty(void)
{
    char path[64];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0 ||
        ptsname_r(master, path, sizeof path) != 0 || make_raw(path) != 0) {
        return failed("pty");
    }
    kept->line = master;
    (void)printf("%s\n", path);
    return 0;
}

static int open_tcp(const char *where, uint16_t port)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int yes = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    (void)setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(listener, 4) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        return failed(where);
    }
    kept->listener = listener;
    (void)printf("socket://127.0.0.1:%u\n", (unsigned)ntohs(address.sin_port));
    return 0;
}

int serial_listen(const char *where)
{
    char *end = NULL;
    unsigned long port = 0;
    int opened;
    if (strcmp(where, "pty") == 0) {
        opened = open_pty();
    } else {
        if (strncmp(where, "tcp:", 4) == 0) {
            port = strtoul(where + 4, &end, 10);
        }
        if (end == NULL || end == where + 4 || *end != '\0' || port > 65535u) {
            fprintf(stderr, "option --serial %s: neither pty nor tcp:PORT (0: any)\n", where);
            return -1;
        }
        opened = open_tcp(where, (uint16_t)port);
    }
    return opened != 0 || fflush(stdout) != 0 ? -1 : 0;
}

/* --- connections --------------------------------------------------------------------------- */

static void look_for_connection(void)
{
    int yes = 1;
    int connection = accept4(kept->listener, NULL, NULL, SOCK_NONBLOCK);
    if (connection < 0) {
        return;
    }
    if (kept->line != NO_FILE) {
        (void)close(connection);
        return;
    }
    (void)setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    kept->line = connection;
}

/* The other end is gone: a pty waits for the next one to open it, a connection is over. */
static void hang_up(void)
{
    filled = sent = 0;
    nobody = 1;
    if (kept->listener != NO_FILE) {
        (void)close(kept->line);
        kept->line = NO_FILE;
    }
}

static int is_nothing_now(ssize_t result)
{
    return result < 0 && (errno == EAGAIN || errno == EINTR);
}

/* --- for the firmware ---------------------------------------------------------------------- */

uint32_t hal_serial_read(uint8_t *bytes, uint32_t most)
{
    ssize_t count;
    serial_flush();
    if (kept->line == NO_FILE) {
        look_for_connection();
        if (kept->line == NO_FILE) {
            return 0;
        }
    }
    count = read(kept->line, bytes, most);
    if (count > 0 || is_nothing_now(count)) {
        nobody = 0;
        return count > 0 ? (uint32_t)count : 0;
    }
    hang_up();
    return 0;
}

void serial_flush(void)
{
    while (sent < filled && kept->line != NO_FILE) {
        ssize_t count = write(kept->line, fifo + sent, filled - sent);
        if (count <= 0) {
            if (!is_nothing_now(count)) {
                hang_up();
            }
            return;
        }
        sent += (uint32_t)count;
    }
    filled = sent = 0;
}

uint32_t hal_serial_write(const uint8_t *bytes, uint32_t count)
{
    if (kept->line == NO_FILE || nobody) {
        return count;
    }
    if (filled + count > FIFO_BYTES) {
        serial_flush();
        memmove(fifo, fifo + sent, filled - sent);
        filled -= sent;
        sent = 0;
    }
    if (count > FIFO_BYTES - filled) {
        count = FIFO_BYTES - filled;
    }
    memcpy(fifo + filled, bytes, count);
    filled += count;
    if (filled - sent >= FLUSH_BYTES) {
        serial_flush();
    }
    return count;
}

uint32_t hal_serial_waiting(void)
{
    return filled - sent;
}

void hal_serial_baud(uint32_t baud)
{
    (void)baud; /* a pty has no speed; tests/firmware/wire_proxy.py throttles */
}

void serial_wait(uint32_t most_us)
{
    struct pollfd files[2];
    struct timespec most;
    nfds_t count = 0;
    serial_flush();
    most.tv_sec = (time_t)(most_us / 1000000u);
    most.tv_nsec = (long)(most_us % 1000000u) * 1000L;
    if (kept->line != NO_FILE && !nobody) { /* else poll() says "hung up" at once, for ever */
        files[count].fd = kept->line;
        files[count].events = (short)(filled != sent ? POLLIN | POLLOUT : POLLIN);
        count++;
    }
    if (kept->listener != NO_FILE) {
        files[count].fd = kept->listener;
        files[count].events = POLLIN;
        count++;
    }
    if (ppoll(files, count, &most, NULL) > 0 && kept->listener != NO_FILE) {
        look_for_connection();
    }
}
