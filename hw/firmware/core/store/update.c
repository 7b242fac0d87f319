/* SPDX-License-Identifier: Apache-2.0
 *
 * Which image starts, and how a new one comes in: see update.h.
 */
#include "store/update.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/nv_layout.h"
#include "hal.h"
#include "safety/faults.h"
#include "state/module.h"

#define RECORD_BYTES ((uint32_t)sizeof(struct boot_record))
#define RECORD_CRC_BYTES ((uint32_t)offsetof(struct boot_record, crc))
#define IMAGE_HEADER_BYTES ((uint32_t)sizeof(struct tomoshibi_image))
#define IMAGE_HEADER_CRC_BYTES ((uint32_t)offsetof(struct tomoshibi_image, header_crc))
#define FACTORY TOMOSHIBI_SLOT_FACTORY

static uint32_t slot_offset(uint32_t slot)
{
    return slot == TOMOSHIBI_SLOT_A ? TOMOSHIBI_WINDOW_SLOT_A : TOMOSHIBI_WINDOW_SLOT_B;
}

/* --- the boot record ----------------------------------------------------------------------- */

static int record_is_good(const struct boot_record *r)
{
    return r->magic == UPDATE_MAGIC && crc32c(0, r, RECORD_CRC_BYTES) == r->crc &&
           r->active <= TOMOSHIBI_SLOT_B && r->fallback <= TOMOSHIBI_SLOT_B &&
           r->pending <= TOMOSHIBI_SLOT_B;
}

static int copy_read(uint32_t copy, struct boot_record *r)
{
    mem_copy(r, hal_nv(NV_BOOT_COPY(copy)), RECORD_BYTES);
    return record_is_good(r);
}

static int copy_is_erased(uint32_t copy)
{
    const uint8_t *bytes = hal_nv(NV_BOOT_COPY(copy));
    for (uint32_t i = 0; i < RECORD_BYTES; i++) {
        if (bytes[i] != NV_ERASED) {
            return 0;
        }
    }
    return 1;
}

/* Without a good copy: the factory image, nothing pending. */
static void record_none(struct module *m)
{
    mem_set(&m->update.record, 0, RECORD_BYTES);
    m->update.record.magic = UPDATE_MAGIC;
    m->update.newest = 1;
    if (!copy_is_erased(0) && !copy_is_erased(1)) {
        fault_raise(m, TOMOSHIBI_FAULT_IMAGE_DAMAGED, (int32_t)FACTORY, 0);
    }
}

static void record_read(struct module *m)
{
    struct boot_record copies[2];
    int first = copy_read(0, &copies[0]);
    int second = copy_read(1, &copies[1]);
    if (!first && !second) {
        record_none(m);
        return;
    }
    uint32_t newest = first ? 0u : 1u;
    if (first && second) {
        newest = copies[1].sequence - copies[0].sequence - 1u < UINT32_C(0x7FFFFFFF) ? 1u : 0u;
    }
    m->update.newest = newest;
    m->update.record = copies[newest];
}

/* Writes over the older copy; the record in force changes only when that is done. 0: refused. */
static int record_write(struct module *m, struct boot_record changed)
{
    uint32_t copy = 1u - m->update.newest;
    uint32_t offset = NV_BOOT_COPY(copy);
    changed.sequence = m->update.record.sequence + 1u;
    changed.crc = crc32c(0, &changed, RECORD_CRC_BYTES);
    if (hal_nv_erase(offset, NV_SECTOR) != 0 || hal_nv_write(offset, &changed, RECORD_BYTES) != 0 ||
        !mem_equal(hal_nv(offset), &changed, RECORD_BYTES)) {
        return 0;
    }
    m->update.newest = copy;
    m->update.record = changed;
    return 1;
}

/* --- images -------------------------------------------------------------------------------- */

/* A header that may stand in front of an image for this board: a status. The image's schema may be
   another: what starts, updates and confirms it is the same in every image of a control version. */
