/* SPDX-License-Identifier: Apache-2.0
 *
 * Datagrams over the LAN9118: Ethernet, IPv4 and UDP made here, broadcast, nothing received.
 * The part takes frames as 32-bit words; head and body must be multiples of 4 bytes.
 */
#include "mps2.h"

#define ETH_DATA MPS2_REGISTER(MPS2_ETHERNET, 0x20u)
#define ETH_ID MPS2_REGISTER(MPS2_ETHERNET, 0x50u)
#define ETH_TX_CONFIG MPS2_REGISTER(MPS2_ETHERNET, 0x70u)
#define ETH_TX_ROOM MPS2_REGISTER(MPS2_ETHERNET, 0x80u)
#define ETH_MAC_COMMAND MPS2_REGISTER(MPS2_ETHERNET, 0xA4u)
#define ETH_MAC_DATA MPS2_REGISTER(MPS2_ETHERNET, 0xA8u)
#define ETH_TX_STATUS MPS2_REGISTER(MPS2_ETHERNET, 0x48u)

#define PART_NUMBER 0x0118u
#define MAC_WRITE 0x80000000u
#define MAC_CONTROL 1u
#define MAC_SENDS 8u
#define TX_ON 2u
#define TX_FIRST_AND_LAST 0x3000u
#define TX_TWO_BYTES_IN 0x20000u /* data start offset 2: the Ethernet header is 14 bytes */
#define TX_STATUS_USED_SHIFT 16u

#define ETHERNET_BYTES 14u
#define IP_BYTES 20u
#define UDP_BYTES 8u
#define HEADERS_BYTES (ETHERNET_BYTES + IP_BYTES + UDP_BYTES)
#define HEADERS_WORDS ((HEADERS_BYTES + 2u) / 4u)
#define MOST_BYTES (1500u - IP_BYTES - UDP_BYTES)

static int present;
static uint8_t headers[HEADERS_WORDS * 4u]; /* two bytes of nothing, then the three headers */

static void put_16(uint32_t place, uint32_t value)
{
    headers[2u + place] = (uint8_t)(value >> 8);
    headers[3u + place] = (uint8_t)value;
}

static uint32_t get_16(uint32_t place)
{
    return (uint32_t)headers[2u + place] << 8 | headers[3u + place];
}

static uint32_t folded(uint32_t sum)
{
    sum = (sum & 0xFFFFu) + (sum >> 16);
    return (sum & 0xFFFFu) + (sum >> 16);
}

/* The Internet checksum does not care for the bytes' order as long as it is always the same one
 * (RFC 1071): sums of little-endian halves are turned round once, at the end. */
static uint32_t sum_of(const uint32_t *words, uint32_t count)
{
    uint32_t sum = 0;
    uint32_t i;
    for (i = 0; i < count; i++) {
        sum += (words[i] & 0xFFFFu) + (words[i] >> 16);
    }
    sum = folded(sum);
    return (sum >> 8 | sum << 8) & 0xFFFFu;
}

static uint32_t sum_of_headers(uint32_t from, uint32_t to)
{
    uint32_t sum = 0;
    uint32_t i;
    for (i = from; i < to; i += 2u) {
        sum += get_16(i);
    }
    return sum;
}

static void fixed_headers(void)
{
    uint32_t i;
    uint32_t number = hal_serial_number();
    for (i = 0; i < 6u; i++) {
        headers[2u + i] = 0xFFu;                  /* to all */
    }
    put_16(6u, 0x0254u);                          /* from a locally administered address */
    put_16(8u, 0x4D00u);
    put_16(10u, number);
    put_16(12u, 0x0800u);                         /* IPv4 */
    put_16(14u, 0x4500u);
    put_16(20u, 0x4000u);                         /* never in fragments */
    put_16(22u, 0x4011u);                         /* 64 hops, UDP */
    put_16(26u, 0xA9FEu);                         /* 169.254.x.y: link-local, RFC 3927 */
    put_16(28u, (number % 0xFE00u) + 0x0100u);
    put_16(30u, 0xA9FEu);
    put_16(32u, 0xFFFFu);
    put_16(34u, TOMOSHIBI_DATAGRAM_PORT);
    put_16(36u, TOMOSHIBI_DATAGRAM_PORT);
}

static void headers_of(uint32_t bytes, uint32_t payload_sum)
{
    uint32_t udp;
    put_16(16u, IP_BYTES + UDP_BYTES + bytes);
    put_16(24u, 0u);
    put_16(24u, ~folded(sum_of_headers(14u, 34u)) & 0xFFFFu);
    put_16(38u, UDP_BYTES + bytes);
    put_16(40u, 0u);
    udp = sum_of_headers(26u, 42u) + 17u + UDP_BYTES + bytes + payload_sum;
    udp = ~folded(udp) & 0xFFFFu;
    put_16(40u, udp ? udp : 0xFFFFu);
}

void mps2_ethernet_start(void)
{
    present = (ETH_ID >> 16) == PART_NUMBER;
    if (present) {
        ETH_MAC_DATA = MAC_SENDS;
        ETH_MAC_COMMAND = MAC_WRITE | MAC_CONTROL;
        ETH_TX_CONFIG = TX_ON;
        fixed_headers();
    }
}

static void send_words(const uint32_t *words, uint32_t count)
{
    const uint32_t *end = words + count;
    while (words < end) {
        ETH_DATA = *words++;
    }
}

static void forget_statuses(void)
{
    while ((MPS2_REGISTER(MPS2_ETHERNET, 0x80u) >> TX_STATUS_USED_SHIFT) & 0xFFu) {
        (void)ETH_TX_STATUS;
    }
}

int hal_datagram_send(const void *head, uint32_t head_bytes, const void *body, uint32_t body_bytes)
{
    uint32_t bytes = head_bytes + body_bytes;
    uint32_t sum = sum_of(head, head_bytes / 4u) + sum_of(body, body_bytes / 4u);
    if (!present || bytes > MOST_BYTES || (bytes & 3u)) {
        return -1;
    }
    forget_statuses();
    if ((ETH_TX_ROOM & 0xFFFFu) < bytes + HEADERS_BYTES + 32u) {
        return 0;
    }
    headers_of(bytes, sum);
    ETH_DATA = TX_TWO_BYTES_IN | TX_FIRST_AND_LAST | (HEADERS_BYTES + bytes);
    ETH_DATA = HEADERS_BYTES + bytes;
    send_words((const uint32_t *)(const void *)headers, HEADERS_WORDS);
    send_words(head, head_bytes / 4u);
    send_words(body, body_bytes / 4u);
    return 1;
}
