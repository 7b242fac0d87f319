"""The data dictionary: what a program that has never seen the firmware can learn from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import crc32c

from hw.generate.dictionary import dictionary, dictionary_header, dictionary_json
from hw.wire.control import (
    COMMANDS,
    FAULTS,
    MAX_PAYLOAD,
    REGISTERS,
    SCHEMA_CRC,
    STRUCTS,
    State,
    Status,
)

CORE = Path(__file__).resolve().parents[3] / "hw" / "firmware" / "core"
SIZES = {f"{sign}{size}": size for sign in "ui" for size in (1, 2, 4, 8)}


def test_it_is_compact_ascii_and_always_the_same_bytes() -> None:
    data = dictionary_json()
    assert data == dictionary_json()
    assert data.isascii()
    assert b"\n" not in data and b'", "' not in data and b": " not in re.sub(rb'"[^"]*"', b"", data)
    assert json.loads(data) == dictionary()


def test_it_names_every_command_register_fault_and_status() -> None:
    found = dictionary()
    assert [entry["name"] for entry in found["commands"]] == list(COMMANDS)
    assert [entry["code"] for entry in found["faults"]] == list(FAULTS)
    assert found["enumerations"]["status"] == {status.name: status.value for status in Status}
    assert found["enumerations"]["state"] == {state.name: state.value for state in State}
    assert found["schema"] == SCHEMA_CRC
    assert found["limits"]["payload_bytes"] == MAX_PAYLOAD
    for entry in found["registers"]:
        register = REGISTERS[entry["name"]]
        assert entry["address"] == register.address
        assert (entry["min"], entry["max"]) == (register.min, register.max)
        assert ("idle" in entry["flags"]) == register.idle


def test_layouts_add_up_to_the_structures() -> None:
    found = dictionary()
    for name, fields in found["structs"].items():
        assert sum(SIZES[kind] for _, kind in fields) == STRUCTS[name].itemsize
        assert [field for field, _ in fields] == list(STRUCTS[name].names or ())
    for entry in found["commands"]:
        for side in ("request", "reply"):
            layout = entry[side]
            assert isinstance(layout, list) or layout in found["structs"], entry["name"]


def test_the_c_file_holds_the_same_bytes() -> None:
    text = (CORE / "base" / "dictionary_data.h").read_text(encoding="utf-8")
    assert text == dictionary_header()
    numbers = text[text.index("= {") + 3 : text.index("};")]
    data = bytes(int(number) for number in numbers.split(",") if number.strip())
    assert data == dictionary_json()
    assert f"0x{crc32c.crc32c(data):08X}" in text
