"""Golden vectors of the control protocol: bytes on the line, and what both ends must make of them.

Each vector is what lies on the line from the end of one packet to the end of the next, including
its zero. ``module`` says what a module makes of it, ``host`` what a host does: a message's kind,
``frame`` (a data frame that shares the line), ``empty`` or ``invalid``. ``answer`` is the status
and detail with which a freshly started module answers: state idle, registers at their defaults,
bias off, nothing in its logs; None if that depends on the board.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import crc32c
import numpy as np
from cobs import cobs

from hw.generate.golden_frames import golden_frames
from hw.wire import control as c

ZERO = b"\0"
_LONGEST = c.MESSAGE_BYTES + c.MAX_PAYLOAD
_NO_SUCH_COMMAND = 0xFFFE
_NO_SUCH_REGISTER = 0xFFFF
_IMAGE_BOARD = 0xFFFF
_FULL_BLOCK = 254


@dataclass(frozen=True)
class GoldenMessage:
    """One vector; ``packet`` is what COBS carries, None if the encoding itself is damaged."""

    name: str
    text: str
    line: bytes
    module: str
    host: str
    packet: bytes | None = None
    answer: tuple[str, int] | None = None


def message(kind: str, code: int, payload: bytes = b"", **fields: int) -> bytes:
    """Return a control message with a valid CRC; ``fields`` override the header's."""
    header = np.zeros((), c.MESSAGE_DTYPE)
    given = {"magic": c.MAGIC, "version": c.VERSION, "kind": int(c.MessageKind[kind])}
    given |= {"sequence": 1, "code": code, "length": len(payload)} | fields
    for name, value in given.items():
        header[name] = value
    header["crc"] = crc32c.crc32c(payload, crc32c.crc32c(header.tobytes()[: c.MESSAGE_CRC_OFFSET]))
    return header.tobytes() + payload


def on_line(packet: bytes) -> bytes:
    """Return a packet as sent on the line: COBS-encoded, with a zero byte."""
    return bytes(cobs.encode(packet)) + ZERO


def golden_messages() -> list[GoldenMessage]:
    """Return all vectors, in the order of the binary file."""
    return [*_commands(), *_refusals(), *_replies(), *_notices(), *_encodings(), *_damaged()]


def golden_control_json(messages: list[GoldenMessage]) -> str:
    """Return the JSON that says where each vector lies in the binary file and what it contains."""
    entries, offset = [], 0
    for golden in messages:
        entries.append(_entry(golden, offset))
        offset += len(golden.line)
    table = {
        "about": "Control messages in control.bin as they lie on the serial line, generated from "
        "hw/wire/control.toml by python -m hw.generate. See docs/protocol.md.",
        "control_version": c.VERSION,
        "schema_crc": c.SCHEMA_CRC,
        "messages": entries,
    }
    return json.dumps(table, indent=1, ensure_ascii=False) + "\n"


def _entry(golden: GoldenMessage, offset: int) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": golden.name, "text": golden.text, "offset": offset}
    entry |= {"length": len(golden.line), "module": golden.module, "host": golden.host}
    if golden.packet is not None and golden.host in ("command", "reply", "notice"):
        header = np.frombuffer(golden.packet, c.MESSAGE_DTYPE, count=1)[0]
        entry["header"] = {name: int(header[name]) for name in c.MESSAGE_DTYPE.names or ()}
        entry["payload"] = golden.packet[c.MESSAGE_BYTES :].hex()
    if golden.answer is not None:
        entry["answer"] = {"status": golden.answer[0], "detail": golden.answer[1]}
    return entry


# --- commands -------------------------------------------------------------------------------


def _command(
    name: str, text: str, packet: bytes, answer: tuple[str, int] | None = ("ok", 0)
) -> GoldenMessage:
    return GoldenMessage(name, text, on_line(packet), "command", "command", packet, answer)


def _request(name: str, tail: bytes = b"", **values: int) -> bytes:
    spec = c.COMMANDS[name]
    fields = np.zeros((), spec.request)
    for field, value in values.items():
        fields[field] = value
    body = fields.tobytes() if spec.request.itemsize else b""
    return message("command", spec.code, body + tail)


