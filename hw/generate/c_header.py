"""The wire protocol for firmware: one C99 header without libc, made from ``protocol.toml``.

The frame header becomes a struct whose natural layout is the wire's on a little-endian machine, as
compile-time assertions prove; the event word becomes shifts, masks and inline functions that do not
depend on the machine's byte order.

Also the tables of the firmware's CRC-32C, computed from the polynomial.
"""

from __future__ import annotations

from hw.wire.angle_words import ANGLE_MASK, ANGLE_SIGN, STEPS_PER_DEGREE
from hw.wire.protocol import (
    CRC_OFFSET,
    DEFINITION,
    FRAME_FLAGS,
    FRAME_PERIOD_LOG2,
    HEADER_BYTES,
    HEADER_DTYPE,
    MAGIC,
    MAX_EVENTS,
    SCHEMA_CRC,
    TICK_PS_NUM,
    TICK_PS_SHIFT,
    VERSION,
    WORD_BYTES,
    WORD_FIELDS,
    WORD_FLAGS,
    WORD_KINDS,
)

_TOP = """\
/* SPDX-License-Identifier: Apache-2.0
 *
 * The Tomoshibi wire protocol, version {version}: data frames and event words.
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
#define TOMOSHIBI_STATIC_ASSERT(condition, name) \\
    typedef char tomoshibi_assert_##name[(condition) ? 1 : -1]
#endif
"""

_WORD_FUNCTIONS = """\
/* Energy in 0.1 keV as the word's field: what does not fit becomes the field's greatest value. */
static inline uint16_t tomoshibi_energy_code(uint32_t energy_dkeV)
{{
    return energy_dkeV < TOMOSHIBI_WORD_ENERGY_MASK ? (uint16_t)energy_dkeV
                                                    : (uint16_t)TOMOSHIBI_WORD_ENERGY_MASK;
}}

/* Each field is cut to its bits, so that a value out of range never spoils its neighbours. */
static inline uint64_t tomoshibi_word_pack(struct tomoshibi_word fields)
{{
    return {pack};
}}

static inline struct tomoshibi_word tomoshibi_word_unpack(uint64_t word)
{{
    struct tomoshibi_word fields;
{unpack}
    return fields;
}}

/* An angle word's angle in steps of 1/TOMOSHIBI_ANGLE_STEPS_PER_DEGREE degree: its 26 bits, two's
 * complement, lie in crystal (upper 12) and energy (lower 14). */
static inline uint64_t tomoshibi_angle_word_pack(int32_t steps, uint32_t time)
{{
    return ((uint64_t)TOMOSHIBI_KIND_ANGLE << TOMOSHIBI_WORD_KIND_SHIFT) |
           (((uint64_t)(uint32_t)steps & TOMOSHIBI_ANGLE_MASK) << TOMOSHIBI_WORD_ENERGY_SHIFT) |
           ((uint64_t)time & TOMOSHIBI_WORD_TIME_MASK);
}}

static inline int32_t tomoshibi_angle_word_steps(uint64_t word)
{{
    uint32_t code = (uint32_t)(word >> TOMOSHIBI_WORD_ENERGY_SHIFT) & TOMOSHIBI_ANGLE_MASK;
    return (int32_t)(code ^ TOMOSHIBI_ANGLE_SIGN) - (int32_t)TOMOSHIBI_ANGLE_SIGN;
}}

/* Write a word's eight bytes as they go on the wire, on a machine of any byte order. */
static inline void tomoshibi_word_store(uint8_t *bytes, uint64_t word)
{{
    unsigned i;
    for (i = 0; i < TOMOSHIBI_WORD_BYTES; i++) {{
        bytes[i] = (uint8_t)(word >> (8u * i));
    }}
}}

static inline uint64_t tomoshibi_word_load(const uint8_t *bytes)
{{
    uint64_t word = 0;
    unsigned i;
    for (i = 0; i < TOMOSHIBI_WORD_BYTES; i++) {{
        word |= (uint64_t)bytes[i] << (8u * i);
    }}
    return word;
}}

#endif /* TOMOSHIBI_PROTOCOL_H */
"""


