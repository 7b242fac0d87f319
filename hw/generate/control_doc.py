"""Tables and numbers of the control protocol in ``docs/protocol.md``, from the definition."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.generate.dictionary import dictionary
from hw.generate.golden_messages import GoldenMessage, message, on_line
from hw.wire import control as c

_EXAMPLE_VALUE = 4000
_EXAMPLE_SEQUENCE = 7
_ENUMERATIONS = (
    *("message_kind", "status", "state", "bias_state", "lock", "reset_cause"),
    *("data_path", "slot", "board"),
)
_TAIL_WORDS = {"": "", "bytes": "bytes …", "u2": "u2 …"}


def control_tables(messages: list[GoldenMessage]) -> dict[str, str]:
    """Return by name what ``protocol_doc.md.in`` has placeholders for on control messages."""
    return {
        **_numbers(),
        "control_message": "\n".join(_layout_rows(c.MESSAGE_DTYPE, _message_texts())),
        **{f"enum_{name}": "\n".join(_value_rows(name)) for name in _ENUMERATIONS},
        "control_commands": "\n".join(_command_rows()),
        "control_notices": "\n".join(
            f"| {e['code']} | `{e['name']}` | `{e['payload']}` | {e['text']} |"
            for e in c.DEFINITION["notice"]
        ),
        "control_structs": "\n\n".join(_struct_section(entry) for entry in c.DEFINITION["struct"]),
        "control_registers": "\n".join(_register_rows()),
        "control_faults": "\n".join(_fault_rows()),
        "window_areas": "\n".join(_window_rows()),
        "window_ring": "\n".join(
            f"| 0x{e['offset']:03X} | `{e['name']}` | {e['text']} |" for e in c.DEFINITION["ring"]
        ),
        "window_world": "\n".join(
            f"| 0x{e['offset']:02X} | `{e['name']}` | {e['default']} | {e['text']} |"
            for e in c.DEFINITION["world"]
        ),
        "control_golden": "\n".join(_golden_row(golden) for golden in messages),
        **_example(),
    }


def _numbers() -> dict[str, str]:
    control = c.DEFINITION["control"]
    words = c.WINDOW["hit_words"]
    return {
        "control_version": str(c.VERSION),
        "control_magic": f"0x{c.MAGIC:08X}",
        "control_header_bytes": str(c.MESSAGE_BYTES),
        "control_crc_last": str(c.MESSAGE_CRC_OFFSET - 1),
        "control_payload": str(c.MAX_PAYLOAD),
        "control_longest": str(c.MESSAGE_BYTES + c.MAX_PAYLOAD),
        "control_schema": f"0x{c.SCHEMA_CRC:08X}",
        "frozen_commands": ", ".join(f"`{s.name}`" for s in c.COMMANDS.values() if s.frozen),
        "control_counter_MHz": f"{c.COUNTER_HZ / 1e6:g}",
        "control_wrap_s": f"{2**32 / c.COUNTER_HZ:.0f}",
        "baud_default": str(control["baud_default"]),
        "baud_min": str(control["baud_min"]),
        "baud_max": str(control["baud_max"]),
        "dictionary_keys": ", ".join(f"`{key}`" for key in dictionary()),
        "datagram_bytes": str(c.DATAGRAM["max_bytes"]),
        "datagram_port": str(c.DATAGRAM["port"]),
        "image_bytes": str(c.IMAGE["max_bytes"]),
        "image_header": str(c.STRUCTS["image"].itemsize),
        "image_tries": str(c.IMAGE["tries"]),
        "mark_synced": str(c.MARK_SYNCED),
        "mark_last": str(c.MARK_LAST),
        "hit_words": str(words),
        "frame_ring_MiB": str(c.WINDOW["frame_bytes"] >> 20),
        "window_MiB": str(c.WINDOW["bytes"] >> 20),
    }


def _message_texts() -> dict[str, str]:
    return {entry["name"]: entry["text"] for entry in c.DEFINITION["message"]}


def _type_words(kind: np.dtype[Any]) -> str:
    return f"{'signed' if kind.kind == 'i' else 'unsigned'} {8 * kind.itemsize}"


def _layout_rows(dtype: np.dtype[Any], texts: dict[str, str]) -> list[str]:
    return [
        f"| {field[1]} | {_type_words(field[0])} | `{name}` | {texts[name]} |"
        for name, field in (dtype.fields or {}).items()
    ]


def _value_rows(table: str) -> list[str]:
    return [f"| {e['value']} | `{e['name']}` | {e['text']} |" for e in c.DEFINITION[table]]


def _payload_words(described: str | list[list[str]], tail: str) -> str:
    if isinstance(described, str):
        fields = [f"struct `{described}`"]
    else:
        fields = [f"`{name}` {kind}" for name, kind in described]
    return ", ".join([*fields, *([_TAIL_WORDS[tail]] if tail else [])]) or "–"


def _command_rows() -> list[str]:
    rows = []
    for entry in c.DEFINITION["command"]:
        states = ", ".join(entry.get("states", ())) or "any"
        request = _payload_words(entry["request"], entry.get("request_tail", ""))
        reply = _payload_words(entry["reply"], entry.get("reply_tail", ""))
        rows.append(
            f"| {entry['code']} | `{entry['name']}` | {states} | {request} | {reply} "
            f"| {entry['text']} |"
        )
    return rows


def _struct_section(entry: dict[str, Any]) -> str:
    dtype = c.STRUCTS[entry["name"]]
    texts = {field[0]: field[2] for field in entry["fields"]}
    head = [
        f"#### `{entry['name']}`, {dtype.itemsize} bytes",
        "",
        f"{entry['text'][0].upper()}{entry['text'][1:]}.",
        "",
        "| offset | bits | field | meaning |",
        "|---:|---|---|---|",
    ]
    return "\n".join([*head, *_layout_rows(dtype, texts)])


def _register_rows() -> list[str]:
    rows = []
    for register in c.REGISTERS.values():
        kinds = {"kept": register.persistent, "idle": register.idle, "read": register.read_only}
        flags = ", ".join(name for name, given in kinds.items() if given)
        rows.append(
            f"| {register.address} | `{register.name}` | {register.min} | {register.max} "
            f"| {register.default} | {register.unit} | {flags} | {register.text} |"
        )
    return rows


def _fault_rows() -> list[str]:
    yes = {True: "yes", False: ""}
    return [
        f"| {f.value} | `{f.name}` | {yes[f.latch]} | {yes[f.safe]} | {f.text} |"
        for f in c.FAULTS.values()
    ]


def _window_rows() -> list[str]:
    texts = {
        "world": (4096, "the world page, below"),
        "hit_ring": (4096, "the hit ring's counters, below"),
        "frame_ring": (4096, "the frame ring's counters, below"),
        "nv": (c.WINDOW["nv_bytes"], "non-volatile: configuration, boot record, fault log"),
        "slot_a": (c.WINDOW["slot_b"] - c.WINDOW["slot_a"], "image header and image"),
        "slot_b": (c.WINDOW["slot_b"] - c.WINDOW["slot_a"], "image header and image"),
        "hit_data": (8 * c.WINDOW["hit_words"], "hit words of 64 bits"),
        "frame_data": (c.WINDOW["frame_bytes"], "records of data frames"),
    }
    return [
        f"| 0x{c.WINDOW[name]:06X} | {size} | `{name}` | {text} |"
        for name, (size, text) in texts.items()
    ]


def _golden_row(golden: GoldenMessage) -> str:
    answer = f"{golden.answer[0]}, {golden.answer[1]}" if golden.answer else ""
    text = golden.text.replace("|", "\\|")
    return (
        f"| `{golden.name}` | {len(golden.line)} | `{golden.module}` | `{golden.host}` "
        f"| {answer} | {text} |"
    )


# --- the worked example -------------------------------------------------------------------------


def _example() -> dict[str, str]:
    """A write of the energy threshold, and the module's reply."""
    register = c.REGISTERS["energy_threshold"].address
    code = c.COMMANDS["write"].code
    body = np.array([register, 0], "<u2").tobytes() + _value()
    reply = np.array([c.Status["ok"], 0], "<u2").tobytes() + _value()
    sent = message("command", code, body, sequence=_EXAMPLE_SEQUENCE)
    answered = message("reply", code, reply, sequence=_EXAMPLE_SEQUENCE)
    return {
        "ex_register": str(register),
        "ex_value": str(_EXAMPLE_VALUE),
        "ex_sequence": str(_EXAMPLE_SEQUENCE),
        "ex_header": sent[: c.MESSAGE_CRC_OFFSET].hex(" "),
        "ex_crc": f"0x{int.from_bytes(sent[c.MESSAGE_CRC_OFFSET : c.MESSAGE_BYTES], 'little'):08X}",
        "ex_crc_bytes": sent[c.MESSAGE_CRC_OFFSET : c.MESSAGE_BYTES].hex(" "),
        "ex_payload": body.hex(" "),
        "ex_line": on_line(sent).hex(" "),
        "ex_reply": answered.hex(" "),
        "ex_reply_line": on_line(answered).hex(" "),
    }


def _value() -> bytes:
    return np.array([_EXAMPLE_VALUE], "<i4").tobytes()
