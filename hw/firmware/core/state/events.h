/* SPDX-License-Identifier: Apache-2.0
 *
 * What a run and its parts remember; the functions are in events/.
 */
#ifndef TOMOSHIBI_STATE_EVENTS_H
#define TOMOSHIBI_STATE_EVENTS_H

#include <stdint.h>

#include "tomoshibi_control.h"

#define CHANNELS_MOST 4096u

struct channels {
    uint16_t gains[CHANNELS_MOST]; /* as written */
    uint32_t special;              /* how many are not switched on with gain one */
    uint32_t checksum;             /* CRC-32C of the gains, little-endian */
};

struct intake {           /* settings of the run, and what became of its hits */
    uint64_t hits;
    uint64_t below;
    uint64_t dead;
    uint64_t masked;
    uint64_t invalid;
    uint32_t threshold;   /* as now */
    uint32_t channels;
    uint32_t plain;       /* all channels valid, on and of gain one */
};

struct dead_time {
    uint32_t ends[CHANNELS_MOST]; /* end of the dead time of each channel; [0] of the module */
    uint32_t base;                /* start of the present period */
    uint32_t ticks;               /* after each accepted hit; 0: none */
    uint32_t mask;                /* of the channel: 0 for the module's own dead time */
    uint32_t paralysable;
    uint32_t sweep;               /* which eighth is next */
    uint32_t unit;                /* ticks of dead time, of all channels, in a header's unit */
    uint64_t sum;                 /* ticks of dead time not in a header yet, of all channels */
};

struct sync {
    uint32_t lock;        /* TOMOSHIBI_LOCK_x */
    uint32_t with;        /* SYNC pulses in a row */
    uint32_t without;     /* periods in a row without one */
    uint32_t expected;    /* period of the next mark */
    uint32_t last;        /* number in the last mark, 30 bits */
    uint32_t shift;       /* own count less the marks' */
    uint32_t any;         /* a mark has come in this run */
    uint32_t missed;      /* in this run */
    uint32_t losses;      /* times that the lock was lost, since the start */
    uint32_t missed_ever; /* since the start */
};

struct frame {
    struct tomoshibi_frame_header *header; /* 0: no frame is open */
    uint64_t *words;       /* behind the header; 0: the frame is dropped, words are counted only */
    uint32_t count;        /* event words */
    uint32_t most;         /* of them */
    uint32_t open;
    uint32_t lost;         /* in this period */
    uint32_t dead;
    uint32_t others;       /* words of other kinds than single */
    uint32_t crc;          /* of the first `crc_words` words */
    uint32_t crc_words;
    uint32_t sequence;     /* of this run's next frame */
    uint64_t before;       /* event words before this frame */
};

struct run {
    uint32_t on;
    uint32_t stopping;        /* the present period is the last */
    uint32_t periods;         /* frames to make, 0: no end */
    uint32_t first;           /* no frame yet in this run */
    uint32_t detector_lost;   /* hal_hits_lost() as last seen */
    uint32_t silent;          /* detector_silent was raised for this silence */
    uint32_t notice_due;      /* run_ended had no room on the line yet */
    uint32_t moved;           /* words were taken in the last run_poll */
    uint64_t heard_at;        /* counter at the last sign of the detector */
    uint64_t notice_at;       /* when to try it again */
    uint64_t hits_before;     /* of all runs before, since the start */
    uint64_t words_before;
    struct tomoshibi_report report;
    struct channels channels;
    struct intake intake;
    struct dead_time dead_time;
    struct sync sync;
    struct frame frame;
};

#endif
