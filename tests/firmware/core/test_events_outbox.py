"""Frames wait in their memory in order and leave whole, on each data path; stalls are bounded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hw.wire.control import DATAGRAM, RING, STRUCTS, WINDOW, DataPath
from hw.wire.protocol import HEADER_BYTES, KIND_SHIFT, MAGIC
from oracles.frame_reader import open_frame
from rigs.firmware.events import (
    TICKS_PER_MS,
    EventsRig,
    books_close,
    mark,
    random_hits,
    single,
    words_of,
)

pytestmark = pytest.mark.firmware

HEAD_BYTES = STRUCTS["datagram"].itemsize
RECORD_BYTES = 8
HEAD, TAIL = RING["head"] // 4, RING["tail"] // 4


def period_of(rng: np.random.Generator, hits: int, period: int) -> np.ndarray:
    """Return a period's words of accepted hits, and its mark."""
    chosen = random_hits(rng, hits, energy_dkeV=rng.integers(500, 9000, hits))
    return np.append(chosen, np.uint64(mark(period)))


def fill_memory(rig: EventsRig, hits: int = 60_000) -> int:
    """Let frames be made until there is no room for one; return how many periods were offered."""
    rng = np.random.default_rng(1)
    period = 0
    while rig.window.hits_waiting < hits:
        rig.put(period_of(rng, hits, period))
        rig.poll(1, turns=20)
        period += 1
    return period


