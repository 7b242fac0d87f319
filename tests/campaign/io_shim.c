/* A disk that fails, is slow, or lies: preloaded into a process, for files below TOMOSHIBI_SHIM_UNDER.
 *
 * What it does is read at every call from the eight 32-bit numbers of the file TOMOSHIBI_SHIM_CONTROL:
 *   0 error number of writes, 0 none      1 error number of fsync and fdatasync
 *   2 microseconds before each write      3 before each sync
 *   4 most bytes of a write, 0 any        5 error number of opening for writing
 *   6 seconds by which the wall clock is off (signed)
 *   7 only files whose name ends so: 0 all, 1 ".tmraw", 2 ".tmlm", 3 ".jsonl"
 * Only the names of regular files are looked at, so that sockets and pipes are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int32_t nothing[8];
static volatile int32_t *control = nothing;
static const char *under = "";

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TOMOSHIBI_SHIM_CONTROL");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *map = mmap(NULL, sizeof nothing, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) control = map;
    if (getenv("TOMOSHIBI_SHIM_UNDER")) under = getenv("TOMOSHIBI_SHIM_UNDER");
    REAL(close)(file);
}

static int named(const char *path) {
    static const char *const ends[] = {"", ".tmraw", ".tmlm", ".jsonl"};
    const char *end = ends[control[7] & 3];
    size_t n = strlen(path), k = strlen(end);
    return *under && !strncmp(path, under, strlen(under)) && n >= k && !strcmp(path + n - k, end);
}

static int meant(int file) {
    char link[40], path[4096];
    struct stat is;
    if (fstat(file, &is) || !S_ISREG(is.st_mode)) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return named(path);
}

static int refuse(int32_t error, int32_t wait_us) {
    if (wait_us) usleep((useconds_t)wait_us);
    if (!error) return 0;
    errno = error;
    return 1;
}

static int busy(void) { return control[0] || control[2] || control[4]; }

ssize_t write(int file, const void *data, size_t size) {
    if (busy() && meant(file)) {
        if (refuse(control[0], control[2])) return -1;
        if (control[4] && size > (size_t)control[4]) size = (size_t)control[4];
    }
    return REAL(write)(file, data, size);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (busy() && meant(file)) {
        if (refuse(control[0], control[2])) return -1;
        if (control[4] && count) {
            size_t size = parts[0].iov_len;
            if (size > (size_t)control[4]) size = (size_t)control[4];
            return REAL(write)(file, parts[0].iov_base, size);
        }
    }
    return REAL(writev)(file, parts, count);
}

int fsync(int file) {
    if ((control[1] || control[3]) && meant(file) && refuse(control[1], control[3])) return -1;
    return REAL(fsync)(file);
}

int fdatasync(int file) {
    if ((control[1] || control[3]) && meant(file) && refuse(control[1], control[3])) return -1;
    return REAL(fdatasync)(file);
}

static int opened(const char *name, const char *path, int flags, va_list more) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    if (control[5] && (flags & O_ACCMODE) != O_RDONLY && named(path)) {
        errno = control[5];
        return -1;
    }
    return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int file = opened("open", path, flags, more);
    va_end(more);
    return file;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    int file = opened("open64", path, flags, more);
    va_end(more);
    return file;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) real;
    if (!real) real = REAL(clock_gettime);
    int done = real(clock, now);
    if (!done && clock == CLOCK_REALTIME) now->tv_sec += control[6];
    return done;
}
