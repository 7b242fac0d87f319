"""Live time folded from frame headers equals a plain sum over a table of what came.

The reference knows every frame's fate beforehand and divides each period of each module among
live, dead, lost and stalled; it has no ring and no watermark of its own.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daq.path.live_time import (
    DEAD,
    LIVE,
    LOST,
    SHARES,
    STALLED,
    UNITS_PER_PERIOD,
    fold_periods,
    note_frames,
)
from hw.wire.protocol import FRAME_PERIOD_PS, HEADER_DTYPE

STALL_PERIODS = 6


def header(module: int, period: int, *, dead: int = 0, events: int = 0, lost: int = 0):
    """Return one header, (1,) HEADER_DTYPE."""
    one = np.zeros(1, HEADER_DTYPE)
    one["module"], one["frame_id"], one["dead_time"] = module, period, dead
    one["event_count"], one["lost_events"] = events, lost
    return one


class Folder:
    """The kernels' state, with a watermark after the law of docs/coincidence.md."""

    def __init__(self, modules: int) -> None:
        slots = STALL_PERIODS + 3
        self.ends = np.zeros(modules, np.int64)
        self.edges = np.zeros(2, np.int64)
        self.live, self.dead = np.zeros((slots, modules)), np.zeros((slots, modules))
        self.shares, self.pairs = np.zeros((modules, SHARES)), np.zeros((modules, modules))

    def note(self, headers: np.ndarray, watermarks: np.ndarray) -> None:
        note_frames(
            headers, watermarks, 10**9, self.ends, self.edges, self.live, self.dead, self.shares,
            self.pairs,
        )  # fmt: skip

    def finish(self) -> None:
        fold_periods(
            self.edges[1], self.ends, self.edges, self.live, self.dead, self.shares, self.pairs
        )


def watermarks_of(frames: list[np.ndarray], modules: int) -> np.ndarray:
    """Return the watermark before each frame and after the last, in ps: the smallest end over the
    modules that are at most STALL_PERIODS behind the newest; a stalled one rejoins at it."""
    ends, stalled, marks = [0] * modules, set(), [0]
    for frame in frames:
        m = int(frame["module"][0])
        ends[m] = max(ends[m], int(frame["frame_id"][0]) + 1)
        if ends[m] >= marks[-1]:
            stalled.discard(m)
        stalled |= {k for k in range(modules) if max(ends) - ends[k] > STALL_PERIODS}
        alive = [ends[k] for k in range(modules) if k not in stalled]
        marks.append(max(marks[-1], min(alive, default=max(ends))))
    return np.array(marks, dtype=np.int64) * FRAME_PERIOD_PS


