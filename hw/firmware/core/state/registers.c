/* SPDX-License-Identifier: Apache-2.0
 *
 * What a register is comes from the generated table; what follows of a change is in changed().
 */
#include "state/registers.h"

#include "hal.h"
#include "state/module.h"

#define SPEC(address, least, greatest, initial, flags) {address, flags, least, greatest, initial},

const struct register_spec register_specs[TOMOSHIBI_REGISTER_COUNT] = {
    TOMOSHIBI_REGISTERS(SPEC)};

/* Other parts read their registers when they need them; the comparator is told. */
static void changed(const struct module *m, unsigned index)
{
    if (index == TOMOSHIBI_REGI_COMPARATOR_MV) {
        hal_comparator((uint32_t)register_get(m, index));
    }
}

void registers_start(struct module *m)
{
    unsigned i;
    for (i = 0; i < TOMOSHIBI_REGISTER_COUNT; i++) {
        m->registers.values[i] = register_specs[i].initial;
        changed(m, i);
    }
}

void registers_defaults(struct module *m)
{
    unsigned i;
    for (i = 0; i < TOMOSHIBI_REGISTER_COUNT; i++) {
        if (register_specs[i].flags & TOMOSHIBI_REGISTER_PERSISTENT) {
            (void)register_set(m, i, register_specs[i].initial);
        }
    }
}

int32_t register_get(const struct module *m, unsigned index)
{
    return index < TOMOSHIBI_REGISTER_COUNT ? m->registers.values[index] : 0;
}

int register_set(struct module *m, unsigned index, int32_t value)
{
    if (index >= TOMOSHIBI_REGISTER_COUNT || value < register_specs[index].least ||
        value > register_specs[index].greatest) {
        return 0;
    }
    m->registers.values[index] = value;
    changed(m, index);
    return 1;
}

int register_index(uint32_t address)
{
    unsigned i;
    for (i = 0; i < TOMOSHIBI_REGISTER_COUNT; i++) {
        if (register_specs[i].address == address) {
            return (int)i;
        }
    }
    return -1;
}

uint16_t register_read(const struct module *m, uint32_t address, int32_t *value)
{
    int index = register_index(address);
    if (index < 0) {
        return TOMOSHIBI_STATUS_UNKNOWN_REGISTER;
    }
    *value = register_get(m, (unsigned)index);
    return TOMOSHIBI_STATUS_OK;
}

uint16_t register_write(struct module *m, uint32_t address, int32_t value)
{
    int index = register_index(address);
    if (index < 0) {
        return TOMOSHIBI_STATUS_UNKNOWN_REGISTER;
    }
    if (register_specs[index].flags & TOMOSHIBI_REGISTER_READ_ONLY) {
        return TOMOSHIBI_STATUS_READ_ONLY;
    }
    if ((register_specs[index].flags & TOMOSHIBI_REGISTER_IDLE_ONLY) &&
        m->state != TOMOSHIBI_STATE_IDLE) {
        return TOMOSHIBI_STATUS_BAD_STATE;
    }
    return register_set(m, (unsigned)index, value) ? TOMOSHIBI_STATUS_OK
                                                   : TOMOSHIBI_STATUS_BAD_VALUE;
}
