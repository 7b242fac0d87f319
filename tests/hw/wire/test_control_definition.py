"""The definition of the control protocol holds what programs of both ends rely on."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from hw.wire import control
from hw.wire.control import (
    COMMANDS,
    DEFINITION,
    FAULTS,
    IMAGE,
    REGISTERS,
    RING,
    STRUCTS,
    WINDOW,
    WORLD,
)
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES

LISTS = {
    **dict.fromkeys(("message_kind", "status", "state", "bias_state", "lock"), "value"),
    **dict.fromkeys(("reset_cause", "data_path", "slot", "board", "fault"), "value"),
    **dict.fromkeys(("command", "notice"), "code"),
    "register": "address",
}


@pytest.mark.parametrize("table", LISTS)
def test_names_and_codes_are_unique(table: str) -> None:
    entries = DEFINITION[table]
    for key in ("name", LISTS[table]):
        values = [entry[key] for entry in entries]
        assert len(set(values)) == len(values), f"{table}: {key} {values}"
    assert all(entry["text"] for entry in entries)


def _layouts() -> Iterable[tuple[str, np.dtype[Any]]]:
    yield "message", control.MESSAGE_DTYPE
    yield from STRUCTS.items()
    for spec in COMMANDS.values():
        yield f"{spec.name} request", spec.request
        yield f"{spec.name} reply", spec.reply


@pytest.mark.parametrize(("name", "dtype"), list(_layouts()))
def test_every_field_lies_at_a_multiple_of_its_size(name: str, dtype: np.dtype[Any]) -> None:
    for field, (kind, offset, *_) in (dtype.fields or {}).items():
        assert offset % kind.itemsize == 0, f"{name}.{field} of {kind} at {offset}"
    largest = max((kind.itemsize for kind, *_ in (dtype.fields or {}).values()), default=1)
    assert dtype.itemsize % largest == 0, f"{name} has {dtype.itemsize} bytes"


def test_every_payload_fits_in_a_message() -> None:
    room = control.MAX_PAYLOAD - 4  # status and detail of a reply
    assert all(dtype.itemsize <= room for _, dtype in _layouts())


def test_registers_have_sane_bounds_and_defaults() -> None:
    addresses = [register.address for register in REGISTERS.values()]
    assert addresses == sorted(addresses), "X-macro and search rely on the order"
    for register in REGISTERS.values():
        assert -(2**31) <= register.min <= register.default <= register.max < 2**31
        assert not (register.persistent and register.read_only)


def test_states_of_commands_exist_and_nothing_is_allowed_during_boot_by_name() -> None:
    names = {state.name for state in control.State}
    for spec in COMMANDS.values():
        assert set(spec.states) <= names - {"boot"}


def test_latching_faults_are_those_that_make_the_bias_safe() -> None:
    assert all(fault.latch == fault.safe for fault in FAULTS.values())
    assert 0 not in FAULTS


def test_areas_of_the_window_do_not_overlap() -> None:
    image = IMAGE["max_bytes"] + STRUCTS["image"].itemsize
    areas = [
        (WINDOW["world"], 4096),
        (WINDOW["hit_ring"], 4096),
        (WINDOW["frame_ring"], 4096),
        (WINDOW["nv"], WINDOW["nv_bytes"]),
        (WINDOW["slot_a"], image),
        (WINDOW["slot_b"], image),
        (WINDOW["hit_data"], 8 * WINDOW["hit_words"]),
        (WINDOW["frame_data"], WINDOW["frame_bytes"]),
    ]
    ends = [start + size for start, size in areas]
    assert all(end <= start for end, (start, _) in zip(ends, areas[1:], strict=False))
    assert ends[-1] <= WINDOW["bytes"]
    assert WINDOW["frame_bytes"] > 2 * (HEADER_BYTES + WORD_BYTES * MAX_EVENTS)


def test_ring_counters_have_cache_lines_of_their_own_and_world_words_do_not_overlap() -> None:
    assert sorted(RING.values()) == [64 * line for line in range(len(RING))]
    assert len(set(WORLD.values())) == len(WORLD)
    assert all(offset % 4 == 0 and offset < 4096 for offset in WORLD.values())


def test_a_changed_layout_changes_the_schema_crc_and_a_changed_text_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = control.canonical_control()
    changed = copy.deepcopy(DEFINITION)
    changed["struct"][0]["fields"][0][2] = "other words"
    changed["command"][0]["text"] = "other words"
    monkeypatch.setattr(control, "DEFINITION", changed)
    assert control.canonical_control() == before
    changed["struct"][0]["fields"][0][1] = "u2"
    assert control.canonical_control() != before
