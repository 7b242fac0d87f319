"""NEMA's phantoms are as the standard draws them, and its analysis divides counts as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.events import COINCIDENCE
from daq.cli.validate.necr import NecrCurve, NecrPoint, necr_point
from daq.cli.validate.sinogram import (
    ELEMENT_MM,
    StripCounts,
    aligned_profile,
    lor_coordinates,
    sinogram,
    strip_counts,
)
from emulator.object.nema import nema_line, nema_scatter
from emulator.physics.materials import mu_per_mm
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner

CAREMIBRAIN = load_scanner("caremibrain")
GEOMETRY = build_geometry(CAREMIBRAIN)


def test_scatter_phantom_has_its_polyethylene_and_a_line_45_mm_below_the_axis():
    phantom = nema_scatter(CAREMIBRAIN)
    plane = phantom.mu_per_mm[:, :, 50].astype(float)
    plastic = np.pi * (101.5**2 - 3.2**2 + 2.4**2 - 1.6**2) * mu_per_mm("polyethylene")
    water = np.pi * 1.6**2 * mu_per_mm("water")
    assert plane.sum() == pytest.approx(plastic + water, rel=2e-3)
    activity = phantom.activity.sum(axis=2)
    assert activity.sum(axis=1) @ phantom.axis_mm(0) / activity.sum() == pytest.approx(0, abs=0.01)
    below = activity.sum(axis=0) @ phantom.axis_mm(1) / activity.sum()
    assert below == pytest.approx(-45, abs=0.01)
    z = phantom.axis_mm(2)
    assert (z[0] - 3.5, z[-1] + 3.5) == pytest.approx((-350, 350))


@pytest.mark.parametrize("sleeves", [0, 1, 5])
def test_line_is_surrounded_by_so_many_walls_of_aluminium(sleeves):
    """Along a ray from the axis: 0.5 mm of water, 1.1 mm of plastic, 1.25 mm a sleeve."""
    phantom = nema_line(CAREMIBRAIN, sleeves=sleeves)
    x = phantom.axis_mm(0)
    row = phantom.mu_per_mm[:, np.argmin(np.abs(phantom.axis_mm(1))), 50].astype(float)
    path = 0.5 * mu_per_mm("water") + 1.1 * mu_per_mm("polyethylene")
    path += 1.25 * sleeves * mu_per_mm("aluminium")
    assert row[x > 0].sum() * 0.25 == pytest.approx(path, rel=0.02)


@given(level=st.floats(0, 50), peak=st.floats(0, 1000))
def test_counts_above_a_level_tail_are_trues(level, peak):
    profile = np.full(241, level)
    profile[118:123] += peak
    found = strip_counts(profile)
    assert found.total == pytest.approx(241 * level + 5 * peak)
    assert found.trues == pytest.approx(5 * peak, abs=1e-6)


def test_a_slanting_tail_is_interpolated_to_the_strips_edges():
    profile = np.linspace(10, 30, 241)
    assert strip_counts(profile).trues == pytest.approx(0, abs=1e-9)


def test_projections_are_shifted_by_their_peaks_before_they_are_added():
    counts = np.ones((3, 120))
    for row, at in enumerate((20, 60, 119)):
        counts[row, at] += 100
    profile = aligned_profile(counts)
    assert profile.argmax() == len(profile) // 2
    assert profile.max() == 303
    assert profile.sum() == counts.sum()


def pairs_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    pairs = np.zeros(len(a), COINCIDENCE)
    pairs["crystal_a"], pairs["crystal_b"] = a, b
    return pairs


def test_lor_lies_at_its_distance_from_the_axis():
    """The cross product of direction and position gives the distance independently."""
    rng = np.random.default_rng(2)
    a, b = rng.integers(0, CAREMIBRAIN.n_crystals, (2, 500))
    apart = np.abs(a // 1024 % 16 - b // 1024 % 16) > 1
    pairs = pairs_between(a[apart], b[apart])
    s, angle = lor_coordinates(pairs, GEOMETRY)
    depth = GEOMETRY.doi_depth_mm[0]
    p, q = (
        (GEOMETRY.crystal_front_mm[c] + GEOMETRY.crystal_normal[c] * depth).astype(float)
        for c in (pairs["crystal_a"], pairs["crystal_b"])
    )
    d = q - p
    distance = np.abs(d[:, 0] * p[:, 1] - d[:, 1] * p[:, 0]) / np.hypot(d[:, 0], d[:, 1])
    np.testing.assert_allclose(np.abs(s), distance, atol=1e-3)
    assert ((angle >= 0) & (angle < np.pi)).all()
    np.testing.assert_allclose(d[:, 0] * np.cos(angle) + d[:, 1] * np.sin(angle), 0, atol=1e-3)


def test_lors_further_than_12_cm_from_the_axis_are_left_out():
    neighbours = pairs_between(np.arange(1024), np.arange(1024) + 1024 + 500)
    s, _ = lor_coordinates(neighbours, GEOMETRY)
    assert sinogram(neighbours, GEOMETRY).sum() == (np.abs(s) <= 120).sum()
    assert sinogram(neighbours, GEOMETRY).shape == (90, round(240 / ELEMENT_MM))


def test_necr_is_the_square_of_trues_over_all():
    point = necr_point(100.0, StripCounts(total=1000.0, below=600.0), 250.0, 0.5)
    assert (point.prompts, point.trues, point.randoms) == (2000, 800, 500)
    assert point.necr == pytest.approx(400**2 / 1000 / 0.5)


def test_peak_of_a_curve_with_a_known_one_is_found():
    """A·exp(−A/250 MBq) peaks at 250 MBq; a cubic in ln A follows it within some per cent."""
    activity = np.array([60, 120, 180, 240, 300, 360, 450, 550, 700.0])
    curve = activity * np.exp(-activity / 250)
    points = [NecrPoint(a, 0, 0, 0, n, 0.02 * n) for a, n in zip(activity, curve, strict=True)]
    fitted = NecrCurve(points)
    at = fitted.peak_MBq()
    height, sigma = fitted.at(at)
    assert at == pytest.approx(250, rel=0.05)
    assert height == pytest.approx(250 / np.e, rel=0.02)
    assert 0 < sigma < 0.03 * height