def c_header() -> str:
    """Return the text of ``tomoshibi_protocol.h``."""
    return "\n".join(
        [
            _TOP.format(version=VERSION),
            _constants(),
            _header_struct(),
            _word_positions(),
            _word_struct(),
            _word_functions(),
        ]
    )


def _constants() -> str:
    values = {
        "PROTOCOL_VERSION": f"{VERSION}u",
        "MAGIC": f"UINT32_C(0x{MAGIC:08X})",
        "SCHEMA_CRC": f"UINT32_C(0x{SCHEMA_CRC:08X})",
        "HEADER_BYTES": f"{HEADER_BYTES}u",
        "WORD_BYTES": f"{WORD_BYTES}u",
        "MAX_EVENTS": f"UINT32_C({MAX_EVENTS})",
        "MAX_FRAME_BYTES": f"UINT32_C({HEADER_BYTES + WORD_BYTES * MAX_EVENTS})",
        "CRC_OFFSET": f"{CRC_OFFSET}u",
        "TICK_PS_NUMERATOR": f"{TICK_PS_NUM}u",
        "TICK_PS_SHIFT": f"{TICK_PS_SHIFT}u",
        "FRAME_PERIOD_LOG2_TICKS": f"{FRAME_PERIOD_LOG2}u",
        "FRAME_PERIOD_TICKS": f"(UINT32_C(1) << {FRAME_PERIOD_LOG2})",
    }
    return "\n".join(
        [
            "/* A tick is TICK_PS_NUMERATOR / 2**TICK_PS_SHIFT ps. SCHEMA_CRC is the CRC-32C of",
            " * the definition: where it is equal on both sides, so is the layout of all bytes. */",
            *(c_define(name, value) for name, value in values.items()),
            "",
            "/* CRC-32C as RFC 3720 has it: reflected, initial value and final XOR of all ones. */",
            c_define("CRC32C_POLYNOMIAL_REFLECTED", "UINT32_C(0x82F63B78)"),
            c_define("CRC32C_OF_123456789", "UINT32_C(0xE3069283)"),
            "",
            *_group("frame_flag", "FRAME_FLAG", FRAME_FLAGS),
            *_group("word_flag", "WORD_FLAG", WORD_FLAGS),
            *_group("word_kind", "KIND", WORD_KINDS),
            "/* Angle words. */",
            c_define("ANGLE_STEPS_PER_DEGREE", f"{STEPS_PER_DEGREE}"),
            c_define("ANGLE_MASK", f"UINT32_C(0x{ANGLE_MASK:08X})"),
            c_define("ANGLE_SIGN", f"UINT32_C(0x{ANGLE_SIGN:08X})"),
            "",
        ]
    )


def c_define(name: str, value: str) -> str:
    """Return the definition of a macro."""
    return f"#define TOMOSHIBI_{name} {value}"


def _group(table: str, prefix: str, values: dict[str, int]) -> list[str]:
    lines: list[str] = []
    for entry in DEFINITION[table]:
        lines.append(f"/* {c_plain(entry['text'])} */")
        lines.append(c_define(f"{prefix}_{entry['name'].upper()}", f"{values[entry['name']]}u"))
    return [*lines, ""]


def _header_struct() -> str:
    lines = ["struct tomoshibi_frame_header {"]
    asserts = [c_assertion("sizeof(struct tomoshibi_frame_header)", HEADER_BYTES, "header_size")]
    for entry in DEFINITION["header"]:
        name, offset = entry["name"], HEADER_DTYPE.fields[entry["name"]][1]  # type: ignore[index]
        lines.append(f"    /* {offset:2d}: {c_plain(entry['text'])} */")
        lines.append(f"    {c_type(entry['type'])} {name};")
        place = f"offsetof(struct tomoshibi_frame_header, {name})"
        asserts.append(c_assertion(place, offset, f"header_{name}_offset"))
    return "\n".join([*lines, "};", *asserts, ""])


def c_type(code: str) -> str:
    """Return the C type of a field of type u1 … i8."""
    return f"{'int' if code[0] == 'i' else 'uint'}{8 * int(code[1:])}_t"


