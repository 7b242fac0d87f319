/* SPDX-License-Identifier: Apache-2.0
 *
 * See datagram.h. Numbers begin anew with a run's first frame.
 */
#include "line/datagram.h"

#include "hal.h"
#include "state/module.h"

int32_t datagram_send(struct module *m, const uint8_t *frame, uint32_t bytes, uint32_t offset)
{
    const struct tomoshibi_frame_header *h = (const void *)frame;
    struct tomoshibi_datagram head;
    uint32_t rest = bytes - offset;
    int sent;
    if (offset == 0 && (h->flags & TOMOSHIBI_FRAME_FLAG_FIRST)) {
        m->outbox.datagrams = 0;
    }
    head.magic = TOMOSHIBI_DATAGRAM_MAGIC;
    head.module = h->module;
    head.length = (uint16_t)(rest < TOMOSHIBI_DATAGRAM_MAX_BYTES ? rest
                                                                 : TOMOSHIBI_DATAGRAM_MAX_BYTES);
    head.sequence = h->sequence;
    head.offset = offset;
    head.frame_bytes = bytes;
    head.number = m->outbox.datagrams;
    sent = hal_datagram_send(&head, sizeof head, frame + offset, head.length);
    if (sent <= 0) {
        return sent;
    }
    m->outbox.datagrams++;
    return (int32_t)head.length;
}
