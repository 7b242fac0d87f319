/* SPDX-License-Identifier: Apache-2.0
 *
 * Arm MPS2+ with the FPGA image AN386 (Cortex-M4F, 25 MHz peripherals), also QEMU's mps2-an386:
 * addresses, registers that are used, and what the files of this folder promise each other.
 */
#ifndef TOMOSHIBI_MPS2_H
#define TOMOSHIBI_MPS2_H

#include "hal.h"

#include "tomoshibi_control.h"

#define MPS2_WINDOW 0x21000000u /* PSRAM, 16 MiB: in QEMU a file that detector and host map too */
#define MPS2_UART0 0x40004000u
#define MPS2_WATCHDOG 0x40008000u
#define MPS2_FPGAIO 0x40028000u
#define MPS2_ETHERNET 0x40200000u
#define MPS2_SYSTEM 0xE000E000u

#define MPS2_REGISTER(base, offset) (*(volatile uint32_t *)((base) + (offset)))

/* FPGAIO: counts at 25 MHz with prescaler 0, and can be written. */
#define MPS2_COUNTER MPS2_REGISTER(MPS2_FPGAIO, 0x18u)
#define MPS2_PRESCALE MPS2_REGISTER(MPS2_FPGAIO, 0x1Cu)

/* Cortex-M: SysTick, interrupt enables, vector table, reset request. */
#define MPS2_SYST_CSR MPS2_REGISTER(MPS2_SYSTEM, 0x010u)
#define MPS2_SYST_RVR MPS2_REGISTER(MPS2_SYSTEM, 0x014u)
#define MPS2_SYST_CVR MPS2_REGISTER(MPS2_SYSTEM, 0x018u)
#define MPS2_NVIC_ENABLE MPS2_REGISTER(MPS2_SYSTEM, 0x100u)
#define MPS2_NVIC_DISABLE MPS2_REGISTER(MPS2_SYSTEM, 0x180u)
#define MPS2_ICSR MPS2_REGISTER(MPS2_SYSTEM, 0xD04u)
#define MPS2_VTOR MPS2_REGISTER(MPS2_SYSTEM, 0xD08u)
#define MPS2_AIRCR MPS2_REGISTER(MPS2_SYSTEM, 0xD0Cu)
#define MPS2_CCR MPS2_REGISTER(MPS2_SYSTEM, 0xD14u)
#define MPS2_SHCSR MPS2_REGISTER(MPS2_SYSTEM, 0xD24u)
#define MPS2_AIRCR_RESET 0x05FA0004u
#define MPS2_CCR_STKALIGN (1u << 9)

#define MPS2_IRQ_UART0_RX 0u
#define MPS2_IRQ_UART0_TX 1u

/* From the linker script. */
extern uint32_t mps2_code_start[], mps2_data_load[], mps2_data_start[], mps2_data_end[];
extern uint32_t mps2_bss_start[], mps2_bss_end[], mps2_stack_start[], mps2_stack_end[];
extern uint32_t mps2_handler_stack_end[], mps2_exec_start[], mps2_exec_end[];
extern uint32_t mps2_record_start[], mps2_is_factory[];

static inline void mps2_interrupts_off(void)
{
    __asm__ volatile("cpsid i" ::: "memory");
}

static inline void mps2_interrupts_on(void)
{
    __asm__ volatile("cpsie i" ::: "memory");
}

static inline int mps2_is_factory_image(void)
{
    /* A value of the linker script, given as an address; the compiler must not reason about it. */
    uint32_t value = (uint32_t)mps2_is_factory;
    __asm__ volatile("" : "+r"(value));
    return value != 0u;
}

/* The record: what this start must know of the one before. It lies in memory that no start clears;
 * a power cycle spoils it, which its CRC tells. */
void mps2_record_start_up(void);            /* factory image only: count this start */
void mps2_record_next(uint32_t cause);      /* should a reset come now, this is why */
void mps2_record_slot(uint32_t slot);       /* the image in this slot runs from now on */

void mps2_sleep_us(uint32_t most_us);       /* until an interrupt, or so long */
int mps2_supply_is_back(void);

/* Reset with what mps2_record_next said last. */
void mps2_reset(void);

void mps2_clock_start(void);
void mps2_serial_start(void);
void mps2_serial_stop(void);
int mps2_serial_waiting_in(void);           /* bytes lie in the reception queue */
uint32_t mps2_serial_bytes_in(void);        /* ever; wraps */
int mps2_serial_heard(void);                /* bytes came since this was asked last */
void mps2_ethernet_start(void);
void mps2_window_start(void);
void mps2_watchdog_stop(void);
void mps2_freeze_if_asked(void);            /* world page: hang now, the watchdog must bite */

/* Interrupt and fault handlers, see startup.c's vector table. */
void mps2_on_reset(void);
void mps2_on_watchdog(void);
void mps2_on_fault(void);
void mps2_on_tick(void);
void mps2_on_serial_in(void);
void mps2_on_serial_out(void);
int main(void);

/* A field of the world page, see [[world]] in hw/wire/control.toml. */
static inline volatile uint32_t *mps2_window(uint32_t offset)
{
    return (volatile uint32_t *)(MPS2_WINDOW + offset);
}

#endif
