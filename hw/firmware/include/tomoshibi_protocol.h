/* SPDX-License-Identifier: Apache-2.0
 *
 * The Tomoshibi wire protocol, version 1: data frames and event words.
 * Generated from hw/wire/protocol.toml by `python -m hw.generate`: do not edit.
 * docs/protocol.md says what everything means; hw/wire/golden/ has frames to test against.
 *
 * C99, no libc. Byte order: the wire is little-endian. struct tomoshibi_frame_header may be laid
 * over a frame's bytes, aligned to 8, only on a little-endian machine, so others are refused
 * below; tomoshibi_word_store and tomoshibi_word_load work on any machine.
 */
#ifndef TOMOSHIBI_PROTOCOL_H
#define TOMOSHIBI_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__BYTE_ORDER__) && defined(__ORDER_LITTLE_ENDIAN__)
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "struct tomoshibi_frame_header needs a little-endian machine"
#endif
#endif

/* _Static_assert is C11; in C99 an array of negative size stops the compiler as well. */
#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TOMOSHIBI_STATIC_ASSERT(condition, name) _Static_assert(condition, #name)
#else
#define TOMOSHIBI_STATIC_ASSERT(condition, name) \
    typedef char tomoshibi_assert_##name[(condition) ? 1 : -1]
#endif

/* A tick is TICK_PS_NUMERATOR / 2**TICK_PS_SHIFT ps. SCHEMA_CRC is the CRC-32C of
 * the definition: where it is equal on both sides, so is the layout of all bytes. */
#define TOMOSHIBI_PROTOCOL_VERSION 1u
#define TOMOSHIBI_MAGIC UINT32_C(0x42534D54)
#define TOMOSHIBI_SCHEMA_CRC UINT32_C(0x399B1CBF)
#define TOMOSHIBI_HEADER_BYTES 64u
#define TOMOSHIBI_WORD_BYTES 8u
#define TOMOSHIBI_MAX_EVENTS UINT32_C(65536)
#define TOMOSHIBI_MAX_FRAME_BYTES UINT32_C(524352)
#define TOMOSHIBI_CRC_OFFSET 60u
#define TOMOSHIBI_TICK_PS_NUMERATOR 625u
#define TOMOSHIBI_TICK_PS_SHIFT 5u
#define TOMOSHIBI_FRAME_PERIOD_LOG2_TICKS 28u
#define TOMOSHIBI_FRAME_PERIOD_TICKS (UINT32_C(1) << 28)

/* CRC-32C as RFC 3720 has it: reflected, initial value and final XOR of all ones. */
#define TOMOSHIBI_CRC32C_POLYNOMIAL_REFLECTED UINT32_C(0x82F63B78)
#define TOMOSHIBI_CRC32C_OF_123456789 UINT32_C(0xE3069283)

/* the module's first data frame of the run */
#define TOMOSHIBI_FRAME_FLAG_FIRST 1u
/* the module's last data frame of the run: nothing follows */
#define TOMOSHIBI_FRAME_FLAG_LAST 2u
/* the module's clock was not locked during this period */
#define TOMOSHIBI_FRAME_FLAG_SYNC_LOST 4u
/* the module's event queue overflowed; see lost_events */
#define TOMOSHIBI_FRAME_FLAG_OVERFLOW 8u

/* pile-up suspected: the energy may be that of two photons */
#define TOMOSHIBI_WORD_FLAG_PILE_UP 1u
/* the energy is beyond what the digitizer or the field can hold */
#define TOMOSHIBI_WORD_FLAG_SATURATED 2u

/* a detected photon */
#define TOMOSHIBI_KIND_SINGLE 1u
/* a SYNC pulse was seen; crystal and energy are 0 */
#define TOMOSHIBI_KIND_SYNC 2u
/* gate or trigger input; crystal = input number */
#define TOMOSHIBI_KIND_GATE 3u
/* angle at which the module's gantry or swivel stands, see Angle words */
#define TOMOSHIBI_KIND_ANGLE 4u
/* an interval of lost data ends here; energy field = its length in 5 ns units, saturating */
#define TOMOSHIBI_KIND_LOST 5u
/* telemetry mark */
#define TOMOSHIBI_KIND_MARK 6u

/* Angle words. */
#define TOMOSHIBI_ANGLE_STEPS_PER_DEGREE 1000
#define TOMOSHIBI_ANGLE_MASK UINT32_C(0x03FFFFFF)
#define TOMOSHIBI_ANGLE_SIGN UINT32_C(0x02000000)

