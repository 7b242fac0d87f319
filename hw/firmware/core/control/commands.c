/* SPDX-License-Identifier: Apache-2.0
 *
 * One function a command; the table of lengths and states is generated from hw/wire/control.toml.
 */
#include "control/commands.h"

#include "base/dictionary.h"
#include "base/memory.h"
#include "control/telemetry.h"
#include "events/channels.h"
#include "events/run.h"
#include "hal.h"
#include "line/link.h"
#include "line/outbox.h"
#include "safety/bias.h"
#include "safety/faults.h"
#include "safety/supply.h"
#include "state/module.h"
#include "state/registers.h"
#include "store/config.h"
#include "store/update.h"

#ifndef TOMOSHIBI_BUILD
#define TOMOSHIBI_BUILD 0u /* the build says which it is */
#endif

#ifndef TOMOSHIBI_SCHEMA_OVERRIDE /* tests build firmware that says it is of another schema */
#define TOMOSHIBI_SCHEMA_OVERRIDE TOMOSHIBI_CONTROL_SCHEMA_CRC
#endif

#define REPLY_ROOM (COMMAND_REPLY_MOST - COMMAND_STATUS_BYTES)
#define GAIN_BYTES 2u

static void reply32(struct command *c, uint32_t offset, uint32_t value)
{
    mem_put32(c->reply + offset, value);
    c->reply_bytes = (uint16_t)(offset + 4u);
}

static void reply_struct(struct command *c, const void *bytes, uint32_t count)
{
    mem_copy(c->reply, bytes, count);
    c->reply_bytes = (uint16_t)count;
}

/* --- who and how --------------------------------------------------------------------------- */

void identity_fill(struct module *m, struct tomoshibi_identity *identity)
{
    mem_set(identity, 0, (uint32_t)sizeof *identity);
    identity->protocol_version = TOMOSHIBI_PROTOCOL_VERSION;
    identity->control_version = TOMOSHIBI_CONTROL_VERSION;
    identity->board = hal_board;
    identity->schema = TOMOSHIBI_SCHEMA_OVERRIDE;
    identity->build = TOMOSHIBI_BUILD;
    identity->dictionary_bytes = dictionary_bytes();
    identity->dictionary_crc = dictionary_crc();
    identity->module = (uint16_t)register_get(m, TOMOSHIBI_REGI_MODULE);
    identity->slot = (uint8_t)hal_running_slot();
    identity->confirmed = (uint8_t)update_confirmed(m);
    identity->reset_cause = (uint8_t)hal_reset_cause();
    identity->state = (uint8_t)m->state;
    identity->fault = fault_latched(m);
    identity->resets = hal_starts();
    identity->max_words = outbox_max_words();
    identity->serial_number = hal_serial_number();
}

