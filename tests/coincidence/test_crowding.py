"""More singles at once than any detector has: left out and counted, in time that is linear."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.pairs import MOST_NEAR
from coincidence.sorter import CoincidenceSorter, Sorted
from daq.folder.run_config import default_settings
from daq.path.pipeline import Pipeline
from hw.messages.sort_settings import POLICIES, SortSettings
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import MAX_EVENTS
from rigs.frames_factory import RUN_TAG, ModuleSender, single_words

TAU_PS, DELAY_PS, MODULES = 1000, 50_000, 4
LEFT_OUT = MOST_NEAR + 1


def sorter_of(policy: str = "all", **changes: object) -> CoincidenceSorter:
    values = {"window_ps": TAU_PS, "delay_ps": DELAY_PS, **changes}
    return CoincidenceSorter(
        SortSettings(lld_keV=0, uld_keV=1, policy=policy, **values),  # type: ignore[arg-type]
        module_of=np.arange(MODULES, dtype=np.uint16),
        allowed_pairs=~np.eye(MODULES, dtype=np.bool_),
    )


def singles_at(times: np.ndarray, *, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    singles = np.zeros(len(times), dtype=SINGLE)
    singles["time_ps"] = np.sort(times)
    singles["crystal"] = rng.integers(0, MODULES, len(times))
    singles["energy"] = rng.integers(1, 9, len(times))
    return singles


def sort(sorter: CoincidenceSorter, singles: np.ndarray) -> Sorted:
    return sorter.push(singles, int(END_OF_TIME_PS))


def crowded(singles: np.ndarray) -> np.ndarray:
    """Return which singles lie in any window of τ with more than MOST_NEAR others."""
    times = singles["time_ps"]
    found = np.zeros(len(times), np.bool_)
    for time in times:
        inside = (times >= time) & (times <= time + TAU_PS)
        if inside.sum() > MOST_NEAR:
            found |= inside
    return found


@pytest.mark.parametrize(("n", "left_out"), [(LEFT_OUT - 1, 0), (LEFT_OUT, LEFT_OUT)])
@pytest.mark.parametrize("spread_ps", [0, TAU_PS])
def test_the_bound_is_exact(n: int, left_out: int, spread_ps: int) -> None:
    sorter = sorter_of()
    found = sort(sorter, singles_at(np.linspace(0, spread_ps, n).astype(np.int64)))
    assert sorter.counts.crowded == left_out
    assert (len(found.prompts) > 0) == (left_out == 0)
    assert sorter.singles == n


@pytest.mark.parametrize("policy", POLICIES)
@given(data=st.data())
@settings(max_examples=8)
def test_what_is_left_out_is_as_if_it_had_not_been(policy: str, data: st.DataObject) -> None:
    """Crowds of about the bound, next to one another and to ordinary pairs, in any batches."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**16)))
    crowds = [
        at + rng.integers(0, width, rng.integers(200, 320))
        for at, width in ((0, 1), (5_000, 900), (6_500, 1500), (20_000, 3000))
    ]
    singles = singles_at(np.concatenate([*crowds, rng.integers(0, 40_000, 60)]))
    sorter = sorter_of(policy, delay_ps=0)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(singles)), max_size=4)))
    parts = []
    for begin, end in pairwise([0, *cuts, len(singles)]):
        last = end == len(singles)
        horizon = int(END_OF_TIME_PS if last else singles["time_ps"][end])
        parts.append(sorter.push(singles[begin:end], horizon).prompts)
    out = crowded(singles)
    expected = sort(sorter_of(policy, delay_ps=0), singles[~out]).prompts
    np.testing.assert_array_equal(np.concatenate(parts), expected)
    assert sorter.counts.crowded == out.sum()


@pytest.mark.parametrize("sides", ["one", "two"])
def test_a_delayed_window_beyond_measure_counts_for_nothing(sides: str) -> None:
    for later in (MOST_NEAR, LEFT_OUT):
        singles = np.zeros(2 + later, dtype=SINGLE)
        singles["time_ps"] = [0, 0] + [DELAY_PS] * later
        singles["crystal"] = [0, 0] + [1] * later
        sorter = sorter_of(delay_sides=sides)
        found = sort(sorter, singles)
        full = later == MOST_NEAR
        assert len(found.delayeds) == (2 * later if full else 0)
        assert sorter.counts.crowded_windows == (0 if full else 2)


def test_a_stuck_clock_neither_stops_the_run_nor_fills_the_memory() -> None:
    """Two longest frames with all words at one tick: 2·10⁹ pairs, 68 GB, were they made."""
    scanner = load_scanner("bench2")
    pipeline = Pipeline(
        scanner, build_geometry(scanner), default_settings(scanner), run_tag=RUN_TAG
    )
    stuck = single_words(np.full(MAX_EVENTS, 5), crystal=1)
    senders = [ModuleSender(m) for m in range(2)]
    pipeline.process([s.frame(stuck) for s in senders])
    pipeline.process([s.frame(single_words([1000]), last=True) for s in senders])
    pipeline.finish()
    counts = pipeline.counts
    assert (pipeline.sorter.singles, counts.crowded) == (2 * MAX_EVENTS + 2, 2 * MAX_EVENTS)
    assert (counts.prompts, counts.delayeds) == (1, 0)