def test_the_memory_is_used_up_to_its_end_again_and_again(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    rng = np.random.default_rng(2)
    sizes = rng.integers(0, 40_000, 120)
    skips, words = 0, 0
    for period, hits in enumerate(sizes.tolist()):
        (frame,) = rig.feed(period_of(rng, hits, period))
        header, payload = open_frame(frame)
        assert len(payload) == hits
        assert header["events_before"] == words
        words += hits
        skips += int(rig.frame_ring[HEAD]) % WINDOW["frame_bytes"] == RECORD_BYTES + len(frame)
    assert skips >= 2
    assert rig.report()["words"] == words


def test_head_and_tail_wrap_at_32_bits(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    size = WINDOW["frame_bytes"]
    rig.frame_ring[[HEAD, TAIL]] = 0x100000000 - size + size // 2
    rig.lib.outbox_start(rig.module)
    rig.begin()
    rng = np.random.default_rng(3)
    for period in range(30):
        (frame,) = rig.feed(period_of(rng, 30_000, period))
        assert open_frame(frame)[0]["frame_id"] == period
    assert int(rig.frame_ring[HEAD]) < size * 2
    assert rig.report()["frames_dropped"] == 0


def test_hits_wait_while_the_consumer_stalls_and_nothing_is_lost(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    periods = fill_memory(rig)
    waiting = rig.window.hits_waiting
    rig.poll(19, turns=20)
    assert rig.window.hits_waiting == waiting
    frames = []
    while rig.window.hits_waiting or rig.window.frame_bytes_waiting:
        frames += rig.window.take()
        rig.poll(1, turns=20)
    assert [int(open_frame(f)[0]["sequence"]) for f in frames] == list(range(periods))
    assert rig.report()["frames_dropped"] == 0
    assert rig.report()["words"] == 60_000 * periods


def test_after_a_second_of_silence_frames_are_dropped_whole_and_counted(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    periods = fill_memory(rig)
    rig.poll(100, turns=11)
    rig.poll(0, turns=20)
    assert rig.window.hits_waiting == 0
    dropped = rig.report()["frames_dropped"]
    assert dropped == periods - rig.report()["frames"] >= 1
    frames = rig.window.take()
    rig.poll()
    frames += rig.feed(words_of(single(0), mark(periods)))
    numbers = [int(open_frame(f)[0]["sequence"]) for f in frames]
    assert numbers == [*range(periods - dropped), periods]
    last = open_frame(frames[-1])[0]
    assert last["events_before"] == 60_000 * periods
    report = rig.report()
    assert books_close(report)
    assert report["words"] == 60_000 * periods + 1
    assert report["frames"] + report["frames_dropped"] == periods + 1


def test_a_frame_is_never_made_over_one_that_waits(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    periods = fill_memory(rig)
    rig.frame_ring[TAIL] += RECORD_BYTES + HEADER_BYTES + 8 * 60_000
    rig.poll(1, turns=20)
    numbers = [int(open_frame(f)[0]["sequence"]) for f in rig.window.take()]
    assert numbers == list(range(1, periods - 1))
    rig.poll(1, turns=20)
    assert len(rig.window.take()) == 1


def test_a_stalled_consumer_is_not_a_silent_detector(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    fill_memory(rig)
    before = rig.lib.faults_count(rig.module)
    rig.poll(900)
    assert rig.lib.faults_count(rig.module) == before


def test_a_frame_that_was_under_way_when_dropping_began_is_whole(core: Any) -> None:
    """The words of one frame are all in it or all missing, however the memory fills."""
    rig = EventsRig(core, dead_time_ticks=0)
    rig.begin()
    rng = np.random.default_rng(5)
    frames = []
    for period in range(160):
        rig.put(period_of(rng, 20_000, period))
        rig.poll(300, turns=3)
        if period % 70 == 69:
            frames += rig.window.take()
    frames += rig.window.take()
    assert all(len(open_frame(f)[1]) == 20_000 for f in frames)
    assert rig.report()["frames_dropped"] > 10
    assert len(frames) == rig.report()["frames"]


@pytest.mark.parametrize("length", [0x10, 0xFFFFFFF0, 0xFFFFFFFF, 12, 68, 0x7FFFFFF8, 600_000])
def test_a_damaged_memory_is_emptied_and_the_run_goes_on(core: Any, length: int) -> None:
    rig = EventsRig(core, data_path=int(DataPath.ethernet), dead_time_ticks=0)
    core.board.datagram_answer = 0
    rig.begin()
    rng = np.random.default_rng(10)
    for period in range(2):
        rig.put(period_of(rng, 60_000, period))
        rig.poll(turns=10)
    rig.window.bytes[WINDOW["frame_data"] :].view(np.uint32)[0] = length
    core.board.datagram_answer = 1
    rig.poll()
    assert core.datagrams() == []
    rig.put([mark(2)])
    rig.poll(turns=2)
    assert len(core.datagrams()) == 1


@pytest.mark.parametrize("count", [HEAD, TAIL])
@pytest.mark.parametrize("value", [4, 0x80, 0xFFFFFFF8, 0x80000000, 0x7FFFFFF])
@pytest.mark.parametrize("path", [DataPath.none, DataPath.ethernet, DataPath.ring])
def test_counts_written_from_outside_do_no_harm(
    core: Any, count: int, value: int, path: int
) -> None:
    rig = EventsRig(core, data_path=int(path))
    rig.begin()
    for period in range(4):
        rig.put([single(0), mark(period)])
        rig.poll(400, turns=6)
        if period == 1:
            rig.frame_ring[count] = value
    assert rig.window.hits_waiting == 0
    report = rig.report()
    assert (report["words"], report["frames"] + report["frames_dropped"]) == (4, 4)
    if path != DataPath.ring:
        assert rig.window.frame_bytes_waiting == 0


def test_a_record_that_changes_while_it_is_sent_is_given_up(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.ethernet), dead_time_ticks=0)
    rig.begin()
    rig.put(period_of(np.random.default_rng(9), 40_000, 0))
    rig.poll(turns=6)
    sent = len(core.datagrams())
    assert 0 < sent * DATAGRAM["max_bytes"] < 8 * 40_000
    rig.window.bytes[WINDOW["frame_data"] :].view(np.uint32)[0] = HEADER_BYTES
    rig.poll()
    rig.put([mark(1)])
    rig.poll(turns=3)
    (last,) = core.datagrams()
    assert len(last) == HEAD_BYTES + HEADER_BYTES


def test_frames_of_before_a_reset_stay_for_the_host_that_reads_the_ring(core: Any) -> None:
    rig = EventsRig(core)
    core.command("save")
    rig.module.bias.state = 2
    rig.begin()
    rig.put([mark(0), mark(1)])
    rig.poll()
    core.start(1)
    assert len(rig.window.take()) == 2


@pytest.mark.parametrize("head", [0x12345, 0x10000, 0xF0000004])
def test_impossible_counts_of_the_frame_memory_are_put_right(core: Any, head: int) -> None:
    rig = EventsRig(core)
    rig.frame_ring[HEAD], rig.frame_ring[TAIL] = head, 0xF0000000
    rig.lib.outbox_start(rig.module)
    rig.begin()
    assert len(rig.feed(words_of(single(0), mark(0)))) == 1


# --- data paths ------------------------------------------------------------------------------


def test_on_path_none_frames_are_counted_and_go_nowhere(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.none))
    rig.begin()
    for k in range(30):
        rig.put(period_of(np.random.default_rng(k), 30_000, k))
        rig.poll(1, turns=10)
    assert (rig.report()["frames"], rig.report()["frames_dropped"]) == (30, 0)
    assert rig.window.frame_bytes_waiting == 0


@pytest.mark.parametrize("refusals", [0, 3])
def test_datagrams_carry_every_byte_of_every_frame_once(core: Any, refusals: int) -> None:
    rig = EventsRig(core, data_path=int(DataPath.ethernet), module=5, dead_time_ticks=0)
    rig.begin(first_sequence=9)
    rng = np.random.default_rng(4)
    pieces: list[bytes] = []
    for period, hits in enumerate([0, 168, 169, 5000, 1]):
        rig.put(period_of(rng, hits, period))
        core.board.datagram_answer = 0
        rig.poll(1, turns=refusals)
        core.board.datagram_answer = 1
        rig.poll(1, turns=5)
        pieces += core.datagrams()
    heads = np.frombuffer(b"".join(p[:HEAD_BYTES] for p in pieces), STRUCTS["datagram"])
    assert set(heads["magic"].tolist()) == {DATAGRAM["magic"]}
    assert set(heads["module"].tolist()) == {5}
    assert heads["number"].tolist() == list(range(len(pieces)))
    assert heads["length"].tolist() == [len(p) - HEAD_BYTES for p in pieces]
    assert max(heads["length"]) <= DATAGRAM["max_bytes"]
    frames: dict[int, bytearray] = {}
    for head, piece in zip(heads, pieces, strict=True):
        frame = frames.setdefault(int(head["sequence"]), bytearray())
        assert head["offset"] == len(frame)
        frame += piece[HEAD_BYTES:]
        assert len(frame) <= head["frame_bytes"]
    assert list(frames) == [9, 10, 11, 12, 13]
    counts = [int(open_frame(bytes(f))[0]["event_count"]) for f in frames.values()]
    assert counts == [0, 168, 169, 5000, 1]


def test_datagrams_are_numbered_anew_in_each_run(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.ethernet))
    for run_tag in (1, 2):
        rig.begin(run_tag, periods=3)
        rig.put([mark(0), mark(1), mark(2)])
        rig.poll(turns=2)
    heads = np.frombuffer(b"".join(d[:HEAD_BYTES] for d in core.datagrams()), STRUCTS["datagram"])
    assert heads["number"].tolist() == [0, 1, 2, 0, 1, 2]


def test_a_board_without_datagrams_goes_on(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.ethernet))
    core.board.datagram_answer = -1
    rig.begin()
    rig.put([mark(k) for k in range(5)])
    rig.poll(turns=3)
    assert rig.window.frame_bytes_waiting == 0


def test_frames_share_the_serial_line_with_messages(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.serial), dead_time_ticks=0, telemetry_ms=20)
    core.board.line_bytes_per_ms = 100
    rig.begin()
    rng = np.random.default_rng(6)
    expected = []
    for period, hits in enumerate([0, 1, 40, 700, 0, 31]):
        words = period_of(rng, hits, period)
        expected.append(words[:-1].tolist())
        rig.put(words)
    core.run_for(300)
    packets = core.packets()
    frames = [p for p in packets if int.from_bytes(p[:4], "little") == MAGIC]
    assert [open_frame(f)[1].tolist() for f in frames] == expected
    assert len(packets) > len(frames) + 10


def test_one_turn_puts_a_bounded_number_of_bytes_on_a_line_that_takes_all(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.serial), dead_time_ticks=0)
    rig.begin()
    rig.put(period_of(np.random.default_rng(11), 60_000, 0))
    sizes = []
    for _ in range(60):
        rig.poll()
        sizes.append(len(core.serial_out()))
    assert 0 < max(sizes) < 300_000
    assert sum(sizes) > 480_000
    assert sizes[-1] == 0


