/* SPDX-License-Identifier: Apache-2.0
 *
 * The registers of hw/wire/control.toml: 32 bits, signed, each within its bounds at all times.
 */
#ifndef TOMOSHIBI_REGISTERS_H
#define TOMOSHIBI_REGISTERS_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

/* The table that says what each register is; index: TOMOSHIBI_REGI_x. */
struct register_spec {
    uint16_t address;
    uint16_t flags; /* TOMOSHIBI_REGISTER_x */
    int32_t least;
    int32_t greatest;
    int32_t initial;
};
extern const struct register_spec register_specs[TOMOSHIBI_REGISTER_COUNT];

void registers_start(struct module *m);    /* all at their defaults */
void registers_defaults(struct module *m); /* the persistent ones, with all that follows of it */
int32_t register_get(const struct module *m, unsigned index);

/* For what is computed or loaded. 0: out of bounds or no such register, left as it was. */
int register_set(struct module *m, unsigned index, int32_t value);

int register_index(uint32_t address); /* -1: none */
/* For the host: a TOMOSHIBI_STATUS_x. */
uint16_t register_read(const struct module *m, uint32_t address, int32_t *value);
uint16_t register_write(struct module *m, uint32_t address, int32_t value);

#endif