static uint16_t header_judge(const struct tomoshibi_image *header)
{
    if (header->magic != TOMOSHIBI_IMAGE_MAGIC || header->length == 0 ||
        header->length > TOMOSHIBI_IMAGE_MAX_BYTES ||
        crc32c(0, header, IMAGE_HEADER_CRC_BYTES) != header->header_crc) {
        return TOMOSHIBI_STATUS_BAD_IMAGE;
    }
    if (header->board != hal_board) {
        return TOMOSHIBI_STATUS_WRONG_BOARD;
    }
    if (header->control_version != TOMOSHIBI_CONTROL_VERSION) {
        return TOMOSHIBI_STATUS_WRONG_SCHEMA;
    }
    return TOMOSHIBI_STATUS_OK;
}

static int image_is_whole(uint32_t slot, const struct tomoshibi_image *header)
{
    const uint8_t *image = hal_nv(slot_offset(slot)) + IMAGE_HEADER_BYTES;
    return crc32c(0, image, header->length) == header->crc;
}

static int slot_is_good(uint32_t slot)
{
    struct tomoshibi_image header;
    mem_copy(&header, hal_nv(slot_offset(slot)), IMAGE_HEADER_BYTES);
    return header_judge(&header) == TOMOSHIBI_STATUS_OK && image_is_whole(slot, &header);
}

/* Returns only where the board could not start it. */
static void slot_start(uint32_t slot)
{
    struct tomoshibi_image header;
    const uint8_t *bytes = hal_nv(slot_offset(slot));
    mem_copy(&header, bytes, IMAGE_HEADER_BYTES);
    hal_boot_image(slot, bytes + IMAGE_HEADER_BYTES, header.length);
}

/* --- start --------------------------------------------------------------------------------- */

static void drop_pending(struct module *m, uint16_t fault, int32_t limit)
{
    struct boot_record changed = m->update.record;
    int32_t slot = (int32_t)changed.pending;
    changed.pending = FACTORY;
    changed.tries = 0;
    (void)record_write(m, changed);
    fault_raise(m, fault, slot, limit);
}

/* A try is written down before it happens: a start that hangs or cuts the power has used it. */
static void try_pending(struct module *m)
{
    struct boot_record changed = m->update.record;
    if (!slot_is_good(changed.pending)) {
        drop_pending(m, TOMOSHIBI_FAULT_IMAGE_DAMAGED, 0);
        return;
    }
    if (changed.tries == 0) {
        drop_pending(m, TOMOSHIBI_FAULT_ROLLED_BACK, (int32_t)TOMOSHIBI_IMAGE_TRIES);
        return;
    }
    changed.tries--;
    if (!record_write(m, changed)) {
        fault_raise(m, TOMOSHIBI_FAULT_ROLLED_BACK, (int32_t)changed.pending,
                    (int32_t)changed.tries);
        return;
    }
    slot_start(changed.pending);
}

static void start_confirmed(struct module *m, uint32_t slot)
{
    if (slot == FACTORY) {
        return;
    }
    if (slot_is_good(slot)) {
        slot_start(slot);
    }
    fault_raise(m, TOMOSHIBI_FAULT_IMAGE_DAMAGED, (int32_t)slot, 0);
}

void update_start(struct module *m)
{
    mem_set(&m->update, 0, (uint32_t)sizeof m->update);
    record_read(m);
    if (hal_running_slot() != FACTORY) {
        return;
    }
    if (m->update.record.pending != FACTORY) {
        try_pending(m);
    }
    start_confirmed(m, m->update.record.active);
    start_confirmed(m, m->update.record.fallback);
}

/* --- an image comes in --------------------------------------------------------------------- */

/* The slot that neither runs nor was confirmed last; 0: both are needed. */
static uint32_t free_slot(const struct module *m)
{
    for (uint32_t slot = TOMOSHIBI_SLOT_A; slot <= TOMOSHIBI_SLOT_B; slot++) {
        if (slot != hal_running_slot() && slot != m->update.record.active) {
            return slot;
        }
    }
    return FACTORY;
}

/* What the record says of a slot that is about to be written over is taken back first. */
static int disown(struct module *m, uint32_t slot)
{
    struct boot_record changed = m->update.record;
    if (changed.fallback != slot && changed.pending != slot) {
        return 1;
    }
    if (changed.fallback == slot) {
        changed.fallback = FACTORY;
    }
    if (changed.pending == slot) {
        changed.pending = FACTORY;
        changed.tries = 0;
    }
    return record_write(m, changed);
}