_VALUES: dict[str, dict[str, int]] = {
    "dictionary": {"offset": 0, "count": 64},
    "read": {"register": c.REGISTERS["energy_threshold"].address},
    "write": {"register": c.REGISTERS["energy_threshold"].address, "value": 4000},
    "beat": {"host_time_ns": 1_700_000_000_123_456_789},
    "run": {"run_tag": 0x5EED1E55, "periods": 100, "first_sequence": 0},
    "bias": {"target_mV": 55_000},
    "channels_write": {"first": 2, "count": 3},
    "channels_read": {"first": 2, "count": 3},
    "baud": {"baud": 921_600},
}
_TAILS = {"channels_write": np.array([16384, 20000, 0x8000 | 16384], "<u2").tobytes()}
_FRESH_ANSWERS: dict[str, tuple[str, int] | None] = {
    "run": ("no_bias", 0),
    "fault_log": ("bad_value", 0),
    "update_begin": ("bad_image", 0),
}


def _commands() -> list[GoldenMessage]:
    """One of each, as a host would send it; those not allowed in idle are answered bad_state."""
    found = []
    for name, spec in c.COMMANDS.items():
        allowed = not spec.states or "idle" in spec.states
        answer = _FRESH_ANSWERS.get(name, ("ok", 0))
        packet = _request(name, _TAILS.get(name, b""), **_VALUES.get(name, {}))
        refused = ("bad_state", int(c.State["idle"]))
        found.append(_command(name, spec.text, packet, answer if allowed else refused))
    return found


def _image(**fields: int) -> bytes:
    header = np.zeros((), c.STRUCTS["image"])
    given = {"magic": c.IMAGE["magic"], "board": _IMAGE_BOARD, "control_version": c.VERSION}
    given |= {"schema": c.SCHEMA_CRC, "length": 4096} | fields
    for name, value in given.items():
        header[name] = value
    header["header_crc"] = crc32c.crc32c(header.tobytes()[:-4])
    return header.tobytes()


def _refusals() -> list[GoldenMessage]:
    code = {name: spec.code for name, spec in c.COMMANDS.items()}
    most = c.REGISTERS["bias_max_mV"].default
    threshold = c.REGISTERS["energy_threshold"].address
    read_only = c.REGISTERS["channels_checksum"].address
    return [
        _command(
            "unknown_command",
            "a code that no command has",
            message("command", _NO_SUCH_COMMAND),
            ("unknown_command", _NO_SUCH_COMMAND),
        ),
        _command(
            "too_short",
            "`read` with two of its four bytes; detail is what they should be",
            message("command", code["read"], bytes(2)),
            ("bad_length", 4),
        ),
        _command(
            "too_long",
            "`hello` with a payload, which it has none of",
            message("command", code["hello"], bytes(1)),
            ("bad_length", 0),
        ),
        _command(
            "below_range",
            "a register one below its least value",
            _request("write", register=threshold, value=-1),
            ("bad_value", 4),
        ),
        _command(
            "above_range",
            "a register one above its greatest value",
            _request("write", register=threshold, value=16384),
            ("bad_value", 4),
        ),
        _command(
            "read_only",
            "a register that the module computes",
            _request("write", register=read_only, value=1),
            ("read_only", read_only),
        ),
        _command(
            "unknown_register",
            "an address that no register has",
            _request("read", register=_NO_SUCH_REGISTER),
            ("unknown_register", _NO_SUCH_REGISTER),
        ),
        _command(
            "bias_too_high",
            "a bias one millivolt above bias_max_mV",
            _request("bias", target_mV=most + 1),
            ("bad_value", 0),
        ),
        _command(
            "wrong_board",
            "an image for a board that does not exist",
            message("command", code["update_begin"], _image()),
            ("wrong_board", _IMAGE_BOARD),
        ),
        _command(
            "other_version",
            "the next control version, the CRC is right; detail is the module's version",
            message("command", code["hello"], version=c.VERSION + 1),
            ("wrong_version", c.VERSION),
        ),
    ]


# --- what modules send ------------------------------------------------------------------------


def _from_module(name: str, text: str, packet: bytes, host: str) -> GoldenMessage:
    return GoldenMessage(name, text, on_line(packet), "invalid", host, packet)


def _replies() -> list[GoldenMessage]:
    """One of each status: a host must understand them all."""
    code = c.COMMANDS["stop"].code
    found = []
    for entry in c.DEFINITION["status"]:
        payload = np.array([entry["value"], 0], "<u2").tobytes()
        packet = message("reply", code, payload, sequence=entry["value"])
        found.append(_from_module(f"reply_{entry['name']}", entry["text"], packet, "reply"))
    value = np.array([0, 0], "<u2").tobytes() + np.array([-2000], "<i4").tobytes()
    packet = message("reply", c.COMMANDS["read"].code, value, sequence=77)
    text = "a reply with a field behind status and detail: the value −2000"
    return [*found, _from_module("reply_value", text, packet, "reply")]