def test_a_slow_line_makes_hits_wait_and_drops_nothing(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.serial), dead_time_ticks=0)
    rig.begin()
    core.board.line_bytes_per_ms = 1
    rng = np.random.default_rng(7)
    for period in range(20):
        rig.put(period_of(rng, 60_000, period))
        core.run_for(100)
    report = rig.report()
    assert report["frames"] >= 14
    assert report["frames_dropped"] == 0
    assert rig.window.hits_waiting > 0


def test_a_line_that_takes_nothing_drops_frames_and_never_hangs(core: Any) -> None:
    rig = EventsRig(core, data_path=int(DataPath.serial), dead_time_ticks=0)
    core.board.line_bytes_per_ms = 1
    rig.begin()
    rng = np.random.default_rng(8)
    for period in range(30):
        rig.put(period_of(rng, 60_000, period))
        for _ in range(10):
            core.board.line_at += 300 * TICKS_PER_MS  # no time passes for the line
            rig.poll(300)
    report = rig.report()
    assert rig.window.hits_waiting == 0
    assert report["frames"] + report["frames_dropped"] == 30
    assert report["frames_dropped"] > 10
    assert books_close(report)


def test_the_identity_says_how_many_words_a_frame_can_hold(core: Any) -> None:
    rig = EventsRig(core)
    assert rig.lib.outbox_max_words() == 65536
    rig.begin()
    hits = np.full(65536 + 10, single(0), np.uint64)
    rig.module.run.dead_time.ticks = 0
    (frame,) = rig.feed(np.append(hits, np.uint64(mark(0))))
    header, words = open_frame(frame)
    assert (len(words), int(header["lost_events"])) == (65536, 10)
    assert len(frame) == HEADER_BYTES + 8 * 65536
    assert set((words >> np.uint64(KIND_SHIFT)).tolist()) == {1}