struct tomoshibi_frame_header {
    /*  0: TMSB */
    uint32_t magic;
    /*  4: protocol version; a receiver refuses any other than its own */
    uint8_t version;
    /*  5: bit set, see Frame flags */
    uint8_t flags;
    /*  6: module index = ring x modules per ring + sector */
    uint16_t module;
    /*  8: counts the module's data frames of this run, from 0 or whatever its FIRST frame has; wraps */
    uint32_t sequence;
    /* 12: the period covered: [frame_id, frame_id + 1) x 5.24288 ms from the run's start */
    uint32_t frame_id;
    /* 16: given by the host at the start of a run; frames of another run are refused */
    uint32_t run_tag;
    /* 20: event words in the payload; 0 is a heartbeat */
    uint32_t event_count;
    /* 24: event words this module sent in this run before this frame: after a gap the loss is known exactly */
    uint64_t events_before;
    /* 32: events that the module lost in this period (queue full), never sent */
    uint32_t lost_events;
    /* 36: hits of this period that fell in the module's dead time */
    uint32_t dead_events;
    /* 40: dead time in this period, in units of 5 ns */
    uint32_t dead_time;
    /* 44: 0.01 deg C */
    int16_t temperature;
    /* 46: 10 mV */
    uint16_t bias;
    /* 48: temperature and bias epoch: changes when a calibration may no longer hold */
    uint16_t epoch;
    /* 50: sent as 0 */
    uint16_t reserved;
    /* 52: sent as 0 */
    uint32_t reserved_2;
    /* 56: sent as 0 */
    uint32_t reserved_3;
    /* 60: CRC-32C of all that precedes it, then of the payload */
    uint32_t crc;
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_frame_header) == 64,
                        header_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, magic) == 0,
                        header_magic_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, version) == 4,
                        header_version_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, flags) == 5,
                        header_flags_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, module) == 6,
                        header_module_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, sequence) == 8,
                        header_sequence_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, frame_id) == 12,
                        header_frame_id_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, run_tag) == 16,
                        header_run_tag_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, event_count) == 20,
                        header_event_count_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, events_before) == 24,
                        header_events_before_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, lost_events) == 32,
                        header_lost_events_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, dead_events) == 36,
                        header_dead_events_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, dead_time) == 40,
                        header_dead_time_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, temperature) == 44,
                        header_temperature_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, bias) == 46,
                        header_bias_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, epoch) == 48,
                        header_epoch_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, reserved) == 50,
                        header_reserved_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, reserved_2) == 52,
                        header_reserved_2_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, reserved_3) == 56,
                        header_reserved_3_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_frame_header, crc) == 60,
                        header_crc_offset);

/* A field of an event word is (word >> SHIFT) & MASK. */
#define TOMOSHIBI_WORD_KIND_SHIFT 61u
#define TOMOSHIBI_WORD_KIND_MASK UINT32_C(0x7)
#define TOMOSHIBI_WORD_DOI_SHIFT 58u
#define TOMOSHIBI_WORD_DOI_MASK UINT32_C(0x7)
#define TOMOSHIBI_WORD_FLAGS_SHIFT 56u
#define TOMOSHIBI_WORD_FLAGS_MASK UINT32_C(0x3)
#define TOMOSHIBI_WORD_CRYSTAL_SHIFT 44u
#define TOMOSHIBI_WORD_CRYSTAL_MASK UINT32_C(0xFFF)
#define TOMOSHIBI_WORD_ENERGY_SHIFT 30u
#define TOMOSHIBI_WORD_ENERGY_MASK UINT32_C(0x3FFF)
#define TOMOSHIBI_WORD_TIME_SHIFT 0u
#define TOMOSHIBI_WORD_TIME_MASK UINT32_C(0x3FFFFFFF)

/* An event word's fields, unpacked; this struct is never on the wire. */
struct tomoshibi_word {
    uint32_t time; /* ticks from the start of the frame's period */
    uint16_t energy; /* 0.1 keV; 16383 is overflow */
    uint16_t crystal; /* crystal in the module = iu + n_u x iv (u tangential, v axial) */
    uint8_t kind; /* see Word kinds */
    uint8_t doi; /* depth-of-interaction bin, 0 = nearest to the entrance face */
    uint8_t flags; /* bit set, see Word flags */
};

