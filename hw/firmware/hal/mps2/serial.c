/* SPDX-License-Identifier: Apache-2.0
 *
 * The serial line, CMSDK UART 0. Reception: interrupts fill a bounded queue. What finds it full, or
 * is not taken from the UART in time, is lost; core/line/link.c counts its packet as damaged. Sending:
 * straight into the UART while it takes bytes, the rest from a queue by interrupt.
 */
#include "mps2.h"

#define UART_DATA MPS2_REGISTER(MPS2_UART0, 0x000u)
#define UART_STATE MPS2_REGISTER(MPS2_UART0, 0x004u)
#define UART_CONTROL MPS2_REGISTER(MPS2_UART0, 0x008u)
#define UART_INTERRUPT MPS2_REGISTER(MPS2_UART0, 0x00Cu)
#define UART_BAUD MPS2_REGISTER(MPS2_UART0, 0x010u)
#define STATE_OUT_FULL 1u
#define STATE_IN_FULL 2u
#define STATE_OVERRUNS 0xCu
#define CONTROL_RUN 0xBu /* send, receive, interrupt at reception */
#define CONTROL_OUT_INTERRUPT 4u
#define INTERRUPT_OUT 1u
#define INTERRUPT_IN 2u
#define LEAST_DIVISOR 16u

#define QUEUE_BYTES 8192u /* powers of two; a command is at most 1.1 kB */
#define QUEUE_MASK (QUEUE_BYTES - 1u)

struct queue {
    volatile uint32_t head;
    volatile uint32_t tail;
    uint8_t bytes[QUEUE_BYTES];
};

static struct queue in;
static struct queue out;
static volatile uint32_t heard;

static int push(struct queue *q, uint8_t byte)
{
    uint32_t head = q->head;
    if (head - q->tail >= QUEUE_BYTES) {
        return 0;
    }
    q->bytes[head & QUEUE_MASK] = byte;
    q->head = head + 1u;
    return 1;
}

static void interrupts_of_line(uint32_t enable)
{
    uint32_t lines = (1u << MPS2_IRQ_UART0_RX) | (1u << MPS2_IRQ_UART0_TX);
    if (enable) {
        MPS2_NVIC_ENABLE = lines;
    } else {
        MPS2_NVIC_DISABLE = lines;
        hal_memory_barrier();
    }
}

void mps2_on_serial_in(void)
{
    uint32_t state;
    UART_INTERRUPT = INTERRUPT_IN;
    while ((state = UART_STATE) & STATE_IN_FULL) {
        (void)push(&in, (uint8_t)UART_DATA);
    }
    if (state & STATE_OVERRUNS) {
        UART_STATE = STATE_OVERRUNS;
    }
    heard = 1u;
}

static void send_queued(void)
{
    while (out.tail != out.head && !(UART_STATE & STATE_OUT_FULL)) {
        UART_DATA = out.bytes[out.tail & QUEUE_MASK];
        out.tail++;
    }
    UART_CONTROL = out.tail == out.head ? CONTROL_RUN : CONTROL_RUN | CONTROL_OUT_INTERRUPT;
}

void mps2_on_serial_out(void)
{
    UART_INTERRUPT = INTERRUPT_OUT;
    send_queued();
}

void hal_serial_baud(uint32_t baud)
{
    uint32_t divisor = TOMOSHIBI_COUNTER_HZ / (baud ? baud : 1u);
    UART_BAUD = divisor < LEAST_DIVISOR ? LEAST_DIVISOR : divisor;
}

void mps2_serial_start(void)
{
    hal_serial_baud(115200u);
    UART_CONTROL = CONTROL_RUN;
    interrupts_of_line(1u);
}

void mps2_serial_stop(void)
{
    interrupts_of_line(0u);
    UART_CONTROL = 0u;
}

int mps2_serial_waiting_in(void)
{
    return in.head != in.tail;
}

uint32_t mps2_serial_bytes_in(void)
{
    return in.head;
}

int mps2_serial_heard(void)
{
    uint32_t was = heard;
    heard = 0u;
    return was != 0u;
}

uint32_t hal_serial_read(uint8_t *bytes, uint32_t most)
{
    uint32_t tail = in.tail;
    uint32_t waiting = in.head - tail;
    uint32_t count = waiting < most ? waiting : most;
    uint32_t i;
    for (i = 0; i < count; i++) {
        bytes[i] = in.bytes[(tail + i) & QUEUE_MASK];
    }
    in.tail = tail + count;
    return count;
}

/* The interrupt and this never both send: its source is off while the queue is empty. */
static uint32_t send_directly(const uint8_t *bytes, uint32_t count)
{
    uint32_t sent = 0;
    while (sent < count && !(UART_STATE & STATE_OUT_FULL)) {
        UART_DATA = bytes[sent++];
    }
    return sent;
}

uint32_t hal_serial_write(const uint8_t *bytes, uint32_t count)
{
    uint32_t taken = out.head == out.tail ? send_directly(bytes, count) : 0u;
    if (taken == count) {
        return count;
    }
    while (taken < count && push(&out, bytes[taken])) {
        taken++;
    }
    interrupts_of_line(0u);
    send_queued();
    interrupts_of_line(1u);
    return taken;
}

uint32_t hal_serial_waiting(void)
{
    return out.head - out.tail + (UART_STATE & STATE_OUT_FULL);
}
