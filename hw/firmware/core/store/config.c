/* SPDX-License-Identifier: Apache-2.0
 *
 * Two copies of the persistent registers: see config.h.
 */
#include "store/config.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/nv_layout.h"
#include "hal.h"
#include "safety/faults.h"
#include "state/module.h"
#include "state/registers.h"

#define COPIES 2u
#define HEADER_BYTES ((uint32_t)sizeof(struct config_header))
#define VALUE_BYTES ((uint32_t)sizeof(struct config_value))
#define CRC_BYTES 4u
#define MOST_VALUES ((NV_SECTOR - HEADER_BYTES - CRC_BYTES) / VALUE_BYTES)

enum copy_kind { COPY_ERASED, COPY_DAMAGED, COPY_GOOD };

struct config_record { /* as this firmware writes it: it has no more registers than these */
    struct config_header header;
    struct config_value values[TOMOSHIBI_REGISTER_COUNT];
    uint32_t crc;
};

static uint32_t values_end(uint32_t count)
{
    return HEADER_BYTES + count * VALUE_BYTES;
}

/* --- read ---------------------------------------------------------------------------------- */

static int is_erased(uint32_t copy)
{
    const uint8_t *bytes = hal_nv(NV_CONFIG_COPY(copy));
    for (uint32_t i = 0; i < (uint32_t)sizeof(struct config_record); i++) {
        if (bytes[i] != NV_ERASED) {
            return 0;
        }
    }
    return 1;
}

static enum copy_kind copy_look(uint32_t copy, struct config_header *header)
{
    const uint8_t *bytes = hal_nv(NV_CONFIG_COPY(copy));
    mem_copy(header, bytes, HEADER_BYTES);
    if (is_erased(copy)) {
        return COPY_ERASED;
    }
    if (header->magic != CONFIG_MAGIC || header->count > MOST_VALUES) {
        return COPY_DAMAGED;
    }
    uint32_t end = values_end(header->count);
    return crc32c(0, bytes, end) == mem_get32(bytes + end) ? COPY_GOOD : COPY_DAMAGED;
}

static int is_kept(unsigned index)
{
    return (register_specs[index].flags & TOMOSHIBI_REGISTER_PERSISTENT) != 0;
}

/* A register that this firmware does not have is left out; a value that it does not allow leaves
   the default, and the first such register's address is returned. */
static uint32_t copy_apply(struct module *m, uint32_t copy, uint32_t count)
{
    const uint8_t *bytes = hal_nv(NV_CONFIG_COPY(copy)) + HEADER_BYTES;
    uint32_t first_rejected = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct config_value kept;
        mem_copy(&kept, bytes + i * VALUE_BYTES, VALUE_BYTES);
        int index = register_index(kept.address);
        if (index < 0 || !is_kept((unsigned)index)) {
            continue;
        }
        if (register_set(m, (unsigned)index, kept.value)) {
            continue;
        }
        if (m->config.rejected++ == 0) {
            first_rejected = kept.address;
        }
    }
    return first_rejected;
}

static int is_newer(uint32_t sequence, uint32_t than)
{
    return sequence != than && sequence - than < UINT32_C(0x80000000);
}

static void use_copy(struct module *m, uint32_t copy, const struct config_header *header)
{
    m->config.newest = copy;
    m->config.sequence = header->sequence;
    uint32_t rejected = copy_apply(m, copy, header->count);
    if (rejected != 0) {
        fault_raise(m, TOMOSHIBI_FAULT_CONFIG_VALUE, (int32_t)rejected,
                    (int32_t)m->config.rejected);
    }
}

void config_start(struct module *m)
{
    struct config_header header[COPIES];
    enum copy_kind first = copy_look(0, &header[0]);
    enum copy_kind second = copy_look(1, &header[1]);
    int32_t damaged = (first == COPY_DAMAGED) + (second == COPY_DAMAGED);
    mem_set(&m->config, 0, (uint32_t)sizeof m->config);
    m->config.newest = 1;
    if (first != COPY_GOOD && second != COPY_GOOD) {
        if (damaged != 0) {
            fault_raise(m, TOMOSHIBI_FAULT_CONFIG_DEFAULTS, damaged, 0);
        }
        return;
    }
    uint32_t copy = first != COPY_GOOD ? 1u : 0u;
    if (first == COPY_GOOD && second == COPY_GOOD) {
        copy = is_newer(header[1].sequence, header[0].sequence) ? 1u : 0u;
    }
    use_copy(m, copy, &header[copy]);
    if (damaged != 0) {
        fault_raise(m, TOMOSHIBI_FAULT_CONFIG_OLDER, damaged, 0);
    }
}

/* --- write --------------------------------------------------------------------------------- */

static uint32_t record_make(const struct module *m, struct config_record *record)
{
    uint32_t count = 0;
    mem_set(record, 0, (uint32_t)sizeof *record);
    for (unsigned i = 0; i < TOMOSHIBI_REGISTER_COUNT; i++) {
        if (!is_kept(i)) {
            continue;
        }
        record->values[count].address = register_specs[i].address;
        record->values[count].value = register_get(m, i);
        count++;
    }
    record->header.magic = CONFIG_MAGIC;
    record->header.sequence = m->config.sequence + 1u;
    record->header.count = count;
    uint32_t end = values_end(count);
    mem_put32((uint8_t *)record + end, crc32c(0, record, end));
    return end + CRC_BYTES;
}

uint16_t config_save(struct module *m)
{
    struct config_record record;
    uint32_t bytes = record_make(m, &record);
    uint32_t copy = 1u - m->config.newest;
    uint32_t offset = NV_CONFIG_COPY(copy);
    if (hal_nv_erase(offset, NV_SECTOR) != 0 || hal_nv_write(offset, &record, bytes) != 0 ||
        !mem_equal(hal_nv(offset), &record, bytes)) {
        return TOMOSHIBI_STATUS_STORAGE;
    }
    m->config.newest = copy;
    m->config.sequence = record.header.sequence;
    return TOMOSHIBI_STATUS_OK;
}

void config_defaults(struct module *m)
{
    registers_defaults(m);
}
