"""Skews from a real point source, and from an activity that nobody told the place of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coincidence.calibration import no_calibration
from daq.calibration.activity_of_lines import centre_and_spread
from daq.calibration.coincidence_pairs import (
    PAIR,
    Position,
    SourceShape,
    expected_tof_ps,
    pairs_of_run,
)
from daq.calibration.skew_fit import calibrate_skew
from daq.folder.calibration_set import Status
from emulator.object.shapes import point
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import BENCH, emulate_bench

N = BENCH.n_crystals


@pytest.mark.parametrize(
    ("position_mm", "source"),
    [((0.0, 0.0, 0.0), "point"), ((3.0, 1.0, -2.0), "point"), ((3.0, 1.0, -2.0), "all")],
)
def test_a_point_source_gives_the_skews_to_the_statistics(
    tmp_path: Path, position_mm: Position, source: SourceShape
) -> None:
    phantom = point(BENCH, position_mm=position_mm)
    measured = emulate_bench(tmp_path, periods=150, phantom=phantom)
    gain = (1 / measured.gain).astype(np.float32)
    pairs = pairs_of_run(measured.folder, calibration=replace(no_calibration(N), gain=gain))
    found = calibrate_skew(pairs, BENCH, source=source, position_mm=position_mm)
    fitted = found.status == Status.FITTED
    error = (found.skew_ps - measured.skew_ps)[fitted]
    per_crystal = 2 * found.used / fitted.sum()
    assert fitted.mean() > 0.75  # a point off the axis does not light the edges of both modules
    # √2 of the floor: a point joins few crystals with each, so errors add along the graph. Over
    # seeds and places it is 0.9 to 1.35 times that, for errors of neighbours are alike
    assert np.std(error) < 1.41 * 1.6 * found.sigma_ps / np.sqrt(per_crystal)


def lines_of(
    rng: np.random.Generator, centre: np.ndarray, spread: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw lines in all directions through points of a Gaussian; begin and run of each."""
    place = rng.multivariate_normal(centre, spread, n)
    along = rng.normal(size=(n, 3))
    along *= 300 / np.linalg.norm(along, axis=1)[:, None]
    return place - along * rng.uniform(0.2, 0.8, n)[:, None], along


def test_centre_and_extent_of_the_activity_are_found_from_lines_without_times() -> None:
    centre = np.array([7.0, -4.0, 12.0])
    turned = np.array([[400.0, 90.0, 0.0], [90.0, 200.0, -30.0], [0.0, -30.0, 900.0]])
    start, along = lines_of(np.random.default_rng(1), centre, turned, 200_000)
    found, spread = centre_and_spread(start, along)
    np.testing.assert_allclose(found, centre, atol=0.3)
    np.testing.assert_allclose(spread, turned, atol=12.0)


def test_the_mean_place_on_a_line_is_that_of_an_ellipsoid_drawn_by_hand() -> None:
    """Pairs of a scanner from a wide, displaced ellipsoid: Δt averages to what is expected."""
    scanner = load_scanner("tof_brain")
    geometry = build_geometry(scanner)
    rng = np.random.default_rng(2)
    front = geometry.crystal_front_mm.astype(np.float64)
    front += geometry.crystal_normal * geometry.doi_depth_mm[0]
    centre, sigma = np.array([15.0, 5.0, -10.0]), np.array([20.0, 12.0, 25.0])
    place = centre + rng.normal(size=(400_000, 3)) * sigma
    a, b = (rng.integers(0, scanner.n_crystals, len(place)) for _ in range(2))
    run = front[b] - front[a]
    foot = ((place - front[a]) * run).sum(axis=1) / np.maximum((run**2).sum(axis=1), 1.0)
    off = np.linalg.norm(front[a] + foot[:, None] * run - place, axis=1)
    kept = (off < 6.0) & (np.linalg.norm(run, axis=1) > 150)
    pairs = np.zeros(int(kept.sum()), PAIR)
    pairs["crystal_a"], pairs["crystal_b"] = a[kept], b[kept]
    true_ps = ((1 - 2 * foot) * np.linalg.norm(run, axis=1))[kept] / 0.299792458
    expected = expected_tof_ps(pairs, geometry, source="all")
    told = expected_tof_ps(pairs, geometry, source="point")
    # the differences scatter with the activity's extent; their mean over many lines does not
    assert abs(np.mean(true_ps - expected)) < 4 * np.std(true_ps - expected) / len(pairs) ** 0.5
    assert np.std(true_ps - expected) < np.std(true_ps - told)
    slope = np.polyfit(expected, true_ps, 1)[0]
    assert slope == pytest.approx(1.0, abs=0.08)
