/* SPDX-License-Identifier: Apache-2.0
 *
 * The record. The board has no register that tells why it was reset, so the program notes before
 * each reset (reset.c) what the next start should know, in memory that no start clears.
 */
#include "base/crc32c.h"
#include "mps2.h"

#define RECORD_MAGIC 0x44524354u /* "TCRD" */

struct record {
    uint32_t magic;
    uint32_t starts;     /* since power came */
    uint32_t cause;      /* of this start */
    uint32_t next_cause; /* of the next one, should it come now */
    uint32_t slot;       /* image that runs */
    uint32_t crc;
};

static struct record *record(void)
{
    return (struct record *)(void *)mps2_record_start;
}

static uint32_t record_crc(void)
{
    return crc32c(0u, record(), (uint32_t)offsetof(struct record, crc));
}

static void record_seal(void)
{
    record()->crc = record_crc();
}

void mps2_record_start_up(void)
{
    struct record *r = record();
    if (!mps2_is_factory_image()) {
        return; /* the factory image counted this start before it started this one */
    }
    if (r->magic == RECORD_MAGIC && r->crc == record_crc()) {
        r->starts++;
        r->cause = r->next_cause;
    } else {
        r->magic = RECORD_MAGIC;
        r->starts = 1u;
        r->cause = TOMOSHIBI_RESET_POWER_ON;
    }
    r->next_cause = TOMOSHIBI_RESET_SOFTWARE; /* the reset button: asked for */
    r->slot = TOMOSHIBI_SLOT_FACTORY;
    record_seal();
}

void mps2_record_next(uint32_t cause)
{
    record()->next_cause = cause;
    record_seal();
}

void mps2_record_slot(uint32_t slot)
{
    record()->slot = slot;
    record_seal();
}

uint32_t hal_reset_cause(void)
{
    return record()->cause;
}

uint32_t hal_starts(void)
{
    return record()->starts;
}

uint32_t hal_running_slot(void)
{
    return record()->slot;
}
