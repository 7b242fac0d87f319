/* SPDX-License-Identifier: Apache-2.0
 *
 * Latch, log and notices of faults: see faults.h. The log lies in two sectors of the non-volatile
 * memory; when one is full the other is erased, so that at least one sector of faults is kept.
 */
#include "safety/faults.h"

#include "base/crc32c.h"
#include "base/memory.h"
#include "base/nv_layout.h"
#include "hal.h"
#include "line/link.h"
#include "safety/supply.h"
#include "state/module.h"
#include "state/registers.h"

#define ENTRY_BYTES ((uint32_t)sizeof(struct tomoshibi_fault_entry))
#define ENTRY_CRC_BYTES ((uint32_t)offsetof(struct tomoshibi_fault_entry, crc))
#define FAULTS_NOTICE_RETRY (TOMOSHIBI_COUNTER_HZ / 10u)
#define BIT(code) (UINT32_C(1) << (code))

#define LATCH_BIT(code, latch, safe) | ((UINT32_C(0) + (latch)) << (code))
#define SAFE_BIT(code, latch, safe) | ((UINT32_C(0) + (safe)) << (code))
static const uint32_t latching = 0u TOMOSHIBI_FAULTS(LATCH_BIT);
static const uint32_t making_safe = 0u TOMOSHIBI_FAULTS(SAFE_BIT);

/* --- the log ------------------------------------------------------------------------------- */

static uint32_t entry_offset(uint32_t sector, uint32_t slot)
{
    return NV_FAULT_SECTOR(sector) + slot * ENTRY_BYTES;
}

static int slot_is_erased(uint32_t sector, uint32_t slot)
{
    const uint8_t *bytes = hal_nv(entry_offset(sector, slot));
    for (uint32_t i = 0; i < ENTRY_BYTES; i++) {
        if (bytes[i] != NV_ERASED) {
            return 0;
        }
    }
    return 1;
}

static int slot_read(uint32_t sector, uint32_t slot, struct tomoshibi_fault_entry *entry)
{
    mem_copy(entry, hal_nv(entry_offset(sector, slot)), ENTRY_BYTES);
    return crc32c(0, entry, ENTRY_CRC_BYTES) == entry->crc && entry->number != 0;
}

/* Calls of this walk from the newest to the oldest slot; 0 at the end. */
static int slot_before(const struct faults *f, uint32_t *sector, uint32_t *slot)
{
    if (*slot > 0) {
        (*slot)--;
        return 1;
    }
    if (*sector != f->sector) {
        return 0;
    }
    *sector = 1u - f->sector;
    *slot = FAULTS_SECTOR_ENTRIES - 1u;
    return 1;
}

int fault_entry(const struct module *m, uint32_t index, struct tomoshibi_fault_entry *entry)
{
    uint32_t sector = m->faults.sector;
    uint32_t slot = m->faults.slot;
    while (slot_before(&m->faults, &sector, &slot)) {
        if (slot_read(sector, slot, entry) && index-- == 0) {
            return 1;
        }
    }
    return 0;
}

uint32_t faults_count(const struct module *m)
{
    struct tomoshibi_fault_entry entry;
    uint32_t sector = m->faults.sector;
    uint32_t slot = m->faults.slot;
    uint32_t count = 0;
    while (slot_before(&m->faults, &sector, &slot)) {
        count += slot_read(sector, slot, &entry) ? 1u : 0u;
    }
    return count;
}

/* Finds the newest entry and where the next goes; counts what cannot be read. */
static void log_scan(struct faults *f)
{
    struct tomoshibi_fault_entry entry;
    uint32_t end[2] = {0, 0};
    uint32_t newest = 0;
    for (uint32_t sector = 0; sector < 2; sector++) {
        for (uint32_t slot = 0; slot < FAULTS_SECTOR_ENTRIES; slot++) {
            if (slot_is_erased(sector, slot)) {
                continue;
            }
            end[sector] = slot + 1u;
            if (!slot_read(sector, slot, &entry)) {
                f->damaged++;
            } else if (entry.number > newest) {
                newest = entry.number;
                f->sector = sector;
            }
        }
    }
    f->slot = end[f->sector];
    f->next_number = newest + 1u;
}

