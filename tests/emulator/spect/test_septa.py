"""The library of what comes out of septa: its records, its nodes, its symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.spect.collimator import lattice_tables
from emulator.spect.septa_flight import IN_U, IN_W, IS_K, OUT_KEV, OUT_U, OUT_W
from emulator.spect.septa_library import K_LINES, SeptaTables, septa_tables
from emulator.spect.septa_playback import node_weight, turned
from emulator.trials.bare_collimator import in_hole
from hw.scanner.description import Collimator
from hw.scanner.preset_file import load_scanner


def collimator_of(preset: str) -> Collimator:
    collimator = load_scanner(preset).collimator
    assert collimator is not None
    return collimator


@pytest.fixture(scope="module")
def lehr() -> SeptaTables:
    return septa_tables(collimator_of("gamma_head_lehr"), ((140.511, 0.9),), least_keV=40.0)


@pytest.mark.parametrize("preset", ["gamma_head_lehr", "czt_cardiac"])
def test_a_lattice_looks_alike_in_all_ways_a_record_is_turned(preset: str) -> None:
    tables = lattice_tables(collimator_of(preset))
    random = np.random.default_rng(1)
    ways = 4 * tables.sides
    images = {turned(0.3, 0.1, way, tables.sides) for way in range(ways)}
    assert len({(round(u, 9), round(v, 9)) for u, v in images}) == ways
    for u, v in random.uniform(-3, 3, (300, 2)):
        seen = {in_hole(*turned(u, v, way, tables.sides), tables) for way in range(ways)}
        assert len(seen) == 1


def test_records_are_directions_and_energies_that_can_be(lehr: SeptaTables) -> None:
    for node, first, size in zip(lehr.node_keV, lehr.first, lehr.size, strict=True):
        record = lehr.record[first : first + size]
        for u, w in ((IN_U, IN_W), (OUT_U, OUT_W)):
            across, along = record[:, u : u + 2], record[:, w]
            assert (across**2).sum(axis=1) + along**2 == pytest.approx(1.0, abs=1e-5)
            assert (record[:, w] > 0).all()
        assert (record[:, OUT_KEV] >= 40.0).all() and (record[:, OUT_KEV] <= node * 1.00001).all()
        from_k = record[:, IS_K] > 0
        assert from_k.any() == (node > K_LINES["Pb"][1])
        assert (record[from_k, OUT_KEV] < 85.31).all()
        assert not from_k.any() or (record[from_k, OUT_KEV] > 74.1).mean() > 0.95


def test_nodes_about_an_energy_make_up_one(lehr: SeptaTables) -> None:
    for energy in np.random.default_rng(2).uniform(40.0, 140.511, 500):
        weights = [node_weight(energy, node, lehr) for node in range(len(lehr.node_keV))]
        assert sum(weights) == pytest.approx(1.0) and sum(w > 0 for w in weights) <= 2
        mean = np.dot(weights, lehr.node_keV)
        assert mean == pytest.approx(energy)
        reached = np.flatnonzero(weights)
        for before in (energy, energy / (1 - energy / 255.4995) if energy < 90 else energy):
            i = min(int(before), 140)
            assert lehr.low_node[i] <= reached.min() and reached.max() <= lehr.high_node[i]


def test_the_same_source_gets_the_same_library_and_weak_lines_fewer_records() -> None:
    collimator = collimator_of("gamma_head_melp")
    lines = ((208.366, 0.11), (249.674, 0.002))
    one, other = (
        septa_tables.__wrapped__(collimator, lines, least_keV=40.0, in_object=False)
        for _ in range(2)
    )
    assert np.array_equal(one.record, other.record)
    assert list(one.node_keV) == [208.366, 249.674]
    assert one.size[0] > 4 * one.size[1] > 0


def test_lines_that_septa_absorb_have_no_records() -> None:
    tables = septa_tables(collimator_of("gamma_head_lehr"), ((20.0, 1.0),), least_keV=40.0)
    assert len(tables.record) == 0 and tables.whole_sr.sum() == 0
