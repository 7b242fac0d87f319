/* SPDX-License-Identifier: Apache-2.0
 *
 * What bias and faults remember; the functions are in safety/.
 */
#ifndef TOMOSHIBI_STATE_SAFETY_H
#define TOMOSHIBI_STATE_SAFETY_H

#include <stdint.h>

#include "tomoshibi_control.h"

#define FAULTS_CODES 32u       /* fault codes are below this: one bit of a word each */
#define FAULTS_WAITING 8u      /* faults kept for a notice; older ones are in the log alone */

struct bias {
    uint32_t state;             /* TOMOSHIBI_BIAS_x */
    uint32_t requested_mV;      /* at the reference temperature; 0: off */
    uint32_t target_mV;         /* with temperature compensation, at most bias_max_mV */
    uint32_t set_mV;            /* what the supply was told */
    uint32_t measured_mV;
    uint32_t current_nA;
    uint32_t supply_mV;
    int32_t temperature_cC;
    int interlock_closed;
    uint16_t epoch;             /* goes into every frame; wraps */
    int32_t epoch_cC;           /* temperature at which the epoch began */
    uint32_t epoch_mV;          /* requested voltage of the epoch */
    int32_t epoch_coefficient, epoch_reference_cC;
    uint64_t ramped_at;         /* counter up to which the ramp has come */
    uint64_t ramp_rest;         /* part of a millivolt, in mV times counter frequency */
    uint64_t astray_since;      /* counter; meaningful while `astray` */
    int astray;                 /* further than five tolerances from the set value */
};

struct faults {
    uint16_t latched;          /* 0: none */
    uint32_t seen;             /* bit per code: logged since the latch */
    uint32_t next_number;      /* of the next entry */
    uint32_t noticed;          /* entries before this number went out as notices, or are too old */
    uint64_t notice_due;       /* counter before which no notice is tried */
    uint32_t damaged;          /* entries of the log that could not be read */
    uint32_t suppressed;       /* faults that came too soon after their like to be logged */
    uint32_t unwritten;        /* entries that the non-volatile memory refused */
    uint32_t sector, slot;     /* where the next entry goes */
    uint32_t fresh;            /* bit per code: latched, and the main loop has not acted on it yet */
    uint64_t logged_at[FAULTS_CODES]; /* counter of the last entry of each code, 0: none */
    struct tomoshibi_fault_entry waiting[FAULTS_WAITING]; /* by number, modulo */
};

#endif
