"""The sorter equals two independent slow references on arbitrary streams, to the bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import coincidence.sorter as sorter_module
from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.sorter import CoincidenceSorter, Sorted
from hw.messages.sort_settings import POLICIES, SortSettings
from oracles.coincidence_reference import (
    Case,
    brute_force,
    brute_force_delayeds,
    brute_force_triples,
    delayed_records,
    prompt_records,
    sliding_list,
)
from oracles.gate_policies_reference import is_gates

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
        windows=draw(st.integers(1, 4)),
        two_sided=draw(st.booleans()),
    )


def without_own_module(case: Case) -> Case:
    """Return the case with no module paired with itself, which GATE knows nothing of."""
    return replace(case, allowed=frozenset((a, b) for a, b in case.allowed if a != b))


def sorter_for(case: Case, policy: str, *, triples: bool = True) -> CoincidenceSorter:
    sort_settings = SortSettings(
        lld_keV=0,
        uld_keV=1,
        window_ps=case.window,
        delay_ps=case.delay,
        delay_windows=case.windows,
        delay_sides="two" if case.two_sided else "one",
        policy=policy,
        triples=triples,
    )
    module_of = (np.arange(2 * MODULES) // 2).astype(np.uint16)
    allowed = case.allowed_matrix(MODULES)
    return CoincidenceSorter(sort_settings, module_of=module_of, allowed_pairs=allowed)


def sort_at_once(case: Case, policy: str) -> tuple[Sorted, CoincidenceSorter]:
    sorter = sorter_for(case, policy)
    found = sorter.push(case.singles(), int(END_OF_TIME_PS))
    counts = sorter.counts
    assert sorter.singles == len(case.times)
    assert (counts.prompts, counts.delayeds) == (len(found.prompts), len(found.delayeds))
    assert counts.triples == len(found.triples)
    return found, sorter


def assert_same(one: Sorted, other: Sorted) -> None:
    for name in ("prompts", "delayeds", "triples"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reference", [brute_force, sliding_list])
@given(case=cases())
@settings(max_examples=80)
def test_prompts_equal_the_reference(reference, policy, case: Case) -> None:
    if is_gates(policy):
        case = without_own_module(case)
    found, sorter = sort_at_once(case, policy)
    pairs, multiple, multiples = reference(case, policy)
    np.testing.assert_array_equal(found.prompts, prompt_records(case, pairs, multiple=multiple))
    assert sorter.counts.multiples == multiples


@given(case=cases(), policy=st.sampled_from(POLICIES))
@settings(max_examples=300)
def test_delayeds_equal_all_pairs_in_the_delayed_windows(case: Case, policy: str) -> None:
    found, _ = sort_at_once(case, policy)
    expected = delayed_records(case, brute_force_delayeds(case))
    np.testing.assert_array_equal(found.delayeds, expected)


@given(case=cases(), policy=st.sampled_from(POLICIES))
@settings(max_examples=200)
def test_triples_equal_the_clusters_of_three_whatever_the_policy(case: Case, policy: str) -> None:
    found, _ = sort_at_once(case, policy)
    np.testing.assert_array_equal(found.triples, brute_force_triples(case))


@given(case=cases(), policy=st.sampled_from(POLICIES))
@settings(max_examples=50)
def test_triples_are_counted_where_they_are_not_stored(case: Case, policy: str) -> None:
    stored, storing = sort_at_once(case, policy)
    sorter = sorter_for(case, policy, triples=False)
    found = sorter.push(case.singles(), int(END_OF_TIME_PS))
    assert len(found.triples) == 0
    assert sorter.counts.triples == storing.counts.triples == len(stored.triples)


@given(case=cases(), policy=st.sampled_from(POLICIES), data=st.data())
@settings(max_examples=300)
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
    whole, at_once = sort_at_once(case, policy)
    for name in ("prompts", "delayeds", "triples"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)
    assert sorter.counts == at_once.counts


@given(case=cases(), policy=st.sampled_from(POLICIES), room=st.integers(1, 3))
@settings(max_examples=100)
def test_output_that_outgrows_its_room_is_the_same(case: Case, policy: str, room: int) -> None:
    roomy, _ = sort_at_once(case, policy)
    usual = sorter_module._INITIAL_ROOM
    try:
        sorter_module._INITIAL_ROOM = room
        tight, _ = sort_at_once(case, policy)
    finally:
        sorter_module._INITIAL_ROOM = usual
    assert_same(tight, roomy)


def test_a_long_dense_group_takes_only_the_room_of_its_good_pairs() -> None:
    n = 20_000  # all pairs of the group would be 200 M records, 6 GB
    case = Case(
        list(range(n)), [k % 4 for k in range(n)], [1] * n, 1, 5, frozenset({(0, 1), (1, 0)})
    )
    sorter = sorter_for(case, "all")
    prompts = sorter.push(case.singles(), int(END_OF_TIME_PS)).prompts
    expected = sum(case.may_pair(k, k + 1) for k in range(n - 1))
    assert len(prompts) == expected
    assert len(sorter._room) <= 2**15


def test_nothing_in_gives_nothing_out_at_any_horizon() -> None:
    case = Case([], [], [], 5, 20, frozenset())
    sorter = sorter_for(case, "all")
    for horizon in (0, 100, int(END_OF_TIME_PS)):
        found = sorter.push(np.empty(0, dtype=SINGLE), horizon)
        assert (len(found.prompts), len(found.delayeds), len(found.triples)) == (0, 0, 0)


def test_a_single_that_could_still_find_a_partner_is_not_resolved_early() -> None:
    both = frozenset({(0, 1), (1, 0)})
    case = Case([100, 105], [0, 2], [1, 1], 5, 20, both)
    sorter = sorter_for(case, "all")
    singles = case.singles()
    # 105 itself may still come: Δt = τ
    assert len(sorter.push(singles[:1], 105).prompts) == 0
    # and a third single could make it a multiple
    assert len(sorter.push(singles[1:], 106).prompts) == 0
    assert len(sorter.push(singles[:0], 111).prompts) == 1


@pytest.mark.parametrize(("windows", "last"), [(1, 125), (3, 165)])
def test_a_delayed_window_that_could_still_fill_is_not_closed_early(windows, last) -> None:
    both = frozenset({(0, 1), (1, 0)})
    case = Case([100, last], [0, 2], [1, 1], 5, 20, both, windows=windows)
    sorter = sorter_for(case, "all")
    singles = case.singles()
    # the last instant of the last window may still come: Δt = W·D + τ
    assert len(sorter.push(singles[:1], last).delayeds) == 0
    assert sorter.push(singles[1:], last + 1).delayeds["window"].tolist() == [windows - 1]
