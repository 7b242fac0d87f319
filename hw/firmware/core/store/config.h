/* SPDX-License-Identifier: Apache-2.0
 *
 * The persistent registers over power cycles: two copies, each with a sequence number and a
 * CRC-32C. A save writes over the older copy and never touches the newer, so that a cut of power
 * at any moment leaves one good copy. Values are kept by register address and checked against
 * their ranges when read: another firmware may have other registers.
 */
#ifndef TOMOSHIBI_CONFIG_H
#define TOMOSHIBI_CONFIG_H

#include <stdint.h>

struct module;

#define CONFIG_MAGIC UINT32_C(0x46434D54) /* TMCF */

struct config_value {
    uint32_t address;
    int32_t value;
};

struct config_header {      /* then `count` config_value, then the CRC-32C of all before it */
    uint32_t magic;
    uint32_t sequence;      /* the greater one is newer, modulo 2^32 */
    uint32_t count;
    uint32_t reserved;      /* 0 */
};

void config_start(struct module *m);     /* load; raises config_older or config_defaults */
uint16_t config_save(struct module *m);  /* status: ok, storage */
void config_defaults(struct module *m);  /* all persistent registers, not saved */

#endif
