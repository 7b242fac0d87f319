/* SPDX-License-Identifier: Apache-2.0
 *
 * Every command of hw/wire/control.toml: length, state and values are checked before anything is done,
 * and a refusal says which and why. A refused command changes nothing.
 */
#ifndef TOMOSHIBI_COMMANDS_H
#define TOMOSHIBI_COMMANDS_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

#define COMMAND_REPLY_MOST (TOMOSHIBI_CONTROL_MAX_PAYLOAD)
#define COMMAND_STATUS_BYTES 4u /* status and detail, in front of every reply's fields */

/* A command under way: what came, and what is to be answered. */
struct command {
    uint16_t code;
    uint16_t bytes;         /* of the payload */
    const uint8_t *payload;
    uint16_t detail;
    uint16_t reply_bytes;   /* of what follows status and detail */
    uint8_t *reply;         /* room for COMMAND_REPLY_MOST - COMMAND_STATUS_BYTES */
};

uint16_t command_do(struct module *m, struct command *c); /* status */
void identity_fill(struct module *m, struct tomoshibi_identity *identity);

#endif
