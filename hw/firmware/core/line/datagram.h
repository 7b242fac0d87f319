/* SPDX-License-Identifier: Apache-2.0
 *
 * Data frames in pieces of TOMOSHIBI_DATAGRAM_MAX_BYTES, each with a header that says where it
 * belongs. Nothing is sent twice: the host counts what is missing by sequence, offset and number.
 */
#ifndef TOMOSHIBI_DATAGRAM_H
#define TOMOSHIBI_DATAGRAM_H

#include <stdint.h>

struct module;

/* Send the piece at `offset` of a frame of `bytes`: how many bytes went; 0: no room now; -1: this
 * board sends no datagrams. */
int32_t datagram_send(struct module *m, const uint8_t *frame, uint32_t bytes, uint32_t offset);

#endif