def _notices() -> list[GoldenMessage]:
    found = []
    for code, (name, dtype) in c.NOTICES.items():
        body = bytes(index % 251 for index in range(dtype.itemsize))
        packet = message("notice", code, body, sequence=code)
        text = "payload bytes 0, 1, 2 …: every field has a value of its own"
        found.append(_from_module(f"notice_{name}", text, packet, "notice"))
    return found


# --- encodings and damage -----------------------------------------------------------------------


def _encodings() -> list[GoldenMessage]:
    """Payloads at which COBS encoders go wrong, in a command that carries any bytes."""
    code = c.COMMANDS["update_data"].code
    idle = ("bad_state", int(c.State["idle"]))
    bodies = {
        "all_zeros": ("all zeros, the longest payload", bytes(c.MAX_PAYLOAD)),
        "no_zeros": ("no zero, the longest payload: full blocks", b"\xa5" * c.MAX_PAYLOAD),
        "ends_in_zero": ("a zero at the end", b"\x01\x02\x03\x04\x05\x00"),
    }
    found = [
        _command(f"cobs_{name}", text, message("command", code, body), idle)
        for name, (text, body) in bodies.items()
    ]
    return [*found, *(_full_block(code, idle, extra) for extra in (b"", b"\0", b"\x01"))]


def _full_block(code: int, answer: tuple[str, int], extra: bytes) -> GoldenMessage:
    """A packet whose last block is full before ``extra``: no empty block may follow it.

    The block begins with the CRC, so the sequence number is the first whose CRC has no zero.
    """
    what = {b"": "nothing", b"\0": "zero", b"\x01": "byte"}[extra]
    body = b"\x01\x02\x03\x04" + b"\x11" * (_FULL_BLOCK - 8) + extra
    packets = (message("command", code, body, sequence=n) for n in range(1, 1 << 16))
    packet = next(p for p in packets if ZERO not in p[c.MESSAGE_CRC_OFFSET : c.MESSAGE_BYTES])
    text = f"a full block, {_FULL_BLOCK} bytes that are not zero, then {what}"
    return _command(f"cobs_full_block_then_{what}", text, packet, answer)


def _spoilt(name: str, text: str, line: bytes) -> GoldenMessage:
    return GoldenMessage(name, text, line, "invalid", "invalid")


def _damaged() -> list[GoldenMessage]:
    hello = message("command", c.COMMANDS["hello"].code)
    read = _request("read", register=1)
    flipped = bytearray(read)
    flipped[-4] ^= 0x10
    cut = on_line(read)
    heartbeat = next(frame.data for frame in golden_frames() if frame.name == "heartbeat")
    return [
        GoldenMessage("empty", "a zero behind a zero is nothing", ZERO, "empty", "empty"),
        _spoilt("no_bytes", "a packet of no bytes", on_line(b"")),
        _spoilt("short_header", "15 bytes", on_line(hello[:-1])),
        _spoilt("flipped_payload", "a bit of the payload flipped", on_line(bytes(flipped))),
        _spoilt("other_magic", "another magic, the CRC is right", on_line(_resealed(hello, 0))),
        _spoilt("missing_byte", "the payload is shorter than it says", on_line(read[:-1])),
        _spoilt("extra_byte", "the payload is longer than it says", on_line(read + b"\1")),
        _spoilt("cut_block", "a zero in the middle of a COBS block", cut[:3] + ZERO),
        _spoilt(
            "overlong", "more bytes than any message has", on_line(bytes([7]) * (_LONGEST + 1))
        ),
        _command("after_damage", "in step again", read),
        GoldenMessage(
            "frame",
            "the data frame `heartbeat` of frames.bin, on the same line",
            on_line(heartbeat),
            "invalid",
            "frame",
            heartbeat,
        ),
    ]


def _resealed(packet: bytes, magic: int) -> bytes:
    header = np.frombuffer(packet, c.MESSAGE_DTYPE, count=1)[0]
    return message("command", int(header["code"]), packet[c.MESSAGE_BYTES :], magic=magic)