@st.composite
def runs(draw: st.DrawFn) -> tuple[int, list[np.ndarray]]:
    """Draw frames of up to four modules: some missing, some modules silent for long, any lag."""
    modules = draw(st.integers(1, 4))
    frames, rng = [], np.random.default_rng(draw(st.integers(0, 10**6)))
    for m in range(modules):
        period, lag = 0, rng.integers(0, 3)
        for _ in range(draw(st.integers(0, 12))):
            period += int(rng.choice([1, 1, 1, 2, 3, 25]))
            events, lost = rng.integers(0, 50), rng.choice([0, 0, 10])
            dead = int(rng.choice([0, 1000, UNITS_PER_PERIOD // 2, 2 * UNITS_PER_PERIOD]))
            when = period + lag + rng.exponential(1.0)
            frames.append((when, header(m, period, dead=dead, events=events, lost=lost)))
    return modules, [frame for _, frame in sorted(frames, key=lambda item: item[0])]


def table_of(frames: list[np.ndarray], marks: np.ndarray, modules: int) -> tuple[np.ndarray, ...]:
    """Return (periods, modules) live and dead shares, lost share where no frame was usable."""
    newest = max((int(f["frame_id"][0]) + 1 for f in frames), default=0)
    live, dead, lost = (np.zeros((newest, modules)) for _ in range(3))
    came = np.zeros((newest, modules), dtype=bool)
    for k, frame in enumerate(frames):
        m, p = int(frame["module"][0]), int(frame["frame_id"][0])
        if (p + 1) * FRAME_PERIOD_PS <= marks[k]:
            continue
        d = min(1.0, float(frame["dead_time"][0]) * 5_000 / FRAME_PERIOD_PS)
        sent, gone = float(frame["event_count"][0]), float(frame["lost_events"][0])
        kept = sent / (sent + gone) if sent + gone else 1.0
        live[p, m], dead[p, m] = (1 - d) * kept, d
        came[p, m] = live[p, m] + d > 0
    lost[came] = (1 - live - dead)[came]
    return live, dead, lost, came


@given(run=runs(), cuts=st.lists(st.integers(0, 50), max_size=4))
@settings(max_examples=150)
def test_live_time_is_that_of_the_plain_table_however_batched(
    run: tuple[int, list[np.ndarray]], cuts: list[int]
) -> None:
    modules, frames = run
    marks = watermarks_of(frames, modules)
    folder, whole = Folder(modules), Folder(modules)
    edges = [0, *sorted(min(c, len(frames)) for c in cuts), len(frames)]
    empty = np.zeros(0, HEADER_DTYPE)
    for i, j in pairwise(edges):
        folder.note(np.concatenate([empty, *frames[i:j]]), marks[i : j + 1])
    whole.note(np.concatenate([empty, *frames]), marks)
    for each in (folder, whole):
        each.finish()
    np.testing.assert_array_equal(folder.shares, whole.shares)
    np.testing.assert_array_equal(folder.pairs, whole.pairs)
    live, dead, lost, came = table_of(frames, marks, modules)
    np.testing.assert_allclose(whole.shares[:, LIVE], live.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(whole.shares[:, DEAD], dead.sum(axis=0), atol=1e-9)
    np.testing.assert_allclose(whole.pairs, np.triu(live.T @ live, 1), atol=1e-9)
    gone = lost.sum(axis=0) + (~came).sum(axis=0)
    np.testing.assert_allclose(whole.shares[:, [LOST, STALLED]].sum(axis=1), gone, atol=1e-9)
    np.testing.assert_allclose(whole.shares.sum(axis=1), len(live), atol=1e-9)


def folded(frames: list[np.ndarray], modules: int) -> Folder:
    folder = Folder(modules)
    folder.note(np.concatenate(frames), watermarks_of(frames, modules))
    folder.finish()
    return folder


def test_a_lost_frame_is_lost_and_a_silent_module_stalled() -> None:
    frames = [header(0, p) for p in range(20)] + [header(1, p) for p in range(4)]
    frames.sort(key=lambda f: int(f["frame_id"][0]))
    del frames[4]  # period 2 of module 0
    shares = folded(frames, 2).shares
    assert shares[0].tolist() == [19, 0, 1, 0]
    assert shares[1].tolist() == [4, 0, 0, 16]


def test_a_late_frame_counts_as_lost() -> None:
    frames = [header(m, p) for p in range(5) for m in range(2)]
    late = frames.pop(2)  # period 1 of module 0, after the others: its singles are not used
    shares = folded([*frames, late], 2).shares
    assert shares[:, LIVE].tolist() == [4, 5]
    assert shares[:, LOST].tolist() == [1, 0]


def test_what_the_module_lost_in_its_queue_and_its_dead_time_lower_the_fraction() -> None:
    quarter = int(UNITS_PER_PERIOD / 4)
    shares = folded([header(0, 0, dead=quarter, events=30, lost=10)], 1).shares
    assert shares[0] == pytest.approx([0.75 * 0.75, 0.25, 0.75 * 0.25, 0])
    shares = folded([header(0, 0, dead=10**9, events=5)], 1).shares
    assert shares[0].tolist() == [0, 1, 0, 0]


def test_a_gap_of_days_folds_at_once() -> None:
    frames = [header(0, 0), header(1, 0), header(0, 400_000_000), header(1, 400_000_000)]
    found = folded(frames, 2)
    # Module 0 jumps and takes the watermark with it: module 1's frame of that period is late.
    assert found.shares[0].tolist() == [2, 0, 399_999_999, 0]
    assert found.shares[1, LIVE] == 1
    assert found.shares[1].sum() == 400_000_001
    assert found.pairs[0, 1] == 1


def test_a_frame_of_an_absurd_period_moves_nothing() -> None:
    folder = Folder(1)
    frames = np.concatenate([header(0, 0), header(0, 2**32 - 1)])
    folder.note(frames, np.array([0, 1, 1]) * FRAME_PERIOD_PS)
    folder.finish()
    assert folder.shares[0].tolist() == [1, 0, 0, 0]
