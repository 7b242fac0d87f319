"""Pairs of ordered singles in one pass: exactly the sorter's prompts, whatever the energies."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.events import END_OF_TIME_PS, SINGLE
from coincidence.ordered import pair_ordered
from coincidence.sorter import CoincidenceSorter
from hw.messages.sort_settings import POLICIES, Policy, SortSettings

MODULE_OF = np.repeat(np.arange(4, dtype=np.uint16), 3)
ALLOWED = ~np.eye(4, dtype=np.bool_)
ALLOWED[1, 2] = ALLOWED[2, 1] = False


def settings_for(policy: Policy) -> SortSettings:
    return SortSettings(lld_keV=400, uld_keV=600, window_ps=10, delay_ps=0, policy=policy)


@given(
    steps=st.lists(st.integers(0, 25), max_size=80),
    energies=st.lists(st.sampled_from([3999, 4000, 5110, 6000, 6001, 0, 65535]), min_size=1),
    seed=st.integers(0, 99),
    policy=st.sampled_from(POLICIES),
)
def test_one_pass_finds_what_the_sorter_finds(steps, energies, seed, policy: Policy) -> None:
    singles = np.zeros(len(steps), dtype=SINGLE)
    singles["time_ps"] = np.cumsum(steps) if steps else []
    singles["crystal"] = np.random.default_rng(seed).integers(0, 12, len(steps))
    singles["energy"] = np.resize(energies, len(steps))
    singles = singles[np.lexsort((singles["crystal"], singles["time_ps"]))]
    accepted = singles[(singles["energy"] >= 4000) & (singles["energy"] <= 6000)]
    sorter = CoincidenceSorter(settings_for(policy), module_of=MODULE_OF, allowed_pairs=ALLOWED)
    expected = sorter.push(accepted, int(END_OF_TIME_PS)).prompts
    found = pair_ordered(singles, settings_for(policy), module_of=MODULE_OF, allowed_pairs=ALLOWED)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_singles_give_no_pairs(n: int) -> None:
    singles = np.zeros(n, dtype=SINGLE)
    found = pair_ordered(singles, settings_for("all"), module_of=MODULE_OF, allowed_pairs=ALLOWED)
    assert len(found) == 0


def test_a_burst_with_more_pairs_than_singles_is_complete() -> None:
    singles = np.zeros(12, dtype=SINGLE)
    singles["crystal"], singles["energy"] = np.arange(12), 5110
    found = pair_ordered(singles, settings_for("all"), module_of=MODULE_OF, allowed_pairs=ALLOWED)
    assert len(found) == 5 * 3 * 3  # of six module pairs one may not pair
