"""The tables of docs/coincidence.md, which is law, are what the sorter and the references do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from coincidence.events import COINCIDENCE, END_OF_TIME_PS, SINGLE, TRIPLE
from coincidence.pairs import MOST_NEAR
from coincidence.sorter import CoincidenceSorter
from hw.messages.sort_settings import POLICIES, SortSettings
from oracles.coincidence_reference import Case, brute_force, sliding_list

PAGE = (Path(__file__).parents[2] / "docs" / "coincidence.md").read_text(encoding="utf-8")
TAU_PS, SECTORS = 1000, 8

# The drawn examples: (module, time, energy) of A, B, C, D. Sectors two apart at least may pair.
EXAMPLES = {
    "pair": [(0, 0, 1), (4, 400, 2)],
    "triple": [(0, 0, 1), (3, 400, 2), (6, 800, 3)],
    "chain": [(0, 0, 1), (3, 900, 2), (6, 1800, 3)],
    "same module": [(0, 0, 1), (0, 400, 2), (4, 800, 3)],
    "all in one module": [(0, 0, 1), (0, 400, 2), (0, 800, 3)],
    "two pairs apart": [(0, 0, 1), (4, 800, 2), (5, 1600, 3), (1, 2400, 4)],
    "out of view": [(0, 0, 1), (1, 400, 3), (4, 800, 2)],
}


def case_of(example: str) -> Case:
    modules, times, energies = (list(values) for values in zip(*EXAMPLES[example], strict=True))
    apart = {(a, b) for a in range(SECTORS) for b in range(SECTORS) if 2 <= (a - b) % SECTORS <= 6}
    return Case(times, modules, energies, TAU_PS, 10_000, frozenset(apart), crystals_per_module=1)


def sorter_for(case: Case, policy: str) -> CoincidenceSorter:
    return CoincidenceSorter(
        SortSettings(lld_keV=0, uld_keV=1, window_ps=TAU_PS, delay_ps=0, policy=policy),
        module_of=np.arange(SECTORS, dtype=np.uint16),
        allowed_pairs=case.allowed_matrix(SECTORS),
    )


def letters(pairs: list[tuple[int, int]]) -> str:
    return " ".join("ABCD"[i] + "ABCD"[j] for i, j in pairs) or "–"


def rows_under(heading: str) -> list[dict[str, str]]:
    """Return the rows of the table whose header row begins with the cells of ``heading``."""
    start = PAGE.index(f"\n{heading}") + 1
    lines = PAGE[start:].split("\n\n")[0].splitlines()
    cells = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    names, table = cells[0], cells[2:]
    return [dict(zip(names, row, strict=True)) for row in table]


TRUTH = {row[""]: row for row in rows_under("| | good pairs |")}
GATES_TRUTH = {row[""]: row for row in rows_under("| | `TakeAllGoods` |")}


def test_both_tables_show_all_examples_and_between_them_all_policies() -> None:
    assert list(TRUTH) == list(GATES_TRUTH) == list(EXAMPLES)
    shown = {*TRUTH["pair"], *GATES_TRUTH["pair"]}
    assert shown - {"", "good pairs", "multiples", "triples"} == set(POLICIES)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_truth_tables_are_what_the_sorter_does(example: str, policy: str) -> None:
    case = case_of(example)
    sorter = sorter_for(case, policy)
    prompts = sorter.push(case.singles(), int(END_OF_TIME_PS)).prompts
    place = {module: k for k, module in enumerate(case.crystals)}
    if len(place) == len(case.crystals):  # else crystals do not tell singles: times do
        pairs = [(place[int(p["crystal_a"])], place[int(p["crystal_b"])]) for p in prompts]
        found = letters([(min(pair), max(pair)) for pair in pairs])
    else:
        at = {time: k for k, time in enumerate(case.times)}
        starts = [(int(p["time_ps"]), int(p["time_ps"]) + abs(int(p["tof_ps"]))) for p in prompts]
        found = letters([(at[early], at[late]) for early, late in starts])
    row = (TRUTH if policy in TRUTH[example] else GATES_TRUTH)[example]
    assert found == row[policy]
    assert str(sorter.counts.multiples) == TRUTH[example]["multiples"]
    assert str(sorter.counts.triples) == TRUTH[example]["triples"]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_truth_tables_are_what_the_references_do(example: str, policy: str) -> None:
    case = case_of(example)
    row = (TRUTH if policy in TRUTH[example] else GATES_TRUTH)[example]
    for reference in (brute_force, sliding_list):
        assert letters(reference(case, policy)[0]) == row[policy]
    assert letters(brute_force(case, "all")[0]) == TRUTH[example]["good pairs"]


@pytest.mark.parametrize(
    ("heading", "dtype"),
    [("| single | |", SINGLE), ("| coincidence | |", COINCIDENCE), ("| triple | |", TRIPLE)],
)
def test_the_record_tables_name_every_field_in_order(heading: str, dtype: np.dtype) -> None:
    first = next(iter(rows_under(heading)[0]))
    named = [name for row in rows_under(heading) for name in re.findall(r"\w+", row[first])]
    assert named == list(dtype.names or ())


def test_the_page_names_the_bound_beyond_which_singles_are_crowded() -> None:
    assert PAGE.count(f"more than {MOST_NEAR} ") == 2
