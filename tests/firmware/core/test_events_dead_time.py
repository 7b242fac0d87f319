"""Dead time: the emulator's digitizer is the oracle for the module's, the reference for channels'.

The digitizer counts picoseconds and the firmware ticks: where all times are multiples of 32 ticks
(625 ps) the two are the same numbers, and not one word or counter may differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from emulator.detector.digitizer import DEAD, LOST, Digitizer, DigitizerTables
from emulator.detector.response import HIT
from hw.wire.protocol import FLAG_OVERFLOW, pack_words
from oracles.firmware_reference import PERIOD_TICKS, ReferenceRun, Settings
from oracles.frame_reader import open_frame
from rigs.firmware.events import WEATHER, EventsRig, mark, random_hits, single, words_of

pytestmark = pytest.mark.firmware

STEP_TICKS, STEP_PS = 32, 625
PERIODS = 6


def tables(dead_ticks: int, *, paralysable: bool, queue_words: int = 65536) -> DigitizerTables:
    """Return a digitizer of one module without integration, of so much dead time."""
    return DigitizerTables(
        dead_time_ps=dead_ticks // STEP_TICKS * STEP_PS,
        paralysable=paralysable,
        integration_ps=0,
        light_decay_ps=0.0,
        shared=False,
        row=64,
        queue_words=queue_words,
    )


def triggers(rng: np.random.Generator, count: int) -> npt.NDArray[np.void]:
    """Return triggers of one period in order of time, at multiples of STEP_PS; the last ones lie
    just before its end."""
    hits = np.zeros(count, HIT)
    steps = np.sort(rng.integers(0, PERIOD_TICKS // STEP_TICKS, count))
    steps[-2:] = PERIOD_TICKS // STEP_TICKS - np.array([9, 2])
    hits["time_ps"] = steps * STEP_PS
    hits["crystal"] = rng.integers(0, 4096, count)
    hits["energy"] = rng.integers(500, 16384, count)
    hits["doi"] = rng.integers(0, 8, count)
    return hits


def as_words(hits: npt.NDArray[np.void]) -> npt.NDArray[np.uint64]:
    """Return triggers as the detector queues them."""
    return pack_words(
        time_ticks=hits["time_ps"] // STEP_PS * STEP_TICKS,
        crystal=hits["crystal"],
        energy_dkeV=hits["energy"],
        doi=hits["doi"],
    )


@pytest.mark.parametrize("paralysable", [0, 1])
@pytest.mark.parametrize("dead_ticks", [0, 32, 8960, 320_000, 51_200_000])
@pytest.mark.parametrize("queue_words", [40, 65536])
def test_the_same_words_and_counters_as_the_emulators_digitizer(
    core: Any, paralysable: int, dead_ticks: int, queue_words: int
) -> None:
    rng = np.random.default_rng(dead_ticks + paralysable)
    shape = {"dead_time_ticks": dead_ticks, "paralysable": paralysable, "queue_words": queue_words}
    rig = EventsRig(core, None, **shape)
    rig.begin()
    how = tables(dead_ticks, paralysable=bool(paralysable), queue_words=queue_words)
    oracle = Digitizer(1, how)
    for period in range(PERIODS):
        hits = triggers(rng, 1500)
        assert oracle.take(hits, period)
        (frame,) = rig.feed(np.append(as_words(hits), np.uint64(mark(period))), [100, 1, 700])
        header, words = open_frame(frame)
        begin, end = oracle.first_word[:2]
        assert np.array_equal(words, oracle.words[begin + 8 : end])
        assert header["dead_events"] == oracle.counts[0, DEAD]
        assert header["lost_events"] == oracle.counts[0, LOST]
        assert bool(header["flags"] & FLAG_OVERFLOW) == bool(oracle.counts[0, LOST])
        assert header["dead_time"] == oracle.dead_units[0]


@pytest.mark.parametrize("paralysable", [0, 1])
def test_each_channel_has_a_dead_time_of_its_own(core: Any, paralysable: int) -> None:
    how = Settings(dead_time_ticks=40_000_000, dead_time_scope=1, paralysable=paralysable)
    expected = ReferenceRun(how, weather=WEATHER)
    rig = EventsRig(core, None, **how.registers())
    rig.begin()
    rng = np.random.default_rng(3)
    for period in range(40):
        hits = random_hits(rng, 400, crystal=rng.integers(0, 64, 400))
        words = np.append(hits, np.uint64(mark(period)))
        expected.take(words)
        assert rig.feed(words) == expected.frames[-1:]
    report = rig.report()
    assert report["dead"] > 2_000
    assert report["dead"] == expected.counts["dead"]


def test_two_channels_at_once_are_one_hit_of_the_module_and_two_of_channels(core: Any) -> None:
    for scope, words in ((0, 1), (1, 2)):
        rig = EventsRig(core, dead_time_scope=scope)
        rig.begin()
        (frame,) = rig.feed(words_of(single(100, 1), single(100, 2), mark(0)))
        assert open_frame(frame)[0]["event_count"] == words


def test_the_headers_dead_time_of_channels_is_their_mean(core: Any) -> None:
    rig = EventsRig(core, dead_time_scope=1, channels=100, dead_time_ticks=25_600)
    rig.begin()
    frames = rig.feed(words_of(*(single(0, c) for c in range(50)), mark(0), mark(1)))
    assert [int(open_frame(f)[0]["dead_time"]) for f in frames] == [50, 0]


def test_dead_time_below_a_unit_is_kept_for_later_frames(core: Any) -> None:
    rig = EventsRig(core, dead_time_ticks=100)
    rig.begin()
    frames = [rig.feed(words_of(single(0), mark(k)))[0] for k in range(256)]
    assert sum(int(open_frame(f)[0]["dead_time"]) for f in frames) == 100


@pytest.mark.parametrize("scope", [0, 1])
def test_dead_time_goes_on_across_the_periods_end(core: Any, scope: int) -> None:
    rig = EventsRig(core, dead_time_scope=scope)
    rig.begin()
    late = single(PERIOD_TICKS - 10)
    frames = rig.feed(words_of(late, mark(0), single(8949), single(8950), mark(1)))
    header, words = open_frame(frames[1])
    assert header["dead_events"] == 1
    assert words.tolist() == [single(8950)]


@pytest.mark.parametrize("dead_ticks", [1, 8960, 51_200_000])
def test_a_channel_long_silent_is_never_taken_for_dead(core: Any, dead_ticks: int) -> None:
    """32-bit times wrap after 16 periods: each channel is silent for another while around that."""
    rig = EventsRig(core, dead_time_scope=1, dead_time_ticks=dead_ticks)
    rig.begin()
    channels = [*range(0, 4096, 61), 4095]
    times = {c: int(t) for c, t in zip(channels, np.linspace(0, PERIOD_TICKS - 1, 69), strict=True)}
    silent = {c: 1 + k % 40 for k, c in enumerate(channels)}
    for period in range(82):
        due = [c for c in channels if period % silent[c] == 0]
        rig.feed(words_of(*(single(times[c], c) for c in due), mark(period)))
    report = rig.report()
    assert report["dead"] == 0
    assert report["words"] == sum(-(-82 // n) for n in silent.values())


@pytest.mark.parametrize("scope", [0, 1])
def test_a_missing_mark_does_not_make_the_next_periods_hits_dead(core: Any, scope: int) -> None:
    rig = EventsRig(core, dead_time_scope=scope)
    rig.begin()
    late = single(PERIOD_TICKS - 100)
    rig.feed(words_of(late, *(single(50 + 9000 * k) for k in range(20)), mark(1)))
    assert rig.report()["dead"] <= 1


def test_a_hit_that_comes_late_by_less_than_the_dead_time_is_dead(core: Any) -> None:
    rig = EventsRig(core)
    rig.begin()
    rig.feed(words_of(single(100_000), single(99_990), single(100_000 + 8960), mark(0)))
    assert (rig.report()["words"], rig.report()["dead"]) == (2, 1)


def test_a_new_run_begins_alive(core: Any) -> None:
    rig = EventsRig(core, dead_time_scope=1)
    for run_tag in (1, 2):
        rig.begin(run_tag, periods=1)
        rig.feed(words_of(single(1000 * run_tag, 4095), mark(0)))
        assert rig.report()["words"] == 1
