"""Dead time, order, periods and words against a slow digitizer that sees the whole run at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.detector.digitizer import COUNTS, DEAD, EMITTED, Digitizer, DigitizerTables
from emulator.detector.framing import Framer
from emulator.detector.response import HIT
from hw.wire.protocol import FRAME_PERIOD_PS
from oracles.emulation import PERIOD_PS, decode_frame, digitize_slowly

MODULES = 3
NEAR_EDGES = st.one_of(
    st.integers(0, 3 * PERIOD_PS - 1),
    st.builds(lambda k, d: max(0, k * PERIOD_PS + d), st.integers(0, 2), st.integers(-300, 300)),
    st.integers(0, 2000),
)
RUN_HITS = st.lists(
    st.tuples(
        NEAR_EDGES,
        st.integers(0, MODULES - 1),
        st.integers(0, 4095),
        st.integers(0, 16383),
        st.integers(0, 7),
    ),
    max_size=40,
)


def tables(dead_time_ps: int, *, paralysable: bool = False) -> DigitizerTables:
    """Return the tables of digitizers that integrate for no time at all."""
    return DigitizerTables(
        dead_time_ps=dead_time_ps,
        paralysable=paralysable,
        integration_ps=0,
        light_decay_ps=0.0,
        shared=False,
        row=64,
        queue_words=65_536,
    )


def frames_from(
    slices: list[np.ndarray], dead_time_ps: int, *, paralysable: bool = False
) -> tuple[list[list[bytes]], np.ndarray]:
    digitizer = Digitizer(MODULES, tables(dead_time_ps, paralysable=paralysable))
    framer = Framer(MODULES, run_tag=77)
    frames, totals = [], np.zeros((len(slices), MODULES, COUNTS), np.int64)
    for period, hits in enumerate(slices):
        assert digitizer.take(hits, period)
        totals[period] = digitizer.counts
        sealed = framer.seal(period, digitizer, last=period == len(slices) - 1)
        frames.append([bytes(frame) for frame in sealed])
    return frames, totals


def slices_of(hits: list[tuple[int, int, int, int, int]], late_ps: int) -> list[np.ndarray]:
    """Put hits into the slices of their decays, which are ``late_ps`` before."""
    slices: list[list[tuple[int, int, int, int, int]]] = [[], [], []]
    for time_ps, *rest in hits:
        k = min(2, max(0, time_ps - late_ps) // PERIOD_PS)
        slices[k].append((time_ps - k * PERIOD_PS, rest[0], rest[1], rest[2], rest[3]))
    return [np.array(part, HIT) for part in slices]


@given(
    hits=RUN_HITS,
    dead_time_ps=st.sampled_from([0, 5_000, 175_000, 1_000_000]),
    paralysable=st.booleans(),
)
def test_words_and_counts_agree_with_the_slow_digitizer(hits, dead_time_ps, paralysable):
    frames, totals = frames_from(
        slices_of(hits, late_ps=200), dead_time_ps, paralysable=paralysable
    )
    expected, dead = digitize_slowly(
        hits, modules=MODULES, dead_time_ps=dead_time_ps, periods=3, paralysable=paralysable
    )
    for period, by_module in enumerate(frames):
        for module, frame in enumerate(by_module):
            got = decode_frame(frame)
            words = [(e["time"], e["crystal"], e["energy"], e["doi"]) for e in got["events"]]
            assert [w[0] for w in words] == sorted(w[0] for w in words)
            # equal times keep the order in which the slices delivered them, not tested here
            assert sorted(words) == sorted(expected.get((period, module), []))
            assert got["dead_events"] == dead.get((period, module), 0)
            assert totals[period, module, EMITTED] == got["event_count"]


def distinct(hits: list[tuple[int, int, int, int, int]]) -> bool:
    return len({(h[0], h[1]) for h in hits}) == len(hits)


@given(hits=RUN_HITS.filter(distinct))
def test_division_into_slices_does_not_change_the_bytes(hits):
    late, later = (frames_from(slices_of(hits, late_ps=d), 175_000)[0] for d in (0, 250))
    assert late == later


def test_trigger_after_the_periods_end_goes_into_the_next_frame():
    at_edge = np.array([(FRAME_PERIOD_PS - 1, 0, 5, 100, 0), (FRAME_PERIOD_PS, 0, 6, 100, 0)], HIT)
    frames, _ = frames_from([at_edge, np.zeros(0, HIT)], 0)
    first, second = (decode_frame(by_module[0]) for by_module in frames)
    assert [e["crystal"] for e in first["events"]] == [5]
    assert [(e["crystal"], e["time"]) for e in second["events"]] == [(6, 0)]


def test_dead_time_reaches_across_the_frames_edge():
    before = np.array([(FRAME_PERIOD_PS - 1000, 0, 1, 100, 0)], HIT)
    after = np.array([(500, 0, 2, 100, 0), (200_000, 0, 3, 100, 0)], HIT)
    frames, totals = frames_from([before, after], 175_000)
    assert totals[1, 0].tolist()[:2] == [1, 1]
    assert [e["crystal"] for e in decode_frame(frames[1][0])["events"]] == [3]


def test_headers_count_what_the_frames_hold():
    random = np.random.default_rng(1)
    slices = []
    for _ in range(3):
        hits = np.zeros(200, HIT)
        hits["time_ps"] = np.sort(random.integers(0, FRAME_PERIOD_PS, 200))
        hits["module"] = random.integers(0, MODULES, 200)
        slices.append(hits)
    frames, _ = frames_from(slices, 175_000)
    for module in range(MODULES):
        before = 0
        for period in range(3):
            header = decode_frame(frames[period][module])
            assert header["module"] == module
            assert header["sequence"] == header["frame_id"] == period
            assert header["run_tag"] == 77
            assert header["events_before"] == before
            assert header["flags"] == {0: 1, 1: 0, 2: 2}[period]
            assert header["dead_time"] == 35 * header["event_count"]  # 175 ns in units of 5 ns
            before += header["event_count"]


def test_empty_frame_is_a_heartbeat_with_a_valid_checksum():
    frames, _ = frames_from([np.zeros(0, HIT)], 0)
    assert [decode_frame(frame)["event_count"] for frame in frames[0]] == [0, 0, 0]
    assert all(decode_frame(frame)["flags"] == 3 for frame in frames[0])


def poisson_slices(rate_per_s: float, periods: int) -> list[np.ndarray]:
    """Return triggers of module 0 at random times, slice by slice."""
    random = np.random.default_rng(3)
    n = random.poisson(rate_per_s * FRAME_PERIOD_PS * 1e-12 * periods)
    times = np.sort(random.integers(0, periods * FRAME_PERIOD_PS, n))
    hits = np.zeros(n, HIT)
    hits["time_ps"] = times % FRAME_PERIOD_PS
    return [hits[times // FRAME_PERIOD_PS == k] for k in range(periods)]


LAWS = {
    False: lambda n_t: 1 / (1 + n_t),  # non-paralysable
    True: lambda n_t: np.exp(-n_t),
}


@pytest.mark.parametrize("paralysable", [False, True])
@pytest.mark.parametrize("rate_per_s", [1e6, 4e6])
def test_recorded_rate_follows_the_law_of_its_dead_time(rate_per_s, paralysable):
    dead_time_ps = 175_000
    slices = poisson_slices(rate_per_s, 12)
    n = sum(map(len, slices))
    frames, totals = frames_from(slices, dead_time_ps, paralysable=paralysable)
    recorded, dead = totals[:, 0, EMITTED].sum(), totals[:, 0, DEAD].sum()
    assert recorded + dead == n
    expected = n * LAWS[paralysable](rate_per_s * dead_time_ps * 1e-12)
    assert recorded == pytest.approx(expected, rel=0.01)
    # of the time that the headers leave alive, every trigger is recorded
    dead_s = sum(decode_frame(by_module[0])["dead_time"] for by_module in frames) * 5e-9
    live_s = 12 * FRAME_PERIOD_PS * 1e-12 - dead_s
    assert recorded / live_s == pytest.approx(rate_per_s, rel=0.015)


def test_paralysable_dead_time_is_the_union_of_all_triggers_dead_times():
    times_ps = np.sort(np.random.default_rng(8).integers(0, 3_000_000, 40))
    hits = np.zeros(40, HIT)
    hits["time_ps"] = times_ps
    covered = np.zeros(4_000, bool)  # of ns
    for time_ns in times_ps // 1000:
        covered[time_ns : time_ns + 200] = True
    frames, totals = frames_from([hits], 200_000, paralysable=True)
    header = decode_frame(frames[0][0])
    assert 1 <= totals[0, 0, EMITTED] < 40
    assert header["dead_time"] * 5 == pytest.approx(covered.sum(), abs=45)


def test_dead_time_that_is_no_multiple_of_the_headers_unit_is_not_lost():
    hits = np.zeros(100, HIT)
    hits["time_ps"] = np.arange(100) * 1_000_000
    frames, _ = frames_from([hits, hits], 7_300)
    units = [decode_frame(by_module[0])["dead_time"] for by_module in frames]
    assert sum(units) == 2 * 100 * 7_300 // 5_000


def test_overflowing_energy_is_flagged():
    hits = np.array([(10, 0, 1, 16383, 0), (20, 0, 1, 16382, 0)], HIT)
    frames, _ = frames_from([hits], 0)
    assert [e["flags"] for e in decode_frame(frames[0][0])["events"]] == [2, 0]


def test_words_beyond_a_frames_capacity_are_counted_as_lost():
    hits = np.zeros(65_536 + 10, HIT)
    hits["time_ps"] = np.arange(len(hits)) * 10
    digitizer, framer = Digitizer(1, tables(0)), Framer(1, run_tag=0)
    assert digitizer.take(hits, 0)
    (frame,) = framer.seal(0, digitizer, last=False)
    header = decode_frame(bytes(frame))
    assert (header["event_count"], header["lost_events"]) == (65_536, 10)
    assert header["flags"] == 1 | 8
