"""Golden control messages: an independent receiver agrees with what they state."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hw.wire.control import COMMANDS, NOTICES, Status
from oracles.control_reference import HEADER_NAMES, cobs_encoded, received

FOLDER = Path(__file__).resolve().parents[3] / "hw" / "wire" / "golden"
TABLE = json.loads((FOLDER / "control.json").read_text(encoding="utf-8"))
BYTES = (FOLDER / "control.bin").read_bytes()
MESSAGES: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in TABLE["messages"]}


def line_bytes(name: str) -> bytes:
    """Cut a vector out of the binary file."""
    entry = MESSAGES[name]
    return BYTES[entry["offset"] : entry["offset"] + entry["length"]]


def test_the_binary_file_is_the_vectors_end_to_end() -> None:
    position = 0
    for entry in TABLE["messages"]:
        assert entry["offset"] == position
        position += entry["length"]
    assert position == len(BYTES)


@pytest.mark.parametrize("name", MESSAGES)
def test_an_independent_receiver_comes_to_the_stated_verdict(name: str) -> None:
    entry = MESSAGES[name]
    (found,), rest = received(line_bytes(name))
    assert rest == 0
    assert found.verdict == entry["host"]
    if "header" in entry:
        assert found.header == {field: entry["header"][field] for field in HEADER_NAMES}
        assert found.payload.hex() == entry["payload"]


def test_the_file_as_one_stream_gives_the_same_verdicts_in_the_same_order() -> None:
    found, rest = received(BYTES)
    assert rest == 0
    assert [packet.verdict for packet in found] == [entry["host"] for entry in TABLE["messages"]]


def test_the_module_takes_commands_alone() -> None:
    for entry in TABLE["messages"]:
        expected = entry["host"] if entry["host"] in ("command", "empty", "invalid") else "invalid"
        assert entry["module"] == expected


def test_every_command_notice_and_status_has_a_vector() -> None:
    headers = [e["header"] | {"host": e["host"]} for e in MESSAGES.values() if "header" in e]
    commands = {header["code"] for header in headers if header["host"] == "command"}
    assert {spec.code for spec in COMMANDS.values()} <= commands
    assert {header["code"] for header in headers if header["host"] == "notice"} == set(NOTICES)
    assert {f"reply_{status.name}" for status in Status} <= set(MESSAGES)


def test_the_shortest_encoding_is_on_the_line() -> None:
    """A second encoder, written differently, makes the same bytes of every sound packet."""
    for name, entry in MESSAGES.items():
        if "header" in entry:
            header = entry["header"]
            packet = _packed(header) + bytes.fromhex(entry["payload"])
            assert cobs_encoded(packet) + b"\0" == line_bytes(name), name


def _packed(header: dict[str, int]) -> bytes:
    sizes = dict(zip(HEADER_NAMES, (4, 1, 1, 2, 2, 2, 4), strict=True))
    return b"".join(header[name].to_bytes(size, "little") for name, size in sizes.items())
