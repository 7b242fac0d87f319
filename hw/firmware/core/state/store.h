/* SPDX-License-Identifier: Apache-2.0
 *
 * What configuration and updates remember, and the boot record, which lies in non-volatile
 * memory as it is here; the functions are in store/.
 */
#ifndef TOMOSHIBI_STATE_STORE_H
#define TOMOSHIBI_STATE_STORE_H

#include <stdint.h>

#include "tomoshibi_control.h"

struct config {
    uint32_t sequence;      /* of the copy in force; 0: defaults, nothing was saved */
    uint32_t newest;        /* copy in force, 0 or 1; 1 too where there is none */
    uint32_t rejected;      /* values out of range that were left at their default */
};

struct boot_record {
    uint32_t magic;
    uint32_t sequence;      /* the greater one is newer, modulo 2^32 */
    uint32_t active;        /* slot that was confirmed last; 0: the factory image */
    uint32_t fallback;      /* slot confirmed before that, while it is whole; 0: none */
    uint32_t pending;       /* slot that is being tried; 0: none */
    uint32_t tries;         /* starts that the pending one still has */
    uint32_t reserved;      /* 0 */
    uint32_t crc;           /* CRC-32C of the 28 bytes before */
};

struct update {
    struct boot_record record;
    uint32_t newest;        /* copy of the record in force, 0 or 1 */
    uint32_t slot;          /* slot that takes in an image; 0: none */
    uint32_t next;          /* bytes of the image taken in */
    uint32_t erased;        /* offset in the slot up to which it is erased */
    struct tomoshibi_image header; /* of the image that comes in */
};

#endif
