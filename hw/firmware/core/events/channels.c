/* SPDX-License-Identifier: Apache-2.0
 *
 * See channels.h. The checksum is taken anew over all gains: it is asked for and set rarely.
 */
#include "events/channels.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "safety/bias.h"
#include "state/module.h"
#include "state/registers.h"

static uint32_t table_checksum(const struct channels *c)
{
    uint8_t bytes[2];
    uint32_t crc = 0;
    uint32_t i;
    for (i = 0; i < CHANNELS_MOST; i++) {
        mem_put16(bytes, c->gains[i]);
        crc = crc32c(crc, bytes, sizeof bytes);
    }
    return crc;
}

static void judge(struct module *m)
{
    struct channels *c = &m->run.channels;
    uint32_t i;
    c->special = 0;
    for (i = 0; i < CHANNELS_MOST; i++) {
        c->special += c->gains[i] != CHANNELS_GAIN_ONE;
    }
    c->checksum = table_checksum(c);
    (void)register_set(m, TOMOSHIBI_REGI_CHANNELS_CHECKSUM, (int32_t)c->checksum);
}

void channels_start(struct module *m)
{
    uint32_t i;
    for (i = 0; i < CHANNELS_MOST; i++) {
        m->run.channels.gains[i] = (uint16_t)CHANNELS_GAIN_ONE;
    }
    judge(m);
}

static int in_range(uint32_t first, uint32_t count)
{
    return first <= CHANNELS_MOST && count <= CHANNELS_MOST - first;
}

uint16_t channels_write(struct module *m, uint32_t first, uint32_t count, const uint8_t *gains)
{
    uint32_t i;
    if (!in_range(first, count)) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    for (i = 0; i < count; i++) {
        m->run.channels.gains[first + i] = mem_get16(gains + 2u * i);
    }
    judge(m);
    bias_new_epoch(m);
    return TOMOSHIBI_STATUS_OK;
}

uint16_t channels_read(const struct module *m, uint32_t first, uint32_t count, uint8_t *gains)
{
    uint32_t i;
    if (!in_range(first, count)) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    for (i = 0; i < count; i++) {
        mem_put16(gains + 2u * i, m->run.channels.gains[first + i]);
    }
    return TOMOSHIBI_STATUS_OK;
}

uint32_t channels_checksum(const struct module *m)
{
    return m->run.channels.checksum;
}
