"""Every hit ends in one counter, and the host's own count of frames and words agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from daq.path.frame_check import FrameChecker, Verdict
from hw.wire.control import REGISTERS, RING, STRUCTS, WINDOW, Status
from hw.wire.protocol import FLAG_FIRST, FLAG_OVERFLOW
from oracles.firmware_reference import CHANNEL_OFF
from oracles.frame_reader import open_frame
from rigs.firmware.events import EventsRig, books_close, mark, random_hits, single, word, words_of

pytestmark = pytest.mark.firmware

RUN_TAG = 7


def run_of(rig: EventsRig, periods: int, hits: int, *, first: int = 0) -> list[bytes]:
    """Feed so many periods of random hits; return the frames."""
    rng = np.random.default_rng(hits + first)
    frames = []
    for period in range(first, first + periods):
        frames += rig.feed(np.append(random_hits(rng, hits), np.uint64(mark(period))), [7, 90])
    return frames


def telemetry(rig: EventsRig) -> dict[str, int]:
    """Return the fields of telemetry that runs fill."""
    made = rig.core.ffi.new("struct tomoshibi_telemetry *")
    rig.lib.run_telemetry(rig.module, made)
    rig.lib.outbox_telemetry(rig.module, made)
    row = np.frombuffer(bytes(rig.core.ffi.buffer(made)), STRUCTS["telemetry"])[0]
    return {name: int(row[name]) for name in row.dtype.names}


@pytest.mark.parametrize("scope", [0, 1])
@pytest.mark.parametrize("paralysable", [0, 1])
def test_the_daq_accepts_all_frames_and_counts_what_the_report_says(
    core: Any, scope: int, paralysable: int
) -> None:
    gains = {3: CHANNEL_OFF, 4: 20_000, 5: 0}
    shape = {"dead_time_scope": scope, "paralysable": paralysable, "channels": 4000}
    rig = EventsRig(core, gains, queue_words=2500, dead_time_ticks=60_000, **shape)
    rig.begin(RUN_TAG)
    frames = run_of(rig, 40, 4000)
    checker = FrameChecker(n_modules=1, run_tag=RUN_TAG)
    checker.check(frames)
    assert checker.verdicts[Verdict.ACCEPTED] == len(frames) == 40
    link, report = checker.links[0], rig.report()
    assert books_close(report)
    assert report["hits"] == 160_000
    assert link["words_received"] == report["words"]
    assert link["dead_events"] == report["dead"] > 0
    assert link["lost_in_module"] == report["lost"]
    assert (report["lost"] > 0) == bool(scope)
    assert report["masked"] > 0
    assert report["invalid"] > 0
    assert (link["lost"], link["words_lost"], link["resets"], link["slips"]) == (0, 0, 0, 0)


def test_frames_lost_on_the_way_are_known_exactly(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin(RUN_TAG)
    frames = run_of(rig, 20, 300)
    gone = frames[3:7] + frames[11:12]
    checker = FrameChecker(n_modules=1, run_tag=RUN_TAG)
    checker.check([f for f in frames if f not in gone])
    assert checker.links[0]["lost"] == 5
    assert checker.links[0]["words_lost"] == sum(len(open_frame(f)[1]) for f in gone)


def test_a_module_that_joins_again_in_mid_run_is_followed(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin(RUN_TAG)
    before = run_of(rig, 10, 300)
    rig.put(words_of(single(0), single(10_000)))
    rig = EventsRig(core)
    rig.put(words_of(single(20_000), mark(10)))
    rig.poll()
    rig.put(words_of(single(30_000), single(40_000)))
    rig.begin(RUN_TAG, first_sequence=11)
    after = run_of(rig, 5, 300, first=11)
    assert int(open_frame(after[0])[0]["flags"]) & FLAG_FIRST
    assert rig.report()["discarded"] == 5
    checker = FrameChecker(n_modules=1, run_tag=RUN_TAG)
    checker.check(before + after)
    link = checker.links[0]
    assert (link["received"], link["resets"], link["lost"]) == (15, 1, 0)
    assert link["words_received"] == sum(len(open_frame(f)[1]) for f in before + after)


def test_the_books_close_at_any_moment(core: Any) -> None:
    rig = EventsRig(core, {1: CHANNEL_OFF}, queue_words=20, channels=3000)
    rig.begin()
    words = np.append(random_hits(np.random.default_rng(1), 500), np.uint64(mark(0)))
    for part in np.array_split(np.tile(words, 3), 100):
        rig.put(part)
        rig.poll()
        assert books_close(rig.report())


def test_what_finds_the_frame_full_is_lost_and_flagged(core: Any) -> None:
    rig = EventsRig(core, queue_words=3)
    rig.begin()
    frames = rig.feed(words_of(*(single(9000 * k) for k in range(5)), mark(0), mark(1)))
    headers = [open_frame(f)[0] for f in frames]
    assert [int(h["lost_events"]) for h in headers] == [2, 0]
    assert [bool(h["flags"] & FLAG_OVERFLOW) for h in headers] == [True, False]
    assert [int(h["dead_time"]) for h in headers] == [5 * 8960 // 256, 0]


def test_an_angle_word_that_finds_the_frame_full_is_a_lost_hit(core: Any) -> None:
    rig = EventsRig(core, queue_words=1)
    rig.begin()
    rig.feed(words_of(single(0), word("angle", crystal=1), mark(0)))
    report = rig.report()
    assert (report["hits"], report["words"], report["lost"]) == (2, 1, 1)


def test_what_the_detector_lost_is_in_the_next_frame(core: Any) -> None:
    rig = EventsRig(core)
    rig.window.count_lost(5)
    rig.begin()
    assert rig.report()["discarded"] == 5
    rig.feed(words_of(single(0)))
    rig.window.count_lost(0xFFFFFFFF)
    rig.window.count_lost(4)
    (frame,) = rig.feed(words_of(mark(0)))
    header, _ = open_frame(frame)
    assert (int(header["lost_events"]), bool(header["flags"] & FLAG_OVERFLOW)) == (3, True)
    assert (rig.report()["lost"], rig.report()["hits"]) == (3, 4)


def test_words_that_cannot_be_are_invalid(core: Any) -> None:
    rig = EventsRig(core, channels=100)
    rig.begin()
    odd = [word(kind, crystal=1, energy=5110) for kind in (0, 5, 6, 7)]
    rig.feed(words_of(*odd, single(0, 100), single(0, 99), mark(0)))
    assert (rig.report()["invalid"], rig.report()["words"]) == (5, 1)


def test_hits_outside_of_a_run_are_discarded_and_counted_in_the_books_of_the_run_before(
    core: Any,
) -> None:
    rig = EventsRig(core)
    rig.feed(words_of(single(0), mark(3), single(0)))
    rig.begin(1, periods=1)
    rig.feed(words_of(single(0), mark(0), single(1), single(2), mark(1)))
    assert (rig.report()["discarded"], rig.report()["hits"]) == (4, 1)
    rig.put(words_of(single(0), mark(2)))
    rig.begin(2, periods=1)
    assert rig.window.hits_waiting == 0
    rig.feed(words_of(mark(0), single(0)))
    assert (rig.report()["discarded"], rig.report()["hits"]) == (1, 0)
    assert rig.window.hits_discarded == 9


def test_a_run_begins_with_an_empty_queue_wherever_it_lies_in_its_memory(core: Any) -> None:
    rig = EventsRig(core)
    ring = rig.window.bytes[WINDOW["hit_ring"] :][:4096].view(np.uint32)
    ring[[RING["head"] // 4, RING["tail"] // 4]] = WINDOW["hit_words"] - 3
    rig.put([single(0)] * 8)
    rig.begin()
    assert rig.window.hits_waiting == 0
    assert rig.report()["discarded"] == 8


def test_telemetry_counts_over_all_runs(core: Any) -> None:
    rig = EventsRig(core)
    for run_tag in (1, 2):
        rig.begin(run_tag, periods=2)
        rig.feed(words_of(single(0), single(1, energy=0), mark(4), mark(6)))
    told = telemetry(rig)
    assert (told["hits"], told["words"], told["frames"], told["period"]) == (4, 2, 4, 6)
    assert (told["marks_missed"], told["lock"], told["queue_bytes"]) == (2, 0, 0)


# --- gains -----------------------------------------------------------------------------------


def test_gains_are_read_as_written_and_their_checksum_is_a_register(core: Any) -> None:
    rig = EventsRig(core)
    plain = rig.lib.channels_checksum(rig.module)
    assert plain == rig.lib.crc32c(0, np.full(4096, 16384, "<u2").tobytes(), 8192)
    gains = np.arange(10, 510, dtype="<u2")
    assert rig.set_gains(3, gains.tolist()) == Status.ok
    read = core.ffi.new("uint8_t[]", 1000)
    assert rig.lib.channels_read(rig.module, 3, 500, read) == Status.ok
    assert bytes(read) == gains.tobytes()
    checksum = rig.lib.channels_checksum(rig.module)
    assert checksum != plain
    index = list(REGISTERS).index("channels_checksum")
    assert rig.lib.register_get(rig.module, index) & 0xFFFFFFFF == checksum


@pytest.mark.parametrize(("first", "count"), [(4096, 1), (4095, 2), (0, 4097), (0xFFFFFFFF, 2)])
def test_gains_of_channels_that_do_not_exist_are_refused(core: Any, first: int, count: int) -> None:
    rig = EventsRig(core)
    raw = bytes(2 * count)
    assert rig.lib.channels_write(rig.module, first, count, raw) == Status.bad_value
    assert rig.lib.channels_read(rig.module, first, count, core.ffi.new("uint8_t[9000]")) == (
        Status.bad_value
    )


def test_new_gains_begin_a_new_epoch(core: Any) -> None:
    rig = EventsRig(core)
    before = rig.lib.bias_epoch(rig.module)
    rig.lib.channels_write(rig.module, 0, 1, bytes(2))
    assert rig.lib.bias_epoch(rig.module) == before + 1
