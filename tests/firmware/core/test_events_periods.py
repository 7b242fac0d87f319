"""Periods and runs: marks that are missing or wrong, SYNC lost and regained, how runs end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hw.wire.control import FAULTS, MARK_LAST, MARK_SYNCED, BiasState, Lock, State, Status
from hw.wire.protocol import FLAG_FIRST, FLAG_LAST, FLAG_SYNC_LOST
from oracles.frame_reader import open_frame
from rigs.firmware.events import TICKS_PER_MS, EventsRig, books_close, mark, single, word, words_of

pytestmark = pytest.mark.firmware

SYNC_LOST = next(code for code, fault in FAULTS.items() if fault.name == "sync_lost")
DETECTOR_SILENT = next(code for code, fault in FAULTS.items() if fault.name == "detector_silent")
INTERLOCK, NOTICE, RUN_ENDED, GIVEN_UP = 3, 3, 4, 4


def headers(frames: list[bytes], name: str) -> list[int]:
    """Return a header field of each frame; every frame must be whole."""
    return [int(open_frame(frame)[0][name]) for frame in frames]


def faults(rig: EventsRig, code: int) -> int:
    """Return how many faults of a code the log has."""
    entry = rig.core.ffi.new("struct tomoshibi_fault_entry *")
    count = rig.lib.faults_count(rig.module)
    logged = [rig.lib.fault_entry(rig.module, n, entry) and entry.fault for n in range(count)]
    return logged.count(code)


@pytest.mark.parametrize(
    ("marks", "periods", "missed"),
    [
        ([0, 1, 2], [0, 1, 2], 0),
        ([5, 6, 9, 10], [5, 6, 9, 10], 2),
        ([0, 64, 65], [0, 64, 65], 63),
        ([0, 1, 1, 2], [0, 1, 2], 1),
        ([7, 8, 0, 1, 2], [7, 8, 9, 10, 11], 1),
        ([7, 8, 0, 2, 3], [7, 8, 9, 11, 12], 2),
        ([7, 8, 3, 10, 11], [7, 8, 9, 10, 11], 1),
        ([0, 1, 5000, 3, 4], [0, 1, 2, 3, 4], 1),
        ([0, 1, 5000, 5001], [0, 1, 2, 5001], 1 + 4998),
        ([1 << 29, 0, 1, 2], [1 << 29, (1 << 29) + 1, (1 << 29) + 2, (1 << 29) + 3], 1),
        ([(1 << 30) - 1, 0, 1], [(1 << 30) - 1, 1 << 30, (1 << 30) + 1], 0),
    ],
    ids=[
        "in order",
        "two missing",
        "the furthest believed leap",
        "the same mark twice",
        "the detector's counter began anew",
        "began anew, then one missing",
        "behind once",
        "a leap once",
        "a leap that is confirmed",
        "began anew after a month",
        "the marks' 30 bits wrap",
    ],
)
def test_marks_make_periods(core: Any, marks: list[int], periods: list[int], missed: int) -> None:
    rig = EventsRig(core)
    rig.begin()
    frames = rig.feed(words_of(*(mark(m) for m in marks)))
    assert headers(frames, "frame_id") == periods
    assert rig.report()["marks_missed"] == missed
    assert headers(frames, "sequence") == list(range(len(periods)))


def test_a_period_beyond_32_bits_wraps(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.feed(words_of(mark(0)))
    rig.module.run.sync.expected = 0xFFFFFFFF
    rig.module.run.sync.last = (1 << 30) - 2
    frames = rig.feed(words_of(mark((1 << 30) - 1), mark(0)))
    assert headers(frames, "frame_id") == [0xFFFFFFFF, 0]


def test_sequence_numbers_begin_where_the_host_says_and_wrap(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin(first_sequence=0xFFFFFFFE)
    frames = rig.feed(words_of(*(mark(k) for k in range(4))))
    assert headers(frames, "sequence") == [0xFFFFFFFE, 0xFFFFFFFF, 0, 1]
    assert [f & FLAG_FIRST for f in headers(frames, "flags")] == [FLAG_FIRST, 0, 0, 0]


def test_words_before_go_on_beyond_32_bits(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.module.run.frame.before = 0xFFFFFFFF
    frames = rig.feed(words_of(single(0), single(10_000), mark(0), mark(1)))
    assert headers(frames, "events_before") == [0xFFFFFFFF, 0x100000001]
    assert rig.report()["words"] == 0x100000001


def test_no_frame_is_made_without_a_mark(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    assert rig.feed(words_of(*(single(9000 * k) for k in range(100)))) == []
    assert rig.report()["words"] == 100


# --- SYNC ------------------------------------------------------------------------------------


def test_frames_say_that_sync_is_not_locked_until_it_is(core: Any) -> None:
    rig = EventsRig(core, sync_lock_count=3, sync_loss_count=2)
    rig.begin()
    pulses = [1, 1, 1, 1, 0, 1, 0, 0, 1, 1, 1]
    frames = rig.feed(words_of(*(mark(k, flags=p) for k, p in enumerate(pulses))))
    lost = [bool(f & FLAG_SYNC_LOST) for f in headers(frames, "flags")]
    assert lost == [True, True, False, False, False, False, False, True, True, True, False]
    assert rig.report()["sync_lost"] == sum(lost)
    assert rig.module.run.sync.losses == 1
    assert faults(rig, SYNC_LOST) == 1
    assert rig.state == State.running


def test_marks_that_did_not_come_are_missing_pulses_too(core: Any) -> None:
    rig = EventsRig(core, sync_lock_count=1, sync_loss_count=3)
    rig.begin()
    frames = rig.feed(words_of(mark(0), mark(3)))
    assert not headers(frames, "flags")[-1] & FLAG_SYNC_LOST
    frames = rig.feed(words_of(mark(7, flags=0)))
    assert headers(frames, "flags") == [FLAG_SYNC_LOST]
    assert rig.module.run.sync.lock == Lock.unlocked


def test_a_run_that_never_sees_sync_says_so_once(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.feed(words_of(*(mark(k, flags=0) for k in range(50))))
    assert faults(rig, SYNC_LOST) == 1
    assert rig.module.run.sync.losses == 0


def test_the_lock_is_kept_from_run_to_run(core: Any) -> None:
    rig = EventsRig(core, sync_lock_count=2)
    rig.begin(periods=2)
    rig.feed(words_of(mark(0), mark(1)))
    rig.begin(2)
    (frame,) = rig.feed(words_of(mark(0)))
    assert headers([frame], "flags") == [FLAG_FIRST]


def test_a_silent_detector_is_a_fault_once_until_it_speaks(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.poll(1999)
    assert faults(rig, DETECTOR_SILENT) == 0
    rig.poll(1)
    rig.poll(2000, turns=3)
    assert faults(rig, DETECTOR_SILENT) == 1
    rig.feed(words_of(mark(0)))
    rig.poll(2000)
    assert faults(rig, DETECTOR_SILENT) == 2
    assert rig.state == State.running


# --- how runs begin and end ------------------------------------------------------------------


def test_a_run_needs_bias_a_tag_and_an_idle_module(core: Any) -> None:
    rig = EventsRig(core)
    begin = rig.lib.run_begin
    assert begin(rig.module, 0, 0, 0) == Status.bad_value
    rig.module.bias.state = int(BiasState.ramping)
    assert begin(rig.module, 1, 0, 0) == Status.no_bias
    rig.module.bias.state = int(BiasState.on)
    assert begin(rig.module, 1, 0, 0) == Status.ok
    assert rig.window.gate == 1
    assert begin(rig.module, 2, 0, 0) == Status.bad_state
    assert rig.report()["run_tag"] == 1


def test_stop_and_abort_need_a_run(core: Any) -> None:
    rig = EventsRig(core)
    assert rig.lib.run_stop(rig.module) == Status.bad_state
    assert rig.lib.run_abort(rig.module) == Status.bad_state


def test_stop_ends_the_run_with_the_period_under_way(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.feed(words_of(mark(0), single(5)))
    assert rig.lib.run_stop(rig.module) == Status.ok
    assert rig.state == State.stopping
    frames = rig.feed(words_of(single(10_000), mark(1), single(7), mark(2)))
    assert headers(frames, "flags")[0] & FLAG_LAST
    assert headers(frames, "event_count") == [2]
    report = rig.report()
    assert (rig.state, rig.window.gate, report["ended"]) == (State.idle, 0, 1)
    assert (report["last_period"], report["discarded"]) == (1, 1)


@pytest.mark.parametrize("periods", [1, 3])
def test_a_run_ends_after_its_periods(core: Any, periods: int) -> None:
    rig = EventsRig(core)
    rig.begin(periods=periods)
    frames = rig.feed(words_of(*(mark(k) for k in range(10))))
    last = [bool(f & FLAG_LAST) for f in headers(frames, "flags")]
    assert last == [False] * (periods - 1) + [True]
    assert rig.report()["ended"] == 2


@pytest.mark.parametrize("repeated", [False, True])
def test_the_detectors_last_mark_ends_the_run(core: Any, *, repeated: bool) -> None:
    rig = EventsRig(core)
    rig.begin()
    last = mark(0 if repeated else 1, flags=MARK_SYNCED | MARK_LAST)
    frames = rig.feed(words_of(mark(0), single(3), last, mark(2)))
    assert headers(frames, "frame_id") == [0, 1]
    assert headers(frames, "flags")[-1] & FLAG_LAST
    assert (rig.report()["ended"], rig.state) == (3, State.idle)


def test_abort_gives_up_the_period_under_way_and_its_hits_are_lost(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    angle = word("angle", crystal=1)
    rig.feed(words_of(single(0), mark(0), angle, single(0), single(10_000)))
    assert rig.lib.run_abort(rig.module) == Status.ok
    assert rig.feed(words_of(single(20_000), mark(1))) == []
    report = rig.report()
    assert (report["ended"], report["lost"], report["words"]) == (GIVEN_UP, 2, 1)
    assert (report["discarded"], rig.state, rig.window.gate) == (1, State.idle, 0)
    assert books_close(report)


def test_a_latched_fault_gives_the_run_up(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.feed(words_of(single(0), mark(0), single(5)))
    rig.lib.fault_raise(rig.module, INTERLOCK, 0, 1)
    rig.poll()
    report = rig.report()
    assert (rig.state, rig.window.gate, report["ended"]) == (State.fault, 0, GIVEN_UP)
    assert rig.lib.run_begin(rig.module, 8, 0, 0) == Status.faulted
    assert books_close(report)


def test_a_run_ends_when_the_state_is_no_longer_one_of_a_run(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.module.state = int(State.fault)
    rig.poll()
    assert (rig.report()["ended"], rig.window.gate, rig.state) == (GIVEN_UP, 0, State.fault)


def test_the_end_of_a_run_is_told_once_there_is_room(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin(periods=1)
    rig.feed(words_of(single(0), mark(0)))
    core.run_for(200)
    ended = [p for h, p in core.messages() if (h["kind"], h["code"]) == (NOTICE, RUN_ENDED)]
    assert len(ended) == 1
    assert len(ended[0]) == 96


def test_one_turn_takes_a_bounded_number_of_words(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.put(np.full(20_000, single(0), np.uint64))
    rig.poll()
    assert rig.window.hits_waiting == 20_000 - 8192
    rig.poll(turns=2)
    rig.put([mark(k) for k in range(1000)])
    rig.poll()
    assert 0 < 1000 - rig.window.hits_waiting < 200


def test_a_turn_ends_in_time_on_a_board_that_is_slow(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.put(np.full(8000, single(0), np.uint64))
    core.board.counter = rig.module.now + 2 * TICKS_PER_MS - 1
    rig.lib.run_poll(rig.module)
    assert rig.window.hits_waiting == 0
    rig.put(np.full(8000, single(0), np.uint64))
    core.board.counter = rig.module.now + 2 * TICKS_PER_MS
    rig.lib.run_poll(rig.module)
    assert rig.window.hits_waiting == 8000 - 2048, (
        "a turn that is late takes one block all the same"
    )
