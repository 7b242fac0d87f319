"""The control protocol for firmware: one C99 header without libc, made from ``control.toml``.

Also the table of commands: what each must look like, and where its fields lie.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from hw.generate.c_header import c_assertion, c_define, c_plain, c_type
from hw.wire.control import (
    COMMANDS,
    DEFINITION,
    MESSAGE_BYTES,
    MESSAGE_CRC_OFFSET,
    MESSAGE_DTYPE,
    SCHEMA_CRC,
    STRUCTS,
    CommandSpec,
    State,
)

_TAIL_UNITS = {"": 0, "bytes": 1, "u2": 2}


def command_table() -> str:
    """Return ``COMMANDS(X)`` and the offset of every field of a request and of a reply."""
    rows = [f"    X({_row(spec)})" for spec in COMMANDS.values()]
    lines = [
        "/* X(name, code, states as bits, bytes of the request, unit of what may follow or 0) */",
        "#define TOMOSHIBI_COMMANDS(X) \\",
        " \\\n".join(rows),
        "/* REQUEST_x: a field's place in the payload; REPLY_x: behind status and detail */",
    ]
    for spec in COMMANDS.values():
        lines += _offsets("REQUEST", spec, spec.request)
        lines += _offsets("REPLY", spec, spec.reply)
    return "\n".join([*lines, ""])


def _row(spec: CommandSpec) -> str:
    states = spec.states or tuple(state.name for state in State)
    mask = sum(1 << State[name] for name in states)
    tail = _TAIL_UNITS[spec.request_tail]
    return f"{spec.name}, {spec.code}u, 0x{mask:02X}u, {spec.request.itemsize}u, {tail}u"


def _offsets(prefix: str, spec: CommandSpec, dtype: np.dtype[Any]) -> list[str]:
    """One definition per field; a whole structure has its own C struct and needs none."""
    if any(dtype is struct for struct in STRUCTS.values()):
        return []
    return [
        c_define(f"{prefix}_{spec.name.upper()}_{name.upper()}", f"{field[1]}u")
        for name, field in (dtype.fields or {}).items()
        if not name.startswith("reserved")
    ]


_TOP = """\
/* SPDX-License-Identifier: Apache-2.0
 *
 * How the host speaks with a module: control messages, registers, faults, shared memory.
 * Generated from hw/wire/control.toml by `python -m hw.generate`: do not edit.
 * docs/protocol.md says what everything means.
 */
#ifndef TOMOSHIBI_CONTROL_H
#define TOMOSHIBI_CONTROL_H

