/* SPDX-License-Identifier: Apache-2.0
 *
 * Test program: reads golden frames, as bytes on stdin, with nothing but tomoshibi_protocol.h.
 * For each frame it prints the header's fields and each word's fields, and packs every word anew;
 * a word that does not come back to the same bytes ends it with status 1.
 * argv: the length of each frame.
 */
#include "tomoshibi_protocol.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_header(const struct tomoshibi_frame_header *h)
{
    printf("header %" PRIu32 " %u %u %u %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu32 " %" PRIu64,
           h->magic, h->version, h->flags, h->module, h->sequence, h->frame_id, h->run_tag,
           h->event_count, h->events_before);
    printf(" %" PRIu32 " %" PRIu32 " %" PRIu32 " %d %u %u %u %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
           h->lost_events, h->dead_events, h->dead_time, h->temperature, h->bias, h->epoch,
           h->reserved, h->reserved_2, h->reserved_3, h->crc);
}

static int echo_word(const uint8_t *bytes)
{
    uint8_t again[TOMOSHIBI_WORD_BYTES];
    struct tomoshibi_word w = tomoshibi_word_unpack(tomoshibi_word_load(bytes));
    printf("word %u %u %u %u %u %" PRIu32 "\n", w.kind, w.doi, w.flags, w.crystal, w.energy, w.time);
    tomoshibi_word_store(again, tomoshibi_word_pack(w));
    if (w.kind == TOMOSHIBI_KIND_ANGLE && w.doi == 0 && w.flags == 0) {
        int32_t steps = tomoshibi_angle_word_steps(tomoshibi_word_load(bytes));
        printf("angle %" PRId32 "\n", steps);
        tomoshibi_word_store(again, tomoshibi_angle_word_pack(steps, w.time));
    }
    return memcmp(again, bytes, sizeof again) == 0;
}

static int echo_frame(size_t length)
{
    static uint8_t frame[4096];
    struct tomoshibi_frame_header header;
    uint32_t i;
    if (length > sizeof frame || fread(frame, 1, length, stdin) != length) {
        return 0;
    }
    memcpy(&header, frame, sizeof header);
    print_header(&header);
    for (i = 0; i < header.event_count; i++) {
        if (!echo_word(frame + TOMOSHIBI_HEADER_BYTES + i * TOMOSHIBI_WORD_BYTES)) {
            return 0;
        }
    }
    return 1;
}

int main(int argc, char **argv)
{
    int i;
    struct tomoshibi_word wide = {0, 0, 0, 0, 0, 0};
    wide.flags = 0xFF; /* must be cut to its bits */
    printf("cut %" PRIx64 "\n", tomoshibi_word_pack(wide));
    printf("energy %u %u %u\n", tomoshibi_energy_code(16382), tomoshibi_energy_code(16383),
           tomoshibi_energy_code(UINT32_C(4000000000)));
    printf("schema %" PRIu32 "\n", TOMOSHIBI_SCHEMA_CRC);
    for (i = 1; i < argc; i++) {
        if (!echo_frame((size_t)strtoul(argv[i], NULL, 10))) {
            return 1;
        }
    }
    return 0;
}
