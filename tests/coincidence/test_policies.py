"""The truth tables of docs/coincidence.md: what each policy keeps of each kind of multiple."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import END_OF_TIME_PS, FLAG_DELAYED, FLAG_MULTIPLE, SINGLE
from coincidence.sorter import CoincidenceSorter
from hw.messages.sort_settings import SortSettings

TAU_PS = 1000
DELAY_PS = 50_000

# Singles as (letter, time, module, energy); crystal = module × 10.
PAIR = [("A", 0, 0, 5110), ("B", 400, 1, 5110)]
TRIPLE = [("A", 0, 0, 4000), ("B", 400, 1, 5000), ("C", 800, 2, 6000)]
CHAIN = [("A", 0, 0, 4000), ("B", 900, 1, 5000), ("C", 1800, 2, 6000)]
SAME_MODULE = [("A", 0, 0, 4000), ("B", 400, 0, 5000), ("C", 800, 2, 6000)]
TWO_PAIRS_APART = [("A", 0, 0, 4000), ("B", 400, 1, 5000), ("C", 1900, 0, 6000), ("D", 2300, 1, 5)]
ONE_MODULE = [("A", 0, 0, 4000), ("B", 400, 0, 5000), ("C", 800, 0, 6000)]
QUADRUPLE = [("A", 0, 0, 1), ("B", 1, 1, 1), ("C", 2, 2, 9), ("D", 3, 3, 9)]

TABLE = [
    # group, policy, kept pairs, multiples
    (PAIR, "all", "AB", 0),
    (PAIR, "discard", "AB", 0),
    (PAIR, "highest", "AB", 0),
    (PAIR, "opener", "AB", 0),
    (TRIPLE, "all", "AB AC BC", 1),
    (TRIPLE, "discard", "", 1),
    (TRIPLE, "highest", "BC", 1),
    (TRIPLE, "opener", "AB", 1),
    (CHAIN, "all", "AB BC", 1),
    (CHAIN, "discard", "", 1),
    (CHAIN, "highest", "BC", 1),
    (CHAIN, "opener", "AB", 1),
    (SAME_MODULE, "all", "AC BC", 1),
    (SAME_MODULE, "discard", "", 1),
    (SAME_MODULE, "highest", "BC", 1),
    (SAME_MODULE, "opener", "AC", 1),
    (ONE_MODULE, "all", "", 0),
    (ONE_MODULE, "opener", "", 0),
    (QUADRUPLE, "all", "AB AC AD BC BD CD", 1),
    (QUADRUPLE, "discard", "", 1),
    (QUADRUPLE, "highest", "CD", 1),
    (QUADRUPLE, "opener", "AB", 1),
    (TWO_PAIRS_APART, "all", "AB CD", 0),
    (TWO_PAIRS_APART, "discard", "AB CD", 0),
]


def sort(group, policy: str = "all", **changes: int):
    values = {"lld_keV": 0, "uld_keV": 1, "window_ps": TAU_PS, "delay_ps": DELAY_PS, **changes}
    module_of = (np.arange(40) // 10).astype(np.uint16)
    sorter = CoincidenceSorter(
        SortSettings(policy=policy, **values),
        module_of=module_of,
        allowed_pairs=~np.eye(4, dtype=np.bool_),
    )
    singles = np.zeros(len(group), dtype=SINGLE)
    for row, (_, time, module, energy) in zip(singles, group, strict=True):
        row["time_ps"], row["crystal"], row["energy"] = time, module * 10, energy
    found = sorter.push(singles, int(END_OF_TIME_PS))
    return found.prompts, found.delayeds, sorter.counts


@pytest.mark.parametrize(("group", "policy", "kept", "multiples"), TABLE)
def test_truth_table(group, policy: str, kept: str, multiples: int) -> None:
    prompts, _, counts = sort(group, policy)
    name = {(time, energy): letter for letter, time, _, energy in group}
    pairs = []
    for p in prompts:
        early, late = p["time_ps"], p["time_ps"] + abs(int(p["tof_ps"]))
        a_first = p["tof_ps"] >= 0
        energies = (p["energy_a"], p["energy_b"]) if a_first else (p["energy_b"], p["energy_a"])
        pairs.append(name[early, energies[0]] + name[late, energies[1]])
    assert pairs == kept.split()
    assert counts.multiples == multiples


@pytest.mark.parametrize("policy", ["all", "highest", "opener"])
def test_only_pairs_of_a_multiple_carry_its_flag(policy: str) -> None:
    assert set(sort(TRIPLE, policy)[0]["flags"].tolist()) == {FLAG_MULTIPLE}
    assert sort(PAIR, policy)[0]["flags"].tolist() == [0]


def test_of_equal_energies_the_earliest_pair_is_kept() -> None:
    level = [("A", 0, 0, 5000), ("B", 400, 1, 5000), ("C", 800, 2, 5000)]
    prompts = sort(level, "highest")[0]
    assert [(p["crystal_a"], p["crystal_b"]) for p in prompts] == [(0, 10)]


@pytest.mark.parametrize(("dt", "is_prompt"), [(TAU_PS - 1, 1), (TAU_PS, 1), (TAU_PS + 1, 0)])
def test_the_prompt_window_includes_its_edge(dt: int, is_prompt: int) -> None:
    prompts = sort([("A", 7, 0, 1), ("B", 7 + dt, 1, 2)])[0]
    assert len(prompts) == is_prompt


@pytest.mark.parametrize(
    ("dt", "is_delayed"),
    [
        (DELAY_PS - 1, 0),
        (DELAY_PS, 1),
        (DELAY_PS + TAU_PS, 1),
        (DELAY_PS + TAU_PS + 1, 0),
        (DELAY_PS - TAU_PS, 0),
    ],
)
def test_the_delayed_window_is_one_sided_and_includes_its_edges(dt: int, is_delayed: int) -> None:
    delayeds = sort([("A", 0, 0, 1), ("B", dt, 1, 2)])[1]
    assert len(delayeds) == is_delayed


def test_no_delay_means_no_delayeds() -> None:
    group = [("A", 0, 0, 1), ("B", 0, 1, 1), ("C", DELAY_PS, 1, 2)]
    assert len(sort(group, delay_ps=0)[1]) == 0


def test_a_delayed_carries_its_flag_and_a_tof_without_the_delay() -> None:
    forward = sort([("A", 0, 0, 1), ("B", DELAY_PS + 300, 1, 2)])[1][0]
    backward = sort([("A", 0, 1, 1), ("B", DELAY_PS + 300, 0, 2)])[1][0]
    assert (forward["tof_ps"], backward["tof_ps"]) == (300, -300)
    assert forward["flags"] == backward["flags"] == FLAG_DELAYED
    assert forward["time_ps"] == backward["time_ps"] == 0
    assert (backward["crystal_a"], backward["energy_a"]) == (0, 2)


def test_tof_is_positive_where_the_lower_crystal_saw_its_photon_first() -> None:
    assert sort([("A", 0, 0, 1), ("B", 250, 1, 2)])[0]["tof_ps"].tolist() == [250]
    assert sort([("A", 0, 1, 1), ("B", 250, 0, 2)])[0]["tof_ps"].tolist() == [-250]


def test_a_source_nearer_to_a_gives_a_positive_tof() -> None:
    """Light goes 0.2998 mm/ps: 60 mm from the middle towards a is 2 × 60 / c = 400 ps."""
    to_a_mm, to_b_mm = 140.0, 260.0
    arrive_a, arrive_b = (round(mm / 0.299792458) for mm in (to_a_mm, to_b_mm))
    tof = sort([("A", arrive_a, 0, 1), ("B", arrive_b, 1, 1)])[0]["tof_ps"][0]
    assert tof == pytest.approx(400, abs=2)