static uint16_t do_hello(struct module *m, struct command *c)
{
    struct tomoshibi_identity identity;
    identity_fill(m, &identity);
    reply_struct(c, &identity, (uint32_t)sizeof identity);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_dictionary(struct module *m, struct command *c)
{
    uint32_t offset = mem_get32(c->payload + TOMOSHIBI_REQUEST_DICTIONARY_OFFSET);
    uint32_t count = mem_get32(c->payload + TOMOSHIBI_REQUEST_DICTIONARY_COUNT);
    (void)m;
    if (offset > dictionary_bytes()) {
        c->detail = TOMOSHIBI_REQUEST_DICTIONARY_OFFSET;
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    c->reply_bytes =
        (uint16_t)dictionary_piece(offset, c->reply, count < REPLY_ROOM ? count : REPLY_ROOM);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_telemetry(struct module *m, struct command *c)
{
    struct tomoshibi_telemetry telemetry;
    telemetry_fill(m, &telemetry);
    reply_struct(c, &telemetry, (uint32_t)sizeof telemetry);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_beat(struct module *m, struct command *c)
{
    uint64_t counter = module_clock(m);
    mem_copy(c->reply + TOMOSHIBI_REPLY_BEAT_HOST_TIME_NS,
             c->payload + TOMOSHIBI_REQUEST_BEAT_HOST_TIME_NS, 8u);
    mem_put64(c->reply + TOMOSHIBI_REPLY_BEAT_COUNTER, counter);
    c->reply_bytes = TOMOSHIBI_REPLY_BEAT_COUNTER + 8u;
    return TOMOSHIBI_STATUS_OK;
}

/* --- registers ----------------------------------------------------------------------------- */

static uint16_t do_read(struct module *m, struct command *c)
{
    uint16_t address = mem_get16(c->payload + TOMOSHIBI_REQUEST_READ_REGISTER);
    int32_t value = 0;
    uint16_t status = register_read(m, address, &value);
    c->detail = status == TOMOSHIBI_STATUS_OK ? 0 : address;
    reply32(c, TOMOSHIBI_REPLY_READ_VALUE, (uint32_t)value);
    return status;
}

static uint16_t do_write(struct module *m, struct command *c)
{
    uint16_t address = mem_get16(c->payload + TOMOSHIBI_REQUEST_WRITE_REGISTER);
    int32_t value = (int32_t)mem_get32(c->payload + TOMOSHIBI_REQUEST_WRITE_VALUE);
    uint16_t status = register_write(m, address, value);
    if (status == TOMOSHIBI_STATUS_BAD_VALUE) {
        c->detail = TOMOSHIBI_REQUEST_WRITE_VALUE;
        return status;
    }
    if (status != TOMOSHIBI_STATUS_OK) {
        c->detail = address;
        return status;
    }
    return do_read(m, c);
}

static uint16_t do_save(struct module *m, struct command *c)
{
    (void)c;
    return config_save(m);
}

static uint16_t do_defaults(struct module *m, struct command *c)
{
    (void)c;
    config_defaults(m);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_channels_write(struct module *m, struct command *c)
{
    uint32_t first = mem_get16(c->payload + TOMOSHIBI_REQUEST_CHANNELS_WRITE_FIRST);
    uint32_t count = mem_get16(c->payload + TOMOSHIBI_REQUEST_CHANNELS_WRITE_COUNT);
    uint32_t fixed = TOMOSHIBI_REQUEST_CHANNELS_WRITE_COUNT + 2u;
    if (c->bytes != fixed + GAIN_BYTES * count) {
        c->detail = (uint16_t)(fixed + GAIN_BYTES * count);
        return TOMOSHIBI_STATUS_BAD_LENGTH;
    }
    reply32(c, TOMOSHIBI_REPLY_CHANNELS_WRITE_CHECKSUM, 0);
    c->detail = TOMOSHIBI_REQUEST_CHANNELS_WRITE_FIRST;
    if (count == 0u) {
        c->detail = TOMOSHIBI_REQUEST_CHANNELS_WRITE_COUNT;
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    if (channels_write(m, first, count, c->payload + fixed) != TOMOSHIBI_STATUS_OK) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    c->detail = 0;
    reply32(c, TOMOSHIBI_REPLY_CHANNELS_WRITE_CHECKSUM, channels_checksum(m));
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_channels_read(struct module *m, struct command *c)
{
    uint32_t first = mem_get16(c->payload + TOMOSHIBI_REQUEST_CHANNELS_READ_FIRST);
    uint32_t count = mem_get16(c->payload + TOMOSHIBI_REQUEST_CHANNELS_READ_COUNT);
    if (count == 0u || GAIN_BYTES * count > REPLY_ROOM) {
        c->detail = TOMOSHIBI_REQUEST_CHANNELS_READ_COUNT;
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    c->detail = TOMOSHIBI_REQUEST_CHANNELS_READ_FIRST;
    if (channels_read(m, first, count, c->reply) != TOMOSHIBI_STATUS_OK) {
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    c->detail = 0;
    c->reply_bytes = (uint16_t)(GAIN_BYTES * count);
    return TOMOSHIBI_STATUS_OK;
}

/* --- runs and bias ------------------------------------------------------------------------- */

static uint16_t do_run(struct module *m, struct command *c)
{
    uint32_t run_tag = mem_get32(c->payload + TOMOSHIBI_REQUEST_RUN_RUN_TAG);
    uint32_t periods = mem_get32(c->payload + TOMOSHIBI_REQUEST_RUN_PERIODS);
    uint32_t sequence = mem_get32(c->payload + TOMOSHIBI_REQUEST_RUN_FIRST_SEQUENCE);
    c->detail = TOMOSHIBI_REQUEST_RUN_RUN_TAG; /* the only value that can be wrong */
    return run_begin(m, run_tag, periods, sequence);
}

static uint16_t do_stop(struct module *m, struct command *c)
{
    (void)c;
    return run_stop(m);
}

static uint16_t do_abort(struct module *m, struct command *c)
{
    (void)c;
    return run_abort(m);
}

static uint16_t do_report(struct module *m, struct command *c)
{
    struct tomoshibi_report report;
    run_report(m, &report);
    reply_struct(c, &report, (uint32_t)sizeof report);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_bias(struct module *m, struct command *c)
{
    c->detail = TOMOSHIBI_REQUEST_BIAS_TARGET_MV;
    return bias_set(m, mem_get32(c->payload + TOMOSHIBI_REQUEST_BIAS_TARGET_MV));
}

/* --- faults -------------------------------------------------------------------------------- */

static uint16_t do_clear_fault(struct module *m, struct command *c)
{
    (void)c;
    return faults_clear(m);
}

static uint16_t do_fault_log(struct module *m, struct command *c)
{
    struct tomoshibi_fault_entry entry;
    if (!fault_entry(m, mem_get16(c->payload + TOMOSHIBI_REQUEST_FAULT_LOG_INDEX), &entry)) {
        c->detail = TOMOSHIBI_REQUEST_FAULT_LOG_INDEX;
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    c->detail = (uint16_t)faults_count(m);
    reply_struct(c, &entry, (uint32_t)sizeof entry);
    return TOMOSHIBI_STATUS_OK;
}

/* --- the line, reset, update --------------------------------------------------------------- */

static uint16_t do_reset(struct module *m, struct command *c)
{
    (void)c;
    supply_off(m);
    link_reset_after_reply(m);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_baud(struct module *m, struct command *c)
{
    uint32_t baud = mem_get32(c->payload + TOMOSHIBI_REQUEST_BAUD_BAUD);
    if (baud < TOMOSHIBI_BAUD_MIN || baud > TOMOSHIBI_BAUD_MAX) {
        c->detail = TOMOSHIBI_REQUEST_BAUD_BAUD;
        return TOMOSHIBI_STATUS_BAD_VALUE;
    }
    link_baud_after_reply(m, baud);
    return TOMOSHIBI_STATUS_OK;
}

static uint16_t do_update_begin(struct module *m, struct command *c)
{
    struct tomoshibi_image header;
    uint32_t slot = 0;
    uint16_t status;
    mem_copy(&header, c->payload, (uint32_t)sizeof header);
    status = update_begin(m, &header, &slot);
    c->detail = status == TOMOSHIBI_STATUS_WRONG_BOARD    ? header.board
                : status == TOMOSHIBI_STATUS_WRONG_SCHEMA ? TOMOSHIBI_CONTROL_VERSION
                                                          : 0;
    reply32(c, TOMOSHIBI_REPLY_UPDATE_BEGIN_SLOT, slot);
    return status;
}

static uint16_t do_update_data(struct module *m, struct command *c)
{
    uint32_t fixed = TOMOSHIBI_REQUEST_UPDATE_DATA_OFFSET + 4u;
    uint32_t offset = mem_get32(c->payload + TOMOSHIBI_REQUEST_UPDATE_DATA_OFFSET);
    uint32_t next = 0;
    uint16_t status = update_data(m, offset, c->payload + fixed, c->bytes - fixed, &next);
    reply32(c, TOMOSHIBI_REPLY_UPDATE_DATA_NEXT, next);
    return status;
}

static uint16_t do_update_end(struct module *m, struct command *c)
{
    uint32_t slot = 0;
    uint16_t status = update_end(m, &slot);
    reply32(c, TOMOSHIBI_REPLY_UPDATE_END_SLOT, slot);
    return status;
}

static uint16_t do_update_confirm(struct module *m, struct command *c)
{
    (void)c;
    return update_confirm(m);
}

static uint16_t do_update_abort(struct module *m, struct command *c)
{
    (void)c;
    return update_abort(m);
}

/* --- table --------------------------------------------------------------------------------- */

struct command_spec {
    uint16_t code;
    uint16_t bytes; /* of the request's fields */
    uint8_t states; /* bit n: allowed in state n */
    uint8_t tail;   /* unit of what may follow the fields, in bytes; 0: nothing may */
    uint16_t (*perform)(struct module *m, struct command *c);
};

#define SPEC(name, code, states, bytes, tail) {code, bytes, states, tail, do_##name},

static const struct command_spec specs[] = {TOMOSHIBI_COMMANDS(SPEC)};

static const struct command_spec *find(uint16_t code)
{
    unsigned i;
    for (i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        if (specs[i].code == code) {
            return &specs[i];
        }
    }
    return NULL;
}

static int length_is_right(const struct command_spec *spec, const struct command *c)
{
    if (c->bytes < spec->bytes || spec->tail == 0u) {
        return c->bytes == spec->bytes;
    }
    return (c->bytes - spec->bytes) % spec->tail == 0u;
}

static uint16_t check_and_perform(struct module *m, struct command *c)
{
    const struct command_spec *spec = find(c->code);
    if (spec == NULL) {
        c->detail = c->code;
        return TOMOSHIBI_STATUS_UNKNOWN_COMMAND;
    }
    if (!length_is_right(spec, c)) {
        c->detail = spec->bytes;
        return TOMOSHIBI_STATUS_BAD_LENGTH;
    }
    if (((uint32_t)spec->states >> m->state & 1u) == 0u) {
        return m->state == TOMOSHIBI_STATE_FAULT ? TOMOSHIBI_STATUS_FAULTED
                                                 : TOMOSHIBI_STATUS_BAD_STATE;
    }
    return spec->perform(m, c);
}

/* Details that mean the same whoever refuses. */
uint16_t command_do(struct module *m, struct command *c)
{
    uint16_t status = check_and_perform(m, c);
    if (status == TOMOSHIBI_STATUS_BAD_STATE) {
        c->detail = (uint16_t)m->state;
    } else if (status == TOMOSHIBI_STATUS_FAULTED) {
        c->detail = fault_latched(m);
    } else if (status == TOMOSHIBI_STATUS_STILL_PRESENT) {
        c->detail = fault_present(m);
    }
    return status;
}