/* A place for the next entry, made by erasing the other sector where this one is full. */
static int log_place(struct faults *f)
{
    while (f->slot < FAULTS_SECTOR_ENTRIES && !slot_is_erased(f->sector, f->slot)) {
        f->slot++;
    }
    if (f->slot < FAULTS_SECTOR_ENTRIES) {
        return 1;
    }
    if (hal_nv_erase(NV_FAULT_SECTOR(1u - f->sector), NV_SECTOR) != 0) {
        return 0;
    }
    f->sector = 1u - f->sector;
    f->slot = 0;
    return slot_is_erased(f->sector, 0);
}

static void log_append(struct faults *f, const struct tomoshibi_fault_entry *entry)
{
    if (log_place(f)) {
        uint32_t offset = entry_offset(f->sector, f->slot);
        int failed = hal_nv_write(offset, entry, ENTRY_BYTES);
        if (!slot_is_erased(f->sector, f->slot)) {
            f->slot++;
        }
        if (!failed && mem_equal(hal_nv(offset), entry, ENTRY_BYTES)) {
            return;
        }
    }
    f->unwritten++;
}

/* --- notices ------------------------------------------------------------------------------- */

static void notice_keep(struct faults *f, const struct tomoshibi_fault_entry *entry)
{
    f->waiting[entry->number % FAULTS_WAITING] = *entry;
    if (entry->number - f->noticed >= FAULTS_WAITING) {
        f->noticed = entry->number - (FAULTS_WAITING - 1u);
    }
}

void faults_poll(struct module *m)
{
    struct faults *f = &m->faults;
    if (m->now < f->notice_due) {
        return;
    }
    while (f->noticed != f->next_number) {
        const struct tomoshibi_fault_entry *entry = &f->waiting[f->noticed % FAULTS_WAITING];
        if (!link_notice(m, TOMOSHIBI_NOTICE_FAULT, entry, ENTRY_BYTES)) {
            f->notice_due = m->now + FAULTS_NOTICE_RETRY; /* nobody reads: no use in hurry */
            return;
        }
        f->noticed++;
    }
}

/* --- raising and clearing ------------------------------------------------------------------ */

static void record(struct module *m, uint16_t fault, int32_t value, int32_t limit)
{
    struct tomoshibi_fault_entry entry;
    mem_set(&entry, 0, ENTRY_BYTES);
    entry.number = m->faults.next_number++;
    entry.fault = fault;
    entry.state = (uint16_t)m->state;
    entry.value = value;
    entry.limit = limit;
    entry.counter = m->now;
    entry.resets = hal_starts();
    entry.crc = crc32c(0, &entry, ENTRY_CRC_BYTES);
    m->faults.logged_at[fault] = m->now + 1u;
    log_append(&m->faults, &entry);
    notice_keep(&m->faults, &entry);
}

static int came_too_soon(const struct module *m, uint16_t fault)
{
    uint64_t last = m->faults.logged_at[fault];
    return last != 0 && m->now + 1u - last < TOMOSHIBI_COUNTER_HZ;
}

static void latch(struct module *m, uint16_t fault)
{
    if (m->faults.latched == 0) {
        m->faults.latched = fault;
    }
    m->faults.seen |= BIT(fault);
    m->faults.fresh |= BIT(fault);
    module_state(m, TOMOSHIBI_STATE_FAULT);
}

void fault_raise(struct module *m, uint16_t fault, int32_t value, int32_t limit)
{
    if (fault == 0 || fault >= FAULTS_CODES) {
        return;
    }
    if (making_safe & BIT(fault)) {
        supply_off(m);
    }
    if (!(latching & BIT(fault))) {
        if (came_too_soon(m, fault)) {
            m->faults.suppressed++;
        } else {
            record(m, fault, value, limit);
        }
        return;
    }
    if (m->faults.seen & BIT(fault)) {
        return;
    }
    record(m, fault, value, limit);
    latch(m, fault);
}

uint16_t fault_latched(const struct module *m)
{
    return m->faults.latched;
}

static int stack_is_exhausted(void)
{
    uint32_t size = hal_stack_size();
    return size != 0 && hal_stack_used() + FAULTS_STACK_GUARD > size;
}

static int cause_is_present(struct module *m, uint16_t fault)
{
    int32_t value, limit;
    if (fault == TOMOSHIBI_FAULT_STACK) {
        return stack_is_exhausted();
    }
    return supply_violates(m, fault, &value, &limit);
}

