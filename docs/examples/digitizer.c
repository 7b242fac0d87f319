/* A digitizer's side of the protocol in C: CSV rows on stdin become data frames.
 *
 *     cc -O2 -o digitizer digitizer.c -lzmq          (Debian: gcc, libzmq3-dev)
 *     ./digitizer ipc:///tmp/tomoshibi-1000 bench2 2 64 < events.csv
 *
 * Arguments: base of the endpoints, scanner, modules, crystals of a module. A row is time_ps,channel,
 * energy_keV, in order of time; channel = module * crystals + crystal. docs/connect_your_digitizer.md */
#define _GNU_SOURCE /* memmem */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

enum { WORDS = 65536, MOST_MODULES = 256, HEADER = 64, FIRST = 1, LAST = 2, OVERFLOW = 8 };

struct module {
    void *socket;
    uint32_t frames, lost, count;
    uint64_t sent;
    unsigned char frame[HEADER + 8 * WORDS];
};
static struct module *modules[MOST_MODULES];
static int n_modules, stopped; static uint32_t run_tag, crc_table[256];
static double duration_s, next_s; static void *source; static const char *scanner;
static uint32_t crc32c(uint32_t crc, const unsigned char *data, size_t length) {
    for (crc = ~crc; length--; data++) crc = crc_table[(crc ^ *data) & 255] ^ (crc >> 8);
    return ~crc;
}

/* msgpack: a map of short texts, numbers and lists */
static unsigned char pack[16384], *end;
static void text(const char *s) {
    for (*end++ = 0xd9, *end++ = strlen(s); *s; s++) *end++ = *s;
}
static void number(uint64_t n) {
    for (int k = (*end++ = 0xcf, 56); k >= 0; k -= 8) *end++ = n >> k;
}
static void message(const char *type, int fields) {
    end = pack;
    *end++ = 0x80 | (fields + 2);
    text("type"); text(type); text("version"); number(3);
}
static void list(const char *key, int what) {
    text(key);
    *end++ = 0xdc; *end++ = n_modules >> 8; *end++ = n_modules;
    for (int m = 0; m < n_modules; m++)
        number(what == 0 ? modules[m]->sent : what == 1 ? modules[m]->frames : 0);
}
static void send_message(void) { zmq_send(source, pack, end - pack, ZMQ_DONTWAIT); }

/* A value of a message that came, an unsigned number or float 64, by its key. */
static double value(const unsigned char *data, size_t length, const char *key) {
    const unsigned char *at = memmem(data, length, key, strlen(key));
    if (!at || (at += strlen(key)) >= data + length) return 0;
    int bytes = *at == 0xcb ? 8 : *at >= 0xcc && *at <= 0xcf ? 1 << (*at - 0xcc) : 0;
    if (bytes == 0 || at + bytes >= data + length) return *at < 0x80 ? *at : 0;
    uint64_t n = 0; double d;
    for (int k = 1; k <= bytes; k++) n = n << 8 | at[k];
    memcpy(&d, &n, 8);
    return *at == 0xcb ? d : (double)n;
}

/* The plane "source": says Hello twice a second, takes orders. */
static void listen_to_daq(int wait_ms) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double now_s = now.tv_sec + 1e-9 * now.tv_nsec;
    if (now_s >= next_s) {
        next_s = now_s + 0.5;
        message("Hello", 3);
        text("kind"); text("digitizer"); text("scanner"); text(scanner);
        text("modules"); number(n_modules); send_message();
    }
    zmq_pollitem_t item = {source, 0, ZMQ_POLLIN, 0};
    for (; zmq_poll(&item, 1, wait_ms) > 0; wait_ms = 0) {
        unsigned char data[65536];
        int length = zmq_recv(source, data, sizeof data - 1, 0);
        if (length < 0 || length >= (int)sizeof data) continue;
        if (memmem(data, length, "\xa5Start", 6)) {
            run_tag = value(data, length, "\xa7run_tag");
            duration_s = value(data, length, "\xaa" "duration_s");
        } else if (memmem(data, length, "\xa7Refused", 8)) fprintf(stderr, "%.*s\n", length, data);
        else if (memmem(data, length, "\xa4Stop", 5) || memmem(data, length, "\xa8Shutdown", 9))
            stopped = 1;
    }
}