#include "tomoshibi_protocol.h"
"""

_ENUMERATIONS = {
    "message_kind": "MESSAGE",
    "status": "STATUS",
    "state": "STATE",
    "bias_state": "BIAS",
    "lock": "LOCK",
    "reset_cause": "RESET",
    "data_path": "PATH",
    "slot": "SLOT",
    "board": "BOARD",
}


def control_header() -> str:
    """Return the text of ``tomoshibi_control.h``."""
    parts = [_TOP, _constants(), _struct("message_header", _message_fields(), MESSAGE_DTYPE)]
    parts += [_enumeration(table, prefix) for table, prefix in _ENUMERATIONS.items()]
    parts += [_codes("command", "COMMAND"), _codes("notice", "NOTICE")]
    parts += [_struct(s["name"], s["fields"], STRUCTS[s["name"]]) for s in DEFINITION["struct"]]
    parts += [command_table(), _faults(), _registers(), _memory()]
    return "\n".join([*parts, "#endif /* TOMOSHIBI_CONTROL_H */", ""])


def _hex(value: int) -> str:
    return f"UINT32_C(0x{value:08X})"


def _constants() -> str:
    control, datagram, image = (DEFINITION[k] for k in ("control", "datagram", "image"))
    values = {
        "CONTROL_VERSION": f"{control['version']}u",
        "CONTROL_MAGIC": _hex(control["magic"]),
        "CONTROL_SCHEMA_CRC": _hex(SCHEMA_CRC),
        "CONTROL_MAX_PAYLOAD": f"{control['max_payload']}u",
        "COUNTER_HZ": f"UINT32_C({control['counter_Hz']})",
        "BAUD_DEFAULT": f"UINT32_C({control['baud_default']})",
        "BAUD_MIN": f"UINT32_C({control['baud_min']})",
        "BAUD_MAX": f"UINT32_C({control['baud_max']})",
        "MESSAGE_BYTES": f"{MESSAGE_BYTES}u",
        "MESSAGE_CRC_OFFSET": f"{MESSAGE_CRC_OFFSET}u",
        "DATAGRAM_MAGIC": _hex(datagram["magic"]),
        "DATAGRAM_MAX_BYTES": f"{datagram['max_bytes']}u",
        "DATAGRAM_PORT": f"{datagram['port']}u",
        "IMAGE_MAGIC": _hex(image["magic"]),
        "IMAGE_MAX_BYTES": f"UINT32_C({image['max_bytes']})",
        "IMAGE_TRIES": f"{image['tries']}u",
        "MARK_SYNCED": f"{DEFINITION['mark']['flag_synced']}u",
        "MARK_LAST": f"{DEFINITION['mark']['flag_last']}u",
    }
    return "\n".join([*(c_define(name, value) for name, value in values.items()), ""])


def _message_fields() -> list[list[str]]:
    return [[entry["name"], entry["type"], entry["text"]] for entry in DEFINITION["message"]]


def _struct(name: str, fields: Iterable[list[str]], dtype: Any) -> str:
    full = f"struct tomoshibi_{name}"
    lines = [f"{full} {{"]
    asserts = [c_assertion(f"sizeof({full})", dtype.itemsize, f"{name}_size")]
    for field, kind, text in fields:
        offset = dtype.fields[field][1]
        lines.append(f"    {c_type(kind)} {field}; /* {c_plain(text)} */")
        asserts.append(c_assertion(f"offsetof({full}, {field})", offset, f"{name}_{field}_offset"))
    return "\n".join([*lines, "};", *asserts, ""])


def _enumeration(table: str, prefix: str) -> str:
    lines = []
    for entry in DEFINITION[table]:
        value = f"{entry['value']}u /* {c_plain(entry['text'])} */"
        lines.append(c_define(f"{prefix}_{entry['name'].upper()}", value))
    return "\n".join([*lines, ""])


def _codes(table: str, prefix: str) -> str:
    lines = []
    for entry in DEFINITION[table]:
        value = f"{entry['code']}u /* {c_plain(entry['text'])} */"
        lines.append(c_define(f"{prefix}_{entry['name'].upper()}", value))
    return "\n".join([*lines, ""])


def _faults() -> str:
    """Codes, and a list macro FAULTS(X): X(code, latch, safe)."""
    lines = ["#define TOMOSHIBI_FAULT_NONE 0u"]
    for entry in DEFINITION["fault"]:
        value = f"{entry['value']}u /* {c_plain(entry['text'])} */"
        lines.append(c_define(f"FAULT_{entry['name'].upper()}", value))
    rows = [f"    X({e['value']}u, {int(e['latch'])}u, {int(e['safe'])}u)"
            for e in DEFINITION["fault"]]  # fmt: skip
    lines += ["", "/* X(fault, latch, safe) of every fault */", "#define TOMOSHIBI_FAULTS(X) \\"]
    return "\n".join([*lines, " \\\n".join(rows), ""])


def _registers() -> str:
    """Addresses, indices, and REGISTERS(X): X(address, min, max, default, flags)."""
    lines = [
        "#define TOMOSHIBI_REGISTER_PERSISTENT 1u",
        "#define TOMOSHIBI_REGISTER_IDLE_ONLY 2u",
        "#define TOMOSHIBI_REGISTER_READ_ONLY 4u",
        c_define("REGISTER_COUNT", f"{len(DEFINITION['register'])}u"),
        "/* REG_x: address on the wire; REGI_x: place in the table of all registers */",
    ]
    rows = []
    for index, entry in enumerate(DEFINITION["register"]):
        name = entry["name"].upper()
        unit = f" [{c_plain(entry['unit'])}]" if entry["unit"] else ""
        lines.append(c_define(f"REG_{name}", f"{entry['address']}u"))
        lines.append(c_define(f"REGI_{name}", f"{index}u /* {c_plain(entry['text'])}{unit} */"))
        flags = entry["persistent"] + 2 * entry["idle"] + 4 * entry.get("read_only", False)
        numbers = ", ".join(_signed(entry[key]) for key in ("min", "max", "default"))
        rows.append(f"    X({entry['address']}u, {numbers}, {flags}u)")
    lines += ["", "/* X(address, least, greatest, default, flags), in order of address */"]
    return "\n".join([*lines, "#define TOMOSHIBI_REGISTERS(X) \\", " \\\n".join(rows), ""])


def _signed(value: int) -> str:
    return "INT32_MIN" if value == -(2**31) else f"INT32_C({value})"


def _memory() -> str:
    lines = ["/* the memory that a module shares with its detector and its host */"]
    lines += [c_define(f"WINDOW_{k.upper()}", _hex(v)) for k, v in DEFINITION["window"].items()]
    for table in ("ring", "world"):
        for entry in DEFINITION[table]:
            value = f"0x{entry['offset']:02X}u /* {c_plain(entry['text'])} */"
            lines.append(c_define(f"{table.upper()}_{entry['name'].upper()}", value))
    magic = next(e for e in DEFINITION["world"] if e["name"] == "magic")
    lines.append(c_define("WORLD_MAGIC_VALUE", _hex(magic["default"])))
    return "\n".join([*lines, ""])