uint16_t fault_present(struct module *m)
{
    supply_measure(m);
    if (m->faults.latched != 0 && cause_is_present(m, m->faults.latched)) {
        return m->faults.latched;
    }
    for (uint16_t fault = 1; fault < FAULTS_CODES; fault++) {
        if ((latching & BIT(fault)) && cause_is_present(m, fault)) {
            return fault;
        }
    }
    return 0;
}

uint16_t faults_clear(struct module *m)
{
    if (m->faults.latched == 0) {
        return TOMOSHIBI_STATUS_OK;
    }
    if (fault_present(m) != 0) {
        return TOMOSHIBI_STATUS_STILL_PRESENT;
    }
    m->faults.latched = 0;
    m->faults.seen = 0;
    module_state(m, TOMOSHIBI_STATE_IDLE);
    return TOMOSHIBI_STATUS_OK;
}

/* --- start --------------------------------------------------------------------------------- */

/* Whether an entry was written on the way to this start: by the start before as the supply fell,
   or by the factory image before it handed over. */
static int belongs_to_this_start(const struct tomoshibi_fault_entry *entry)
{
    uint32_t starts = hal_starts();
    if (entry->fault == TOMOSHIBI_FAULT_BROWN_OUT && entry->resets + 1u == starts &&
        hal_reset_cause() == TOMOSHIBI_RESET_BROWN_OUT) {
        return 1;
    }
    return entry->resets == starts && entry->state == TOMOSHIBI_STATE_BOOT &&
           hal_running_slot() != TOMOSHIBI_SLOT_FACTORY;
}

/* Keeps those entries for notices; returns a bit for each of their codes. */
static uint32_t adopt(struct module *m)
{
    struct tomoshibi_fault_entry entry;
    uint32_t known = 0;
    for (uint32_t i = 0; i < FAULTS_WAITING && fault_entry(m, i, &entry); i++) {
        if (!belongs_to_this_start(&entry) || m->faults.noticed != entry.number + 1u) {
            break;
        }
        m->faults.waiting[entry.number % FAULTS_WAITING] = entry;
        m->faults.noticed = entry.number;
        if (entry.fault < FAULTS_CODES) {
            m->faults.logged_at[entry.fault] = m->now + 1u; /* not again by this image */
            known |= BIT(entry.fault);
        }
    }
    return known;
}

/* Latches what the reset itself means; logged unless the log has it already. */
static void latch_reset(struct module *m, uint32_t known)
{
    uint32_t cause = hal_reset_cause();
    uint16_t fault = cause == TOMOSHIBI_RESET_WATCHDOG    ? TOMOSHIBI_FAULT_WATCHDOG
                     : cause == TOMOSHIBI_RESET_BROWN_OUT ? TOMOSHIBI_FAULT_BROWN_OUT
                                                          : TOMOSHIBI_FAULT_NONE;
    if (fault != 0 && (known & BIT(fault))) {
        latch(m, fault);
    } else if (fault == TOMOSHIBI_FAULT_BROWN_OUT) {
        fault_raise(m, fault, hal_adc(HAL_SUPPLY_MV),
                    register_get(m, TOMOSHIBI_REGI_SUPPLY_MIN_MV));
    } else if (fault != 0) {
        fault_raise(m, fault, (int32_t)(hal_starts() & 0x7FFFFFFFu), 0);
    }
}

/* Says once that entries are damaged: not again at every start until the sector is erased. */
static void report_damage(struct module *m)
{
    struct tomoshibi_fault_entry entry;
    int32_t damaged = (int32_t)m->faults.damaged;
    for (uint32_t i = 0; fault_entry(m, i, &entry); i++) {
        if (entry.fault == TOMOSHIBI_FAULT_LOG_DAMAGED) {
            if (entry.value == damaged) {
                return;
            }
            break;
        }
    }
    if (damaged != 0) {
        fault_raise(m, TOMOSHIBI_FAULT_LOG_DAMAGED, damaged, 0);
    }
}

void faults_start(struct module *m)
{
    mem_set(&m->faults, 0, (uint32_t)sizeof m->faults);
    log_scan(&m->faults);
    m->faults.noticed = m->faults.next_number;
    latch_reset(m, adopt(m));
    report_damage(m);
}
