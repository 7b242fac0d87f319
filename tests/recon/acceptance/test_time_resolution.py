"""Time resolution of a line, from pairs whose true timing error was drawn."""

from __future__ import annotations

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.physics.constants import LIGHT_MM_PER_PS
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.acceptance.time_resolution import timing_errors, timing_table, timing_width

TOF_BRAIN = load_scanner("tof_brain")
GEOMETRY = build_geometry(TOF_BRAIN)
LINE = (0.0, -45.0)


def pairs_near_the_line(count, *, fwhm_ps, randoms=0, seed=5):
    """Return pairs of crystals whose LOR passes within 4 mm of the line, with the time difference
    of its point nearest to the line (found by stepping along it) and a Gaussian error; and randoms
    with a flat one anywhere."""
    rng = np.random.default_rng(seed)
    a, b = np.sort(rng.integers(0, TOF_BRAIN.n_crystals, (2, 60 * count)), axis=0)
    p, q = position_of(a), position_of(b)
    d, to_line = (q - p)[:, :2], np.array(LINE) - p[:, :2]
    passes = np.abs(d[:, 0] * to_line[:, 1] - d[:, 1] * to_line[:, 0]) < 5 * np.hypot(*d.T)
    a, b, p, q = a[passes], b[passes], p[passes], q[passes]
    share = np.linspace(0, 1, 401)
    away = np.full(len(a), np.inf)
    where = np.zeros(len(a))
    for part in share:  # slow and obvious
        at = p + part * (q - p)
        d = np.hypot(at[:, 0] - LINE[0], at[:, 1] - LINE[1])
        where = np.where(d < away, part, where)
        away = np.minimum(d, away)
    near = np.flatnonzero(away < 4)[:count]
    assert len(near) == count
    length = np.linalg.norm(q - p, axis=1)[near]
    to_a, to_b = where[near] * length, (1 - where[near]) * length
    flight = (to_b - to_a) / LIGHT_MM_PER_PS
    pairs = np.zeros(count + randoms, COINCIDENCE)
    pairs["crystal_a"][:count], pairs["crystal_b"][:count] = a[near], b[near]
    pairs["tof_ps"][:count] = np.rint(flight + rng.normal(0, fwhm_ps / 2.35482, count))
    anywhere = np.sort(rng.integers(0, TOF_BRAIN.n_crystals, (2, 4 * randoms)), axis=0)
    sector = anywhere // TOF_BRAIN.crystals_per_module % TOF_BRAIN.ring.modules_per_ring
    seen = anywhere[:, np.abs(sector[0] - sector[1]) > 1][:, :randoms]
    pairs["crystal_a"][count:], pairs["crystal_b"][count:] = seen
    pairs["tof_ps"][count:] = rng.integers(-2000, 2000, randoms)
    return pairs


def position_of(crystal):
    depth = GEOMETRY.doi_depth_mm[0]
    return (GEOMETRY.crystal_front_mm[crystal] + GEOMETRY.crystal_normal[crystal] * depth).astype(
        float
    )


def test_error_is_zero_where_the_time_is_that_of_the_nearest_point():
    pairs = pairs_near_the_line(200, fwhm_ps=1e-6)
    distance, error = timing_errors(pairs, GEOMETRY, LINE)
    assert np.abs(distance).max() < 4.01
    assert np.abs(error).max() < 3  # 400 steps along at most 290 mm, and whole ps


@pytest.mark.parametrize("fwhm_ps", [180.0, 250.0, 600.0])
def test_width_drawn_is_found_under_randoms(fwhm_ps):
    pairs = pairs_near_the_line(12_000, fwhm_ps=fwhm_ps, randoms=60_000)
    found = timing_width(timing_table(pairs, GEOMETRY, LINE, reach_ps=2000))
    assert found is not None
    assert found.fwhm_ps == pytest.approx(fwhm_ps, rel=0.08)  # spread of repeats: 3 %
    assert found.fwtm_ps == pytest.approx(1.823 * fwhm_ps, rel=0.12)
    assert abs(found.middle_ps) < 0.05 * fwhm_ps


def test_scatter_beside_the_line_is_taken_away():
    """A flat background over all distances leaves the counts of the line alone."""
    pairs = pairs_near_the_line(8_000, fwhm_ps=250.0)
    table = timing_table(pairs, GEOMETRY, LINE, reach_ps=2000)
    wide = np.exp(-0.5 * (np.linspace(-2000, 2000, len(table)) / 600) ** 2)[:, None] * 5
    found, clean = timing_width(table + wide), timing_width(table)
    assert found is not None
    assert clean is not None
    assert found.fwhm_ps == pytest.approx(clean.fwhm_ps, rel=1e-9)


def test_no_counts_have_no_width():
    assert timing_width(np.zeros((401, 25))) is None


def test_few_counts_have_no_width_rather_than_a_wrong_one():
    pairs = pairs_near_the_line(600, fwhm_ps=250.0)
    assert timing_width(timing_table(pairs, GEOMETRY, LINE, reach_ps=2000)) is None


def test_error_told_is_the_spread_of_repeats():
    found = [
        timing_width(
            timing_table(pairs_near_the_line(3000, fwhm_ps=250.0, seed=seed), GEOMETRY, LINE,
                         reach_ps=2000)
        )
        for seed in range(12)
    ]  # fmt: skip
    spread = np.std([one.fwhm_ps for one in found])
    told = np.mean([one.sigma_ps for one in found])
    assert 0.5 < spread / told < 1.6