/* Energy in 0.1 keV as the word's field: what does not fit becomes the field's greatest value. */
static inline uint16_t tomoshibi_energy_code(uint32_t energy_dkeV)
{
    return energy_dkeV < TOMOSHIBI_WORD_ENERGY_MASK ? (uint16_t)energy_dkeV
                                                    : (uint16_t)TOMOSHIBI_WORD_ENERGY_MASK;
}

/* Each field is cut to its bits, so that a value out of range never spoils its neighbours. */
static inline uint64_t tomoshibi_word_pack(struct tomoshibi_word fields)
{
    return ((uint64_t)(fields.kind & TOMOSHIBI_WORD_KIND_MASK) << TOMOSHIBI_WORD_KIND_SHIFT) |
           ((uint64_t)(fields.doi & TOMOSHIBI_WORD_DOI_MASK) << TOMOSHIBI_WORD_DOI_SHIFT) |
           ((uint64_t)(fields.flags & TOMOSHIBI_WORD_FLAGS_MASK) << TOMOSHIBI_WORD_FLAGS_SHIFT) |
           ((uint64_t)(fields.crystal & TOMOSHIBI_WORD_CRYSTAL_MASK) << TOMOSHIBI_WORD_CRYSTAL_SHIFT) |
           ((uint64_t)(fields.energy & TOMOSHIBI_WORD_ENERGY_MASK) << TOMOSHIBI_WORD_ENERGY_SHIFT) |
           ((uint64_t)(fields.time & TOMOSHIBI_WORD_TIME_MASK) << TOMOSHIBI_WORD_TIME_SHIFT);
}

static inline struct tomoshibi_word tomoshibi_word_unpack(uint64_t word)
{
    struct tomoshibi_word fields;
    fields.kind = (uint8_t)((word >> TOMOSHIBI_WORD_KIND_SHIFT) &
        TOMOSHIBI_WORD_KIND_MASK);
    fields.doi = (uint8_t)((word >> TOMOSHIBI_WORD_DOI_SHIFT) &
        TOMOSHIBI_WORD_DOI_MASK);
    fields.flags = (uint8_t)((word >> TOMOSHIBI_WORD_FLAGS_SHIFT) &
        TOMOSHIBI_WORD_FLAGS_MASK);
    fields.crystal = (uint16_t)((word >> TOMOSHIBI_WORD_CRYSTAL_SHIFT) &
        TOMOSHIBI_WORD_CRYSTAL_MASK);
    fields.energy = (uint16_t)((word >> TOMOSHIBI_WORD_ENERGY_SHIFT) &
        TOMOSHIBI_WORD_ENERGY_MASK);
    fields.time = (uint32_t)((word >> TOMOSHIBI_WORD_TIME_SHIFT) &
        TOMOSHIBI_WORD_TIME_MASK);
    return fields;
}

/* An angle word's angle in steps of 1/TOMOSHIBI_ANGLE_STEPS_PER_DEGREE degree: its 26 bits, two's
 * complement, lie in crystal (upper 12) and energy (lower 14). */
static inline uint64_t tomoshibi_angle_word_pack(int32_t steps, uint32_t time)
{
    return ((uint64_t)TOMOSHIBI_KIND_ANGLE << TOMOSHIBI_WORD_KIND_SHIFT) |
           (((uint64_t)(uint32_t)steps & TOMOSHIBI_ANGLE_MASK) << TOMOSHIBI_WORD_ENERGY_SHIFT) |
           ((uint64_t)time & TOMOSHIBI_WORD_TIME_MASK);
}

static inline int32_t tomoshibi_angle_word_steps(uint64_t word)
{
    uint32_t code = (uint32_t)(word >> TOMOSHIBI_WORD_ENERGY_SHIFT) & TOMOSHIBI_ANGLE_MASK;
    return (int32_t)(code ^ TOMOSHIBI_ANGLE_SIGN) - (int32_t)TOMOSHIBI_ANGLE_SIGN;
}

/* Write a word's eight bytes as they go on the wire, on a machine of any byte order. */
static inline void tomoshibi_word_store(uint8_t *bytes, uint64_t word)
{
    unsigned i;
    for (i = 0; i < TOMOSHIBI_WORD_BYTES; i++) {
        bytes[i] = (uint8_t)(word >> (8u * i));
    }
}

static inline uint64_t tomoshibi_word_load(const uint8_t *bytes)
{
    uint64_t word = 0;
    unsigned i;
    for (i = 0; i < TOMOSHIBI_WORD_BYTES; i++) {
        word |= (uint64_t)bytes[i] << (8u * i);
    }
    return word;
}

#endif /* TOMOSHIBI_PROTOCOL_H */
