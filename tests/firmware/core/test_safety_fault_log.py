"""The log of faults: it survives resets, damage and cuts of power, and no storm fills it."""

from __future__ import annotations

import pytest

from hw.wire.control import COUNTER_HZ, FAULTS, WINDOW, Status
from rigs.firmware.core_board import CoreBoard
from rigs.firmware.safety_steps import (
    ENTRY,
    FAULT,
    SECTOR,
    Memories,
    fault_log,
    logged,
    power_cut_after,
    started,
)

pytestmark = pytest.mark.firmware

LOG = WINDOW["nv"] + 4 * SECTOR
ENTRIES = SECTOR // ENTRY.itemsize
QUIET = FAULT["sync_lost"]


def raise_faults(core: CoreBoard, count: int, *, first_value: int = 0) -> None:
    """Raise as many faults that do not latch, a second apart."""
    for value in range(first_value, first_value + count):
        core.module.now += COUNTER_HZ
        core.lib.fault_raise(core.module, QUIET, value, 1)


def values(core: CoreBoard) -> list[int]:
    """The values of the log's entries of that fault, newest first."""
    entry = core.ffi.new("struct tomoshibi_fault_entry *")
    found, index = [], 0
    while core.lib.fault_entry(core.module, index, entry):
        found += [int(entry.value)] if entry.fault == QUIET else []
        index += 1
    return found


def test_the_log_survives_a_reset_with_all_it_says(core: CoreBoard) -> None:
    started(core)
    core.window.world["ambient_cC"] = 7000
    core.turn()
    before = fault_log(core)
    core.window.world["ambient_cC"] = 2450
    started(core)
    assert fault_log(core) == before
    assert before[0]["number"] == 1
    assert core.module.faults.latched == 0, "a reset ends a latch; the log remembers"
    core.window.world["interlock_closed"] = 0
    core.turn()
    assert [int(entry["number"]) for entry in fault_log(core)] == [2, 1]


def test_the_newest_128_are_kept_at_least(core: CoreBoard) -> None:
    started(core)
    for filled in range(0, 3 * ENTRIES, 16):
        raise_faults(core, 16, first_value=filled)
        kept = values(core)
        assert kept == list(range(filled + 15, filled + 15 - len(kept), -1))
        assert len(kept) >= min(ENTRIES, filled + 16)
        assert core.lib.faults_count(core.module) == len(kept)
    started(core)
    assert values(core) == kept
    assert core.board.nv_overwrites == core.board.nv_refused == 0


def test_the_line_gives_entries_by_place_and_says_how_many_there_are(core: CoreBoard) -> None:
    started(core)
    raise_faults(core, 3)
    status, count, _ = core.command("fault_log", index=2)
    assert (status, count) == (Status.ok, 3)
    assert core.command("fault_log", index=3)[0] == Status.bad_value


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("at", range(0, ENTRY.itemsize, 5))
def test_a_damaged_entry_is_left_out_and_counted_once(core: CoreBoard, place: int, at: int) -> None:
    started(core)
    raise_faults(core, 3)
    core.window.bytes[LOG + place * ENTRY.itemsize + at] ^= 4
    started(core)
    assert values(core) == [value for value in (2, 1, 0) if value != place]
    assert logged(core)[0] == FAULT["log_damaged"]
    assert core.module.faults.damaged == 1
    started(core)
    assert logged(core).count(FAULT["log_damaged"]) == 1
    raise_faults(core, 2, first_value=10)
    assert values(core)[:2] == [11, 10]


def test_a_log_of_nothing_but_noise_is_started_anew(core: CoreBoard) -> None:
    core.window.bytes[LOG : LOG + 2 * SECTOR] = 0x5A
    started(core)
    assert logged(core) == [FAULT["log_damaged"]]
    raise_faults(core, 5)
    assert values(core) == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("filled", [0, 1, ENTRIES - 1, ENTRIES, 2 * ENTRIES])
def test_a_cut_of_power_loses_at_most_the_entry_that_is_being_written(
    core: CoreBoard, filled: int
) -> None:
    started(core)
    raise_faults(core, filled)
    kept, before = values(core), Memories(core)
    for budget in range(ENTRY.itemsize + 2):
        before.put_back(core)
        with power_cut_after(core, budget):
            raise_faults(core, 1, first_value=999)
        started(core)
        now = [value for value in values(core) if value != 999]
        assert now == kept[: len(now)]
        assert len(now) >= min(filled, ENTRIES)
        raise_faults(core, 1, first_value=1000)
        assert values(core)[0] == 1000
        assert core.board.nv_overwrites == core.board.nv_refused == 0
    assert 999 in values(core)


def test_a_storm_is_logged_once_a_second_and_counted(core: CoreBoard) -> None:
    started(core)
    for _ in range(5000):
        core.turn()
        core.lib.fault_raise(core.module, QUIET, 0, 1)
        core.lib.fault_raise(core.module, FAULT["detector_silent"], 0, 1)
    assert logged(core).count(QUIET) == 5
    assert logged(core).count(FAULT["detector_silent"]) == 5
    assert core.module.faults.suppressed == 10_000 - 10


def test_a_latched_fault_that_goes_on_is_one_entry(core: CoreBoard) -> None:
    started(core)
    core.window.world["interlock_closed"] = 0
    core.run_for(3000)
    assert logged(core) == [FAULT["interlock"]]


def test_a_memory_that_refuses_costs_the_entry_and_not_the_safety(core: CoreBoard) -> None:
    started(core)
    core.window.world["nv_broken"] = 1
    core.window.world["interlock_closed"] = 0
    core.run_for(3)
    assert core.module.faults.latched == FAULT["interlock"]
    assert core.module.faults.unwritten == 1
    told = [h for h, _ in core.messages() if h["kind"] == 3 and h["code"] == 3]
    assert len(told) == 1


def test_notices_wait_for_a_line_that_nobody_reads(core: CoreBoard) -> None:
    started(core)
    core.board.line_bytes_per_ms = 1
    core.run_for(50)
    while core.lib.link_notice(core.module, 2, b"x", 1):
        core.turn(1)
    passing = [code for code, spec in FAULTS.items() if not spec.latch]
    for code in passing:
        core.lib.fault_raise(core.module, code, 0, 0)
    core.run_for(50)
    core.board.line_bytes_per_ms = 0
    core.run_for(500)
    told = [int.from_bytes(p[4:6], "little")
            for h, p in core.messages() if h["kind"] == 3 and h["code"] == 3]  # fmt: skip
    assert told == passing


def test_a_code_that_cannot_be_is_ignored(core: CoreBoard) -> None:
    started(core)
    for code in (0, 32, 0xFFFF):
        core.lib.fault_raise(core.module, code, 1, 1)
    assert logged(core) == []