def c_assertion(expression: str, value: int, name: str) -> str:
    """Return a compile-time assertion."""
    return f"TOMOSHIBI_STATIC_ASSERT({expression} == {value},\n                        {name});"


def _word_positions() -> str:
    lines = ["/* A field of an event word is (word >> SHIFT) & MASK. */"]
    for field in WORD_FIELDS.values():
        prefix = f"WORD_{field.name.upper()}"
        lines.append(c_define(f"{prefix}_SHIFT", f"{field.shift}u"))
        lines.append(c_define(f"{prefix}_MASK", f"UINT32_C(0x{field.mask:X})"))
    return "\n".join([*lines, ""])


def _word_struct() -> str:
    """The unpacked word: the widest field first, so that the struct has no holes."""
    lines = ["/* An event word's fields, unpacked; this struct is never on the wire. */"]
    lines.append("struct tomoshibi_word {")
    for entry in sorted(DEFINITION["word"], key=lambda entry: -int(entry["bits"])):
        kind = _holding_type(entry["bits"])
        lines.append(f"    {kind} {entry['name']}; /* {c_plain(entry['text'])} */")
    return "\n".join([*lines, "};", ""])


def _holding_type(bits: int) -> str:
    return f"uint{next(width for width in (8, 16, 32, 64) if width >= bits)}_t"


def _word_functions() -> str:
    pack = [
        f"((uint64_t)(fields.{name} & {_macro(name, 'MASK')}) << {_macro(name, 'SHIFT')})"
        for name in WORD_FIELDS
    ]
    unpack = [
        f"    fields.{name} = ({_holding_type(field.bits)})((word >> {_macro(name, 'SHIFT')}) &\n"
        f"        {_macro(name, 'MASK')});"
        for name, field in WORD_FIELDS.items()
    ]
    return _WORD_FUNCTIONS.format(pack=" |\n           ".join(pack), unpack="\n".join(unpack))


def _macro(name: str, what: str) -> str:
    return f"TOMOSHIBI_WORD_{name.upper()}_{what}"


def c_plain(text: str) -> str:
    """Convert Markdown to ASCII text for a C comment."""
    for theirs, ours in (("`", ""), ("*", ""), ("×", "x"), ("°", " deg ")):
        text = text.replace(theirs, ours)
    return " ".join(text.encode("ascii", "replace").decode().split())


POLYNOMIAL = 0x82F63B78
"""Castagnoli's, reflected."""

SLICES = 8
_WORDS_A_LINE = 8
_CRC_TOP = """\
/* SPDX-License-Identifier: Apache-2.0
 *
 * CRC-32C of one byte with 0 to {last} zero bytes behind it, for slicing by {slices}.
 * Generated by `python -m hw.generate`: do not edit.
 */
#ifndef TOMOSHIBI_CRC32C_DATA_H
#define TOMOSHIBI_CRC32C_DATA_H

#include <stdint.h>

static const uint32_t crc32c_tables[{slices}][256] = {{
"""


def crc_tables() -> list[list[int]]:
    """Return ``SLICES`` tables of 256; table k is for a byte followed by k zero bytes."""
    tables = [[_remainder(byte) for byte in range(256)]]
    while len(tables) < SLICES:
        tables.append([(crc >> 8) ^ tables[0][crc & 0xFF] for crc in tables[-1]])
    return tables


def crc_header() -> str:
    """Return the text of ``core/base/crc32c_data.h``."""
    blocks = ["    {\n" + _rows(table) + "\n    }," for table in crc_tables()]
    top = _CRC_TOP.format(last=SLICES - 1, slices=SLICES)
    return top + "\n".join(blocks) + "\n};\n\n#endif\n"


def _remainder(crc: int) -> int:
    for _ in range(8):
        crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else 0)
    return crc


def _rows(table: list[int]) -> str:
    words = [f"0x{word:08X}u" for word in table]
    lines = [words[start : start + _WORDS_A_LINE] for start in range(0, 256, _WORDS_A_LINE)]
    return "\n".join(f"        {', '.join(line)}," for line in lines)
