"""The sorter equals two independent slow references on arbitrary streams, to the bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from coincidence_reference import (
    Case,
    brute_force,
    brute_force_delayeds,
    records,
    sliding_list,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import coincidence.sorter as sorter_module
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.sorter import CoincidenceSorter
from hw.settings import POLICIES, SortSettings

MODULES = 4


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Streams with many ties, identical crystals and pairs on the edges of all windows."""
    window = draw(st.integers(1, 12))
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 2, window, window + 1, 40]), max_size=45))
    n = len(gaps)
    times = list(np.cumsum([0, *gaps])[:n].tolist())
    crystal = st.integers(0, 2 * MODULES - 1)
    some = st.sets(st.tuples(st.integers(0, MODULES - 1), st.integers(0, MODULES - 1)), max_size=9)
    everything = {(a, b) for a in range(MODULES) for b in range(MODULES) if a != b}
    chosen = draw(st.one_of(st.just(everything), some))
    return Case(
        times=times,
        crystals=draw(st.lists(crystal, min_size=n, max_size=n)),
        energies=draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)),
        window=window,
        delay=draw(st.integers(2 * window + 1, 60)),
        allowed=frozenset(chosen | {(b, a) for a, b in chosen}),
    )


def sorter_for(case: Case, policy: str) -> CoincidenceSorter:
    sort_settings = SortSettings(
        lld_keV=0, uld_keV=1, window_ps=case.window, delay_ps=case.delay, policy=policy
    )
    module_of = (np.arange(2 * MODULES) // 2).astype(np.uint16)
    allowed = case.allowed_matrix(MODULES)
    return CoincidenceSorter(sort_settings, module_of=module_of, allowed_pairs=allowed)


def sort_at_once(case: Case, policy: str) -> tuple[np.ndarray, np.ndarray, int]:
    sorter = sorter_for(case, policy)
    prompts, delayeds = sorter.push(case.singles(), int(END_OF_TIME_PS))
    assert sorter.counts.singles == len(case.times)
    assert (sorter.counts.prompts, sorter.counts.delayeds) == (len(prompts), len(delayeds))
    return prompts, delayeds, sorter.counts.multiples


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reference", [brute_force, sliding_list])
@given(case=cases())
@settings(max_examples=120)
def test_prompts_equal_the_reference(reference, policy, case: Case) -> None:
    prompts, _, multiples = sort_at_once(case, policy)
    pairs, multiple, expected_multiples = reference(case, policy)
    np.testing.assert_array_equal(prompts, records(case, pairs, multiple=multiple, delay=0))
    assert multiples == expected_multiples


@given(case=cases(), policy=st.sampled_from(POLICIES))
@settings(max_examples=200)
def test_delayeds_equal_all_pairs_in_the_one_sided_window(case: Case, policy: str) -> None:
    _, delayeds, _ = sort_at_once(case, policy)
    expected = records(case, brute_force_delayeds(case), multiple=set(), delay=case.delay)
    np.testing.assert_array_equal(delayeds, expected)


@given(case=cases(), policy=st.sampled_from(POLICIES), data=st.data())
@settings(max_examples=200)
def test_any_batching_and_any_horizons_give_the_same_bits(case: Case, policy: str, data) -> None:
    n = len(case.times)
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=8)))
    sorter = sorter_for(case, policy)
    parts = []
    singles = case.singles()
    for begin, end in pairwise([0, *cuts, n]):
        latest = case.times[end] if end < n else 10_000
        horizon = latest - data.draw(st.integers(0, 30))
        parts.append(sorter.push(singles[begin:end], horizon))
    parts.append(sorter.finish())
    prompts, delayeds, multiples = sort_at_once(case, policy)
    np.testing.assert_array_equal(np.concatenate([p for p, _ in parts]), prompts)
    np.testing.assert_array_equal(np.concatenate([d for _, d in parts]), delayeds)
    assert sorter.counts.multiples == multiples


@given(case=cases(), policy=st.sampled_from(POLICIES), room=st.integers(1, 3))
@settings(max_examples=60)
def test_output_that_outgrows_its_room_is_the_same(case: Case, policy: str, room: int) -> None:
    roomy = sort_at_once(case, policy)
    usual = sorter_module._INITIAL_ROOM
    try:
        sorter_module._INITIAL_ROOM = room
        tight = sort_at_once(case, policy)
    finally:
        sorter_module._INITIAL_ROOM = usual
    np.testing.assert_array_equal(tight[0], roomy[0])
    np.testing.assert_array_equal(tight[1], roomy[1])
    assert tight[2] == roomy[2]


def test_a_long_dense_group_takes_only_the_room_of_its_good_pairs() -> None:
    n = 20_000  # all pairs of the group would be 200 M records, 6 GB
    case = Case(
        list(range(n)), [k % 4 for k in range(n)], [1] * n, 1, 5, frozenset({(0, 1), (1, 0)})
    )
    sorter = sorter_for(case, "all")
    prompts, _ = sorter.push(case.singles(), int(END_OF_TIME_PS))
    expected = sum(case.may_pair(k, k + 1) for k in range(n - 1))
    assert len(prompts) == expected
    assert sorter._room <= 2**15


def test_nothing_in_gives_nothing_out_at_any_horizon() -> None:
    case = Case([], [], [], 5, 20, frozenset())
    sorter = sorter_for(case, "all")
    for horizon in (0, 100, int(END_OF_TIME_PS)):
        prompts, delayeds = sorter.push(np.empty(0, dtype=SINGLE), horizon)
        assert (len(prompts), len(delayeds)) == (0, 0)


def test_a_single_that_could_still_find_a_partner_is_not_resolved_early() -> None:
    both = frozenset({(0, 1), (1, 0)})
    case = Case([100, 105], [0, 2], [1, 1], 5, 20, both)
    sorter = sorter_for(case, "all")
    singles = case.singles()
    assert len(sorter.push(singles[:1], 105)[0]) == 0  # 105 itself may still come: Δt = τ
    assert len(sorter.push(singles[1:], 106)[0]) == 0  # and a third single could make it a multiple
    assert len(sorter.push(singles[:0], 111)[0]) == 1


def test_a_delayed_window_that_could_still_fill_is_not_closed_early() -> None:
    case = Case([100, 125], [0, 2], [1, 1], 5, 20, frozenset({(0, 1), (1, 0)}))
    sorter = sorter_for(case, "all")
    singles = case.singles()
    assert len(sorter.push(singles[:1], 125)[1]) == 0  # 125 itself may still come: Δt = D + τ
    assert len(sorter.push(singles[1:], 126)[1]) == 1
