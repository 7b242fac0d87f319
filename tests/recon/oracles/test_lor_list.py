"""All lines of a scanner: each once, counts of records on them, and list mode = binned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.geometry import build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from oracles.lor_list import LorListError, lor_list
from recon.core.event_location import Detection
from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.projector.operator import Projector

SCANNER = load_scanner("bench2")
GEOMETRY = build_geometry(SCANNER)
EACH = SCANNER.crystals_per_module
BINS = SCANNER.module.doi_bins
GRID = ImageGrid((12, 12, 12), (4.0, 4.0, 4.0))


def records(count: int, *, pool: int = 200) -> np.ndarray:
    """Events on a few lines, so that lines hold several; either crystal may come first."""
    rng = np.random.default_rng(3)
    made = np.zeros(count, dtype=COINCIDENCE)
    line = rng.integers(0, pool, count)
    made["crystal_a"] = rng.integers(0, EACH, pool)[line]
    made["crystal_b"] = rng.integers(EACH, 2 * EACH, pool)[line]
    made["doi_a"], made["doi_b"] = (rng.integers(0, BINS, pool)[line] for _ in range(2))
    swap = rng.random(count) < 0.5
    for name in ("crystal", "doi"):
        a, b = made[f"{name}_a"].copy(), made[f"{name}_b"].copy()
        made[f"{name}_a"], made[f"{name}_b"] = np.where(swap, b, a), np.where(swap, a, b)
    return made


@pytest.fixture(scope="module")
def lines():
    return lor_list(SCANNER, GEOMETRY, GEOMETRY.allowed_pairs)


def test_every_pair_of_crystals_and_depths_is_there_once(lines) -> None:
    assert len(lines) == (EACH * BINS) ** 2
    assert (np.diff(lines.key) > 0).all()
    assert (lines.pairs.crystal_a < lines.pairs.crystal_b).all()


def test_a_record_lies_on_the_line_of_its_crystals(lines) -> None:
    events = records(500)
    index = lines.index(events)
    ends = lines.lors(GEOMETRY)
    first = crystal_position_mm(GEOMETRY, events["crystal_a"], events["doi_a"])
    second = crystal_position_mm(GEOMETRY, events["crystal_b"], events["doi_b"])
    straight = (ends.start[index] == first).all(axis=1) & (ends.end[index] == second).all(axis=1)
    turned = (ends.start[index] == second).all(axis=1) & (ends.end[index] == first).all(axis=1)
    assert (straight | turned).all()


def test_list_mode_equals_binned(lines) -> None:
    """One EM step from the events one by one, and from their counts as weights of lines."""
    events = records(3000)
    projector = Projector(GRID)
    image = np.random.default_rng(1).random(GRID.shape, dtype=np.float32) + 0.5
    located = Detection.of(SCANNER, GEOMETRY).locate(events, voxel_volume_mm3=GRID.voxel_volume_mm3)
    listed = EventList.plain(Lors(located.lors.start, located.lors.end))
    counts = lines.counts(events)
    hit = np.flatnonzero(counts)
    binned = EventList.plain(lines.lors(GEOMETRY).take(hit))
    binned = replace(binned, weight=counts[hit].astype(np.float32))
    one, sums_one = projector.em(image, listed)
    two, sums_two = projector.em(image, binned)
    assert np.allclose(one, two, rtol=1e-5, atol=1e-6)
    assert sums_one.used == sums_two.used == 3000
    assert sums_one.log_likelihood == pytest.approx(sums_two.log_likelihood, rel=1e-6)


def test_record_of_another_scanner_is_refused(lines) -> None:
    events = records(3)
    events["crystal_b"][1] = 4_000_000
    assert (lines.index(events) < 0).tolist() == [False, True, False]
    with pytest.raises(LorListError, match="1 of 3 records are on no line"):
        lines.counts(events)


def test_scanner_with_too_many_lines_is_refused() -> None:
    scanner = load_scanner("caremibrain")
    geometry = build_geometry(scanner)
    with pytest.raises(LorListError, match="fewer module pairs"):
        lor_list(scanner, geometry, geometry.allowed_pairs)
