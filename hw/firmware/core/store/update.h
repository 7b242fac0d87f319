/* SPDX-License-Identifier: Apache-2.0
 *
 * Firmware updates: two slots beside the factory image, and a boot record that says which starts.
 *
 * The factory image runs first after every reset and hands over to the slot that the record names,
 * after it has verified it. A new image is pending: it gets TOMOSHIBI_IMAGE_TRIES starts, each
 * written down before it happens; not confirmed by then, the old one runs again. The record is
 * kept twice, and a slot's header is written last: a cut of power at any moment leaves a module
 * that starts. The slot that runs and the one that was confirmed last are never written to.
 *
 * The factory image and the slots' images are of different times and share the record and the
 * slots: their layout is the same in all firmware of a control version, whatever its schema.
 */
#ifndef TOMOSHIBI_UPDATE_H
#define TOMOSHIBI_UPDATE_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct module;

#define UPDATE_MAGIC UINT32_C(0x52424D54) /* TMBR */

/* Reads the record; in the factory image it may start another image and not return. */
void update_start(struct module *m);
/* Statuses: ok, bad_image, wrong_board (detail: header->board), wrong_schema (the control version;
   detail: ours), bad_state, busy, storage. */
uint16_t update_begin(struct module *m, const struct tomoshibi_image *header, uint32_t *slot);
uint16_t update_data(struct module *m, uint32_t offset, const uint8_t *bytes, uint32_t count,
                     uint32_t *next);
uint16_t update_end(struct module *m, uint32_t *slot);
uint16_t update_confirm(struct module *m); /* also where nothing is pending: ok */
uint16_t update_abort(struct module *m);
void update_forget(struct module *m);      /* gives up what comes in, whatever the state */
int update_confirmed(const struct module *m); /* whether the running image was confirmed */

#endif
