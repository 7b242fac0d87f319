/* SPDX-License-Identifier: Apache-2.0
 *
 * What comes in on the serial line: packets are judged, each command is answered once, a repeat
 * from memory. HELLO is said until a host was heard.
 *
 * Every byte that comes in is counted under one heading: bytes_in = good_bytes + invalid_bytes +
 * empty_bytes + those of the packet that has not ended.
 */
#ifndef TOMOSHIBI_EXCHANGE_H
#define TOMOSHIBI_EXCHANGE_H

struct module;

#define EXCHANGE_HELLO_MS 1000u

void exchange_poll(struct module *m);  /* every turn: the line's, with what comes in between */
void exchange_hello(struct module *m); /* the HELLO notice, now */

#endif