static void put(unsigned char *at, uint64_t n, int bytes) { memcpy(at, &n, bytes); }

/* The plane "data": all modules' frames of a period, empty ones, too. */
static void send_frames(uint32_t period, int last) {
    for (int m = 0; m < n_modules; m++) {
        struct module *one = modules[m];
        unsigned char *f = memset(one->frame, 0, HEADER);
        size_t length = HEADER + 8 * (size_t)one->count;
        put(f, 0x42534D54, 4); f[4] = 1;
        f[5] = (one->frames ? 0 : FIRST) | (last ? LAST : 0) | (one->lost ? OVERFLOW : 0);
        put(f + 6, m, 2); put(f + 8, one->frames, 4); put(f + 12, period, 4);
        put(f + 16, run_tag, 4); put(f + 20, one->count, 4); put(f + 24, one->sent, 8);
        put(f + 32, one->lost, 4); put(f + 44, 2500, 2);
        put(f + 60, crc32c(crc32c(0, f, 60), f + HEADER, length - HEADER), 4);
        while (zmq_send(one->socket, f, length, ZMQ_DONTWAIT) < 0) listen_to_daq(1); /* daq is busy */
        one->frames++; one->sent += one->count; one->count = one->lost = 0;
    }
    listen_to_daq(0);
}

int main(int argc, char **argv) {
    long crystals = argc == 5 ? n_modules = atoi(argv[3]), atol(argv[4]) : 0;
    if (n_modules < 1 || n_modules > MOST_MODULES || crystals < 1 || crystals > 4096)
        return fprintf(stderr, "usage: digitizer BASE SCANNER MODULES CRYSTALS < CSV\n") > 0;
    char address[256], line[256];
    scanner = argv[2];
    for (uint32_t n = 0, c; n < 256; crc_table[n++] = c)
        for (int k = (c = n, 0); k < 8; k++) c = c & 1 ? 0x82F63B78u ^ (c >> 1) : c >> 1;
    void *context = zmq_ctx_new();
    snprintf(address, sizeof address, "%s/source", argv[1]);
    zmq_connect(source = zmq_socket(context, ZMQ_DEALER), address);
    snprintf(address, sizeof address, "%s/data", argv[1]);
    for (int m = 0; m < n_modules; m++) {
        modules[m] = calloc(1, sizeof *modules[m]);
        zmq_connect(modules[m]->socket = zmq_socket(context, ZMQ_PUSH), address); /* one each */
    }
    while (!run_tag) if (listen_to_daq(100), stopped) return 1;
    uint32_t period = 0, most = duration_s > 0 ? ceil(duration_s / 5.24288e-3 - 1e-9) : UINT32_MAX;
    while (!stopped && fgets(line, sizeof line, stdin)) {
        long long time_ps, channel; double keV;
        if (sscanf(line, "%lld,%lld,%lf", &time_ps, &channel, &keV) != 3 || time_ps < 0) continue;
        uint64_t ticks = (uint64_t)time_ps * 32 / 625, event_period = ticks >> 28;
        if (channel < 0 || channel >= n_modules * crystals) continue;
        if (event_period >= most) break;
        while (period < event_period && !stopped) send_frames(period++, 0);
        struct module *one = modules[channel / crystals];
        if (event_period < period || one->count == WORDS) { one->lost++; continue; }
        uint64_t energy = keV < 0 ? 0 : keV > 1638.3 ? 16383 : (uint64_t)(10 * keV + 0.5);
        put(one->frame + HEADER + 8 * (size_t)one->count++, 1ull << 61 |
            (uint64_t)(channel % crystals) << 44 | energy << 30 | (ticks & 0xFFFFFFF), 8);
    }
    send_frames(period, 1);
    message("SourceReport", 4);
    text("run_tag"); number(run_tag);
    list("singles_emitted", 0); list("frames_sent", 1); list("dead_events", 2); send_message();
    for (int m = 0; m < n_modules; m++) zmq_close(modules[m]->socket);
    zmq_close(source);
    zmq_ctx_term(context); /* waits until all is sent */
    return printf("sent %u periods of %d modules\n", period + 1, n_modules) < 0;
}