uint16_t update_begin(struct module *m, const struct tomoshibi_image *header, uint32_t *slot)
{
    struct update *u = &m->update;
    if (m->state != TOMOSHIBI_STATE_IDLE) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    uint16_t status = header_judge(header);
    if (status != TOMOSHIBI_STATUS_OK) {
        return status;
    }
    uint32_t chosen = free_slot(m);
    if (chosen == FACTORY) {
        return TOMOSHIBI_STATUS_BUSY;
    }
    if (!disown(m, chosen) || hal_nv_erase(slot_offset(chosen), NV_SECTOR) != 0) {
        return TOMOSHIBI_STATUS_STORAGE;
    }
    u->slot = chosen;
    u->next = 0;
    u->erased = NV_SECTOR;
    u->header = *header;
    module_state(m, TOMOSHIBI_STATE_UPDATING);
    *slot = chosen;
    return TOMOSHIBI_STATUS_OK;
}

/* Erases as far as the bytes up to `end` need it: a sector at a time, to keep turns short. */
static int erase_up_to(struct update *u, uint32_t end)
{
    while (u->erased < end) {
        if (hal_nv_erase(slot_offset(u->slot) + u->erased, NV_SECTOR) != 0) {
            return 0;
        }
        u->erased += NV_SECTOR;
    }
    return 1;
}

uint16_t update_data(struct module *m, uint32_t offset, const uint8_t *bytes, uint32_t count,
                     uint32_t *next)
{
    struct update *u = &m->update;
    if (m->state != TOMOSHIBI_STATE_UPDATING) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    if (offset != u->next || count == 0 || count > u->header.length - u->next) {
        return TOMOSHIBI_STATUS_BAD_IMAGE;
    }
    uint32_t place = IMAGE_HEADER_BYTES + offset;
    if (!erase_up_to(u, place + count) ||
        hal_nv_write(slot_offset(u->slot) + place, bytes, count) != 0) {
        return TOMOSHIBI_STATUS_STORAGE;
    }
    u->next += count;
    *next = u->next;
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t finish(struct module *m)
{
    struct update *u = &m->update;
    struct boot_record changed = u->record;
    if (u->next != u->header.length || !image_is_whole(u->slot, &u->header)) {
        return TOMOSHIBI_STATUS_BAD_IMAGE;
    }
    if (hal_nv_write(slot_offset(u->slot), &u->header, IMAGE_HEADER_BYTES) != 0 ||
        !slot_is_good(u->slot)) {
        return TOMOSHIBI_STATUS_STORAGE;
    }
    changed.pending = u->slot;
    changed.tries = TOMOSHIBI_IMAGE_TRIES;
    return record_write(m, changed) ? TOMOSHIBI_STATUS_OK : TOMOSHIBI_STATUS_STORAGE;
}

uint16_t update_end(struct module *m, uint32_t *slot)
{
    if (m->state != TOMOSHIBI_STATE_UPDATING) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    uint16_t status = finish(m);
    *slot = m->update.slot;
    (void)update_abort(m);
    return status;
}

uint16_t update_confirm(struct module *m)
{
    struct boot_record changed = m->update.record;
    uint32_t running = hal_running_slot();
    if (running == FACTORY || running != changed.pending) {
        return TOMOSHIBI_STATUS_OK;
    }
    changed.fallback = changed.active;
    changed.active = running;
    changed.pending = FACTORY;
    changed.tries = 0;
    return record_write(m, changed) ? TOMOSHIBI_STATUS_OK : TOMOSHIBI_STATUS_STORAGE;
}

void update_forget(struct module *m)
{
    m->update.slot = FACTORY;
    m->update.next = 0;
}

uint16_t update_abort(struct module *m)
{
    if (m->state != TOMOSHIBI_STATE_UPDATING) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    update_forget(m);
    module_state(m, TOMOSHIBI_STATE_IDLE);
    return TOMOSHIBI_STATUS_OK;
}

int update_confirmed(const struct module *m)
{
    uint32_t running = hal_running_slot();
    return running == FACTORY || running == m->update.record.active ||
           running == m->update.record.fallback;
}
