/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "posix.h"
#include "tomoshibi_control.h"

#define SEND_BUFFER (4 << 20)

struct options {
    const char *serial, *window, *udp, *leash, *resume;
};

static int complain(const char *what, const char *which, const char *remedy)
{
    fprintf(stderr, "%s %s: %s\n", what, which, remedy);
    return -1;
}

static int parse(struct options *o, int argc, char **argv)
{
    int i;
    for (i = 1; i + 1 < argc; i += 2) {
        const char **value = strcmp(argv[i], "--serial") == 0   ? &o->serial
                             : strcmp(argv[i], "--window") == 0 ? &o->window
                             : strcmp(argv[i], "--udp") == 0    ? &o->udp
                             : strcmp(argv[i], "--leash") == 0  ? &o->leash
                             : strcmp(argv[i], "--resume") == 0 ? &o->resume
                                                                : NULL;
        if (value == NULL) {
            break;
        }
        *value = argv[i + 1];
    }
    if (i < argc) {
        return complain("option", argv[i], "unknown, or without its value; there are --serial "
                        "pty|tcp:PORT, --window FILE, --udp HOST:PORT and --leash PID");
    }
    if (o->resume == NULL && (o->serial == NULL || o->window == NULL)) {
        return complain("options", "--serial and --window", "both are needed");
    }
    return 0;
}

static int parse_number(const char *text, long least, long greatest, long *number)
{
    char *end;
    errno = 0;
    *number = strtol(text, &end, 10);
    return errno != 0 || end == text || *end != '\0' || *number < least || *number > greatest;
}

static int open_window(const char *path)
{
    int file = open(path, O_RDWR);
    off_t bytes;
    if (file < 0) {
        return complain("window", path, strerror(errno));
    }
    bytes = lseek(file, 0, SEEK_END);
    if (bytes != (off_t)TOMOSHIBI_WINDOW_BYTES) {
        return complain("window", path, "not 16777216 bytes long: truncated or another file");
    }
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        return complain("window", path, "another machine runs on it; stop that one first");
    }
    kept->window = file;
    return 0;
}

static int open_network(const char *where)
{
    char host[64];
    int bytes = SEND_BUFFER;
    long port;
    const char *colon = strrchr(where, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - where);
    if (length == 0 || length >= sizeof host || parse_number(colon + 1, 1, 65535, &port) != 0) {
        return complain("option --udp", where, "not HOST:PORT with a port from 1 to 65535");
    }
    memcpy(host, where, length);
    host[length] = '\0';
    kept->receiver.sin_family = AF_INET;
    kept->receiver.sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, host, &kept->receiver.sin_addr) != 1) {
        return complain("option --udp", where, "HOST is not an IPv4 address");
    }
    kept->network = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (kept->network < 0) {
        return complain("UDP socket for", where, strerror(errno));
    }
    (void)setsockopt(kept->network, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return 0;
}

static int resume(const char *number)
{
    long file;
    if (parse_number(number, 0, INT_MAX, &file) != 0 || kept_map((int)file) != 0) {
        return complain("option --resume", number, "is for the board itself");
    }
    if (kept->magic != KEPT_MAGIC || kept->version != KEPT_VERSION) {
        return complain("option --resume", number, "what is kept is another build's");
    }
    return (int)file;
}

static int first_start(const struct options *o)
{
    int file = kept_make();
    long parent;
    if (file < 0) {
        return complain("memory", "kept over resets", strerror(errno));
    }
    if (open_window(o->window) != 0 || memory_start() != 0) {
        return -1;
    }
    if (world_read(TOMOSHIBI_WORLD_MAGIC) != UINT32_C(0x574D5354)) {
        return complain("window", o->window, "its world page is not set up, or damaged");
    }
    if (o->leash != NULL) {
        if (parse_number(o->leash, 1, INT_MAX, &parent) != 0) {
            return complain("option --leash", o->leash, "not a process id");
        }
        kept->parent = (int32_t)parent;
    }
    if (o->udp != NULL && open_network(o->udp) != 0) {
        return -1;
    }
    return serial_listen(o->serial) == 0 ? file : -1;
}

int board_set_up(int argc, char **argv)
{
    struct options options = {NULL, NULL, NULL, NULL, NULL};
    int file;
    if (parse(&options, argc, argv) != 0) {
        return -1;
    }
    file = options.resume != NULL ? resume(options.resume) : first_start(&options);
    if (file < 0 || (options.resume != NULL && memory_start() != 0)) {
        return -1;
    }
    power_start(file);
    return 0;
}
