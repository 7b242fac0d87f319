"""How host and module talk to each other, read from ``control.toml``, the single definition.

Names, codes and layouts only: control messages, registers, faults, the memory that a module shares
with its detector. What is sent and when is up to the firmware (``hw/firmware``) and the serial link
(``daq/serial``). The C header, the firmware's dictionary and ``docs/protocol.md`` are generated
from the same file (``python -m hw.generate``).
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

import crc32c
import numpy as np

from hw.wire.protocol import canonical, canonical_definition

DEFINITION_PATH = Path(__file__).with_name("control.toml")
DEFINITION: dict[str, Any] = tomllib.loads(DEFINITION_PATH.read_text(encoding="utf-8"))


def _without_field_texts(definition: dict[str, Any]) -> dict[str, Any]:
    structs = [
        {**struct, "fields": [field[:2] for field in struct["fields"]]}
        for struct in definition["struct"]
    ]
    return {**definition, "struct": structs}


def canonical_control() -> str:
    """Return the part of the control messages' definition on which host and module must agree."""
    return canonical(_without_field_texts(DEFINITION))


SCHEMA_CRC: int = crc32c.crc32c((canonical_definition() + canonical_control()).encode())
"""CRC-32C of both definitions: where it is equal on both sides, so is the meaning of all bytes."""

VERSION: int = DEFINITION["control"]["version"]
"""Where it is equal, an update works, whatever the schemas: of all that never changes within it."""
MAGIC: int = DEFINITION["control"]["magic"]
MAX_PAYLOAD: int = DEFINITION["control"]["max_payload"]
COUNTER_HZ: int = DEFINITION["control"]["counter_Hz"]

MESSAGE_DTYPE = np.dtype([(f["name"], "<" + f["type"]) for f in DEFINITION["message"]])
"""16 bytes, packed, little-endian: the header of a control message."""
MESSAGE_BYTES = MESSAGE_DTYPE.itemsize
MESSAGE_CRC_OFFSET: int = MESSAGE_DTYPE.fields["crc"][1]  # type: ignore[index]


def _enumeration(name: str, table: str) -> Any:
    return IntEnum(name, {entry["name"]: entry["value"] for entry in DEFINITION[table]})


MessageKind = _enumeration("MessageKind", "message_kind")
Status = _enumeration("Status", "status")
State = _enumeration("State", "state")
BiasState = _enumeration("BiasState", "bias_state")
Lock = _enumeration("Lock", "lock")
ResetCause = _enumeration("ResetCause", "reset_cause")
DataPath = _enumeration("DataPath", "data_path")
Slot = _enumeration("Slot", "slot")
Board = _enumeration("Board", "board")


def _dtype(fields: list[list[str]]) -> np.dtype[Any]:
    return np.dtype([(field[0], "<" + field[1]) for field in fields])


STRUCTS: dict[str, np.dtype[Any]] = {s["name"]: _dtype(s["fields"]) for s in DEFINITION["struct"]}
"""Payload structures by name: identity, telemetry, report, fault_entry, image, datagram."""


def _payload(described: str | list[list[str]]) -> np.dtype[Any]:
    return STRUCTS[described] if isinstance(described, str) else _dtype(described)


@dataclass(frozen=True)
class CommandSpec:
    """A command: what it carries and what an ``ok`` reply carries after status and detail.

    request, reply : dtypes of the fixed fields
    request_tail, reply_tail : what may follow them: "", "bytes" or "u2"
    states : names of the states in which it is allowed, () for all
    frozen : the same in all firmware of one control version, whatever its schema
    """

    name: str
    code: int
    text: str
    request: np.dtype[Any]
    reply: np.dtype[Any]
    request_tail: str
    reply_tail: str
    states: tuple[str, ...]
    frozen: bool = False


COMMANDS: dict[str, CommandSpec] = {
    entry["name"]: CommandSpec(
        entry["name"],
        entry["code"],
        entry["text"],
        _payload(entry["request"]),
        _payload(entry["reply"]),
        entry.get("request_tail", ""),
        entry.get("reply_tail", ""),
        tuple(entry.get("states", ())),
        entry.get("frozen", False),
    )
    for entry in DEFINITION["command"]
}
NOTICES: dict[int, tuple[str, np.dtype[Any]]] = {
    entry["code"]: (entry["name"], STRUCTS[entry["payload"]]) for entry in DEFINITION["notice"]
}
"""Notice code to its name and payload."""


@dataclass(frozen=True)
class RegisterSpec:
    """A register: 32 bits, signed.

    persistent : kept by ``save``; idle : writable in state idle only
    """

    name: str
    address: int
    min: int
    max: int
    default: int
    persistent: bool
    idle: bool
    unit: str
    text: str
    read_only: bool = False


REGISTERS: dict[str, RegisterSpec] = {
    entry["name"]: RegisterSpec(**entry) for entry in DEFINITION["register"]
}


@dataclass(frozen=True)
class FaultSpec:
    """A fault: ``latch`` keeps the module in state fault until cleared, ``safe`` cuts the bias."""

    name: str
    value: int
    latch: bool
    safe: bool
    text: str


FAULTS: dict[int, FaultSpec] = {entry["value"]: FaultSpec(**entry) for entry in DEFINITION["fault"]}
"""Fault code to what it is."""


def fault_words(code: int) -> str:
    """Describe a fault in words; "" for none."""
    if code == 0:
        return ""
    known = FAULTS.get(code)
    return known.text if known else f"fault {code}, which this program does not know"


WINDOW: dict[str, int] = DEFINITION["window"]
"""Offsets and sizes in the memory that module, detector and host share, in bytes."""
RING: dict[str, int] = {entry["name"]: entry["offset"] for entry in DEFINITION["ring"]}
WORLD: dict[str, int] = {entry["name"]: entry["offset"] for entry in DEFINITION["world"]}
WORLD_DEFAULTS: dict[str, int] = {e["name"]: e["default"] for e in DEFINITION["world"]}
MARK_SYNCED: int = DEFINITION["mark"]["flag_synced"]
MARK_LAST: int = DEFINITION["mark"]["flag_last"]
DATAGRAM: dict[str, int] = DEFINITION["datagram"]
IMAGE: dict[str, int] = DEFINITION["image"]

if MESSAGE_BYTES != 16:
    raise ValueError(f"{DEFINITION_PATH}: the message header is {MESSAGE_BYTES} bytes, not 16")
