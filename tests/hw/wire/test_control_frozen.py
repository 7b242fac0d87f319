"""What is frozen for a control version: old factory images and old hosts rely on it for ever."""

from __future__ import annotations

import copy
from typing import Any

import crc32c
import pytest

from hw.wire.control import COMMANDS, DEFINITION, VERSION
from hw.wire.protocol import canonical

FROZEN_COMMANDS = {
    *("hello", "dictionary", "beat", "reset"),
    *(f"update_{what}" for what in ("begin", "data", "end", "confirm", "abort")),
}
FROZEN_CRC = {1: 0x2AF773C1}
"""By control version. A new version needs a new factory image on every board: enter it here only
where no other way is left, and never change the number of one that modules in the field have."""

FROZEN_NUMBERS: dict[str, dict[str, int]] = {
    "message_kind": {"command": 1, "reply": 2, "notice": 3},
    "status": {
        "ok": 0,
        "unknown_command": 1,
        "bad_length": 2,
        "bad_state": 3,
        "bad_value": 4,
        "read_only": 5,
        "unknown_register": 6,
        "busy": 7,
        "faulted": 8,
        "still_present": 9,
        "no_bias": 10,
        "bad_image": 11,
        "wrong_board": 12,
        "wrong_schema": 13,
        "storage": 14,
        "wrong_version": 15,
    },
    "state": {"boot": 0, "idle": 1, "running": 2, "stopping": 3, "fault": 4, "updating": 5},
    "reset_cause": {"power_on": 0, "software": 1, "watchdog": 2, "brown_out": 3},
    "slot": {"factory": 0, "a": 1, "b": 2},
    "board": {"posix": 1, "mps2_an386": 2, "test": 3},
    "fault": {
        "overcurrent": 1,
        "over_temperature": 2,
        "interlock": 3,
        "host_lost": 4,
        "brown_out": 5,
        "watchdog": 6,
        "regulation": 7,
        "over_voltage": 8,
        "stack": 9,
        "config_defaults": 20,
        "config_older": 21,
        "rolled_back": 22,
        "image_damaged": 23,
        "sync_lost": 24,
        "detector_silent": 25,
        "log_damaged": 26,
        "config_value": 27,
    },
}


def frozen_part(definition: dict[str, Any]) -> str:
    """What an update needs of a definition, without texts: layouts, codes, places, bounds."""
    control = ("version", "magic", "max_payload", "baud_default")
    structs = [
        [struct["name"], [field[:2] for field in struct["fields"]]]
        for struct in definition["struct"]
        if struct["name"] in ("identity", "image")
    ]
    places = ("nv", "nv_bytes", "slot_a", "slot_b")
    return canonical(
        {
            "control": {key: definition["control"][key] for key in control},
            "message": definition["message"],
            "structs": structs,
            "commands": [entry for entry in definition["command"] if entry.get("frozen")],
            "notices": [entry for entry in definition["notice"] if entry["name"] == "hello"],
            "image": definition["image"],
            "window": {key: definition["window"][key] for key in places},
        }
    )


def frozen_crc(definition: dict[str, Any]) -> int:
    return int(crc32c.crc32c(frozen_part(definition).encode()))


def test_what_an_update_needs_is_what_it_ever_was_in_this_control_version() -> None:
    assert frozen_crc(DEFINITION) == FROZEN_CRC[VERSION]


def test_the_frozen_commands_are_those_of_an_update() -> None:
    assert {spec.name for spec in COMMANDS.values() if spec.frozen} == FROZEN_COMMANDS


@pytest.mark.parametrize("table", FROZEN_NUMBERS)
def test_numbers_in_frozen_layouts_keep_their_meaning(table: str) -> None:
    now = {entry["name"]: entry["value"] for entry in DEFINITION[table]}
    assert FROZEN_NUMBERS[table].items() <= now.items()


def _one_more_register(definition: dict[str, Any]) -> None:
    definition["register"].append({**definition["register"][0], "name": "colour", "address": 99})


def _longer_telemetry(definition: dict[str, Any]) -> None:
    (telemetry,) = [one for one in definition["struct"] if one["name"] == "telemetry"]
    telemetry["fields"].append(["colour", "u8", "of the module"])


def _longer_identity(definition: dict[str, Any]) -> None:
    definition["struct"][0]["fields"].append(["colour", "u4", "of the module"])


def _other_code(definition: dict[str, Any]) -> None:
    (begin,) = [one for one in definition["command"] if one["name"] == "update_begin"]
    begin["code"] = 45


def _other_slot(definition: dict[str, Any]) -> None:
    definition["window"]["slot_b"] += 4096


@pytest.mark.parametrize(
    ("change", "is_frozen"),
    [
        (_one_more_register, False),
        (_longer_telemetry, False),
        (_longer_identity, True),
        (_other_code, True),
        (_other_slot, True),
    ],
)
def test_the_crc_tells_what_is_frozen_from_what_is_not(change: Any, is_frozen: bool) -> None:
    changed = copy.deepcopy(DEFINITION)
    change(changed)
    assert (frozen_crc(changed) != FROZEN_CRC[VERSION]) == is_frozen
