"""The data dictionary that the firmware serves: JSON with all that a host needs to drive it.

Compact, in a stable order, ASCII: the same definition always gives the same bytes. It is made from
``control.toml`` and ``protocol.toml`` alone, so it is the same on every board; whatever differs
between boards and builds is in the module's identity.
"""

from __future__ import annotations

import json
from typing import Any

import crc32c
import numpy as np

from hw.wire import control as c
from hw.wire import protocol as p

_ENUMERATIONS = (
    "message_kind",
    "status",
    "state",
    "bias_state",
    "lock",
    "reset_cause",
    "data_path",
    "slot",
    "board",
)
_BYTES_A_LINE = 24

_C_TOP = """\
/* SPDX-License-Identifier: Apache-2.0
 *
 * The data dictionary: JSON, {count} bytes. hw/generate/dictionary.py says what is in it.
 * Generated from hw/wire/control.toml by `python -m hw.generate`: do not edit.
 */
#ifndef TOMOSHIBI_DICTIONARY_DATA_H
#define TOMOSHIBI_DICTIONARY_DATA_H

#define DICTIONARY_BYTES UINT32_C({count})
#define DICTIONARY_CRC UINT32_C(0x{crc:08X})

static const uint8_t dictionary_data[DICTIONARY_BYTES] = {{
"""


def dictionary() -> dict[str, Any]:
    """Return the dictionary as it appears in the JSON."""
    return {
        "name": c.DEFINITION["control"]["identity_words"],
        "versions": {"control": c.VERSION, "protocol": p.VERSION},
        "schema": c.SCHEMA_CRC,
        "limits": _limits(),
        "enumerations": {name: _values(name) for name in _ENUMERATIONS},
        "message": _fields(c.MESSAGE_DTYPE),
        "frame": _fields(p.HEADER_DTYPE),
        "word": [[field.name, field.bits] for field in p.WORD_FIELDS.values()],
        "word_kinds": dict(p.WORD_KINDS),
        "structs": {name: _fields(dtype) for name, dtype in c.STRUCTS.items()},
        "commands": [_command(spec) for spec in c.COMMANDS.values()],
        "notices": [
            {"code": entry["code"], "name": entry["name"], "payload": entry["payload"]}
            for entry in c.DEFINITION["notice"]
        ],
        "registers": [_register(spec) for spec in c.REGISTERS.values()],
        "faults": [
            {
                "code": fault.value,
                "name": fault.name,
                "latch": fault.latch,
                "safe": fault.safe,
                "text": fault.text,
            }
            for fault in c.FAULTS.values()
        ],
    }


def dictionary_json() -> bytes:
    """Return the bytes that a module serves."""
    return json.dumps(dictionary(), ensure_ascii=True, separators=(",", ":")).encode("ascii")


def dictionary_header() -> str:
    """Return the text of ``core/base/dictionary_data.h``."""
    data = dictionary_json()
    lines = [
        "    " + ",".join(str(byte) for byte in data[start : start + _BYTES_A_LINE]) + ","
        for start in range(0, len(data), _BYTES_A_LINE)
    ]
    top = _C_TOP.format(count=len(data), crc=crc32c.crc32c(data))
    return top + "\n".join(lines) + "\n};\n\n#endif\n"


def _limits() -> dict[str, int]:
    control = c.DEFINITION["control"]
    return {
        "payload_bytes": c.MAX_PAYLOAD,
        "frame_words": p.MAX_EVENTS,
        "counter_Hz": c.COUNTER_HZ,
        "image_bytes": c.IMAGE["max_bytes"],
        "image_tries": c.IMAGE["tries"],
        "datagram_bytes": c.DATAGRAM["max_bytes"],
        "datagram_port": c.DATAGRAM["port"],
        "baud_default": control["baud_default"],
        "baud_min": control["baud_min"],
        "baud_max": control["baud_max"],
    }


def _values(table: str) -> dict[str, int]:
    return {entry["name"]: entry["value"] for entry in c.DEFINITION[table]}


def _fields(dtype: np.dtype[Any]) -> list[list[str]]:
    """Name and type of each field, in order, without holes: types are u1 ... i8."""
    fields: dict[str, Any] = dict(dtype.fields or {})
    return [[name, fields[name][0].str.lstrip("<|")] for name in dtype.names or ()]


def _payload(dtype: np.dtype[Any]) -> str | list[list[str]]:
    """The name of a struct, or the fields themselves."""
    named = [name for name, struct in c.STRUCTS.items() if struct is dtype]
    return named[0] if named else _fields(dtype)


def _command(spec: c.CommandSpec) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "code": spec.code,
        "name": spec.name,
        "text": spec.text,
        "request": _payload(spec.request),
        "reply": _payload(spec.reply),
    }
    optional = {
        "request_tail": spec.request_tail,
        "reply_tail": spec.reply_tail,
        "states": list(spec.states),
    }
    return entry | {key: value for key, value in optional.items() if value}


def _register(spec: c.RegisterSpec) -> dict[str, Any]:
    flags = {"persistent": spec.persistent, "idle": spec.idle, "read_only": spec.read_only}
    return {
        "address": spec.address,
        "name": spec.name,
        "min": spec.min,
        "max": spec.max,
        "default": spec.default,
        "unit": spec.unit,
        "flags": [name for name, given in flags.items() if given],
        "text": spec.text,
    }
