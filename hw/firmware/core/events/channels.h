/* SPDX-License-Identifier: Apache-2.0
 *
 * The channels' gains: low 15 bits gain * 16384, bit 15 switches the channel off. Lost at a reset;
 * the host writes them anew.
 */
#ifndef TOMOSHIBI_CHANNELS_H
#define TOMOSHIBI_CHANNELS_H

#include <stdint.h>

struct module;

#define CHANNELS_GAIN_MASK 0x7FFFu
#define CHANNELS_GAIN_SHIFT 14u
#define CHANNELS_GAIN_ONE 16384u
#define CHANNELS_OFF 0x8000u

void channels_start(struct module *m); /* all on, gain one */
/* Gains of `count` channels from `first` on, two bytes each, the lower first. Status: ok, or
 * bad_value where they are not all below CHANNELS_MOST. Writing begins a new epoch. */
uint16_t channels_write(struct module *m, uint32_t first, uint32_t count, const uint8_t *gains);
uint16_t channels_read(const struct module *m, uint32_t first, uint32_t count, uint8_t *gains);
uint32_t channels_checksum(const struct module *m);

#endif
