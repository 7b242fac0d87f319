/* SPDX-License-Identifier: Apache-2.0
 *
 * Where things lie in the non-volatile memory: offsets for hal_nv() and its kin. Everything that
 * is erased by itself begins at a sector of its own, 4096 bytes as in most NOR flash; records are
 * written once into erased bytes, never over written ones. Firmware of every schema finds all of it
 * here: what moves needs a new control version.
 */
#ifndef TOMOSHIBI_NV_LAYOUT_H
#define TOMOSHIBI_NV_LAYOUT_H

#include "tomoshibi_control.h"

#define NV_SECTOR 4096u
#define NV_ERASED 0xFFu

#define NV_CONFIG_COPY(n) (TOMOSHIBI_WINDOW_NV + (uint32_t)(n) * NV_SECTOR)        /* n: 0, 1 */
#define NV_BOOT_COPY(n) (TOMOSHIBI_WINDOW_NV + (2u + (uint32_t)(n)) * NV_SECTOR)   /* n: 0, 1 */
#define NV_FAULT_SECTOR(n) (TOMOSHIBI_WINDOW_NV + (4u + (uint32_t)(n)) * NV_SECTOR) /* n: 0, 1 */

#endif
