/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "hal.h"
#include "posix.h"

static struct iovec part(const void *bytes, uint32_t count)
{
    struct iovec v;
    memcpy(&v.iov_base, &bytes, sizeof bytes); /* sendmsg() only reads it; the type cannot say so */
    v.iov_len = count;
    return v;
}

int hal_datagram_send(const void *head, uint32_t head_bytes, const void *body, uint32_t body_bytes)
{
    struct iovec parts[2];
    struct msghdr message;
    if (kept->network == NO_FILE) {
        return -1;
    }
    parts[0] = part(head, head_bytes);
    parts[1] = part(body, body_bytes);
    memset(&message, 0, sizeof message);
    message.msg_name = &kept->receiver;
    message.msg_namelen = sizeof kept->receiver;
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    if (sendmsg(kept->network, &message, MSG_DONTWAIT) < 0) {
        /* nobody there is as on a wire: the datagram is gone */
        return errno == EAGAIN || errno == ENOBUFS ? 0 : 1;
    }
    return 1;
}
