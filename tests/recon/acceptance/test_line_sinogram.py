"""Scatter phantoms' sinograms: where LORs lie, and how NEMA divides a projection."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coincidence.events import COINCIDENCE
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from recon.acceptance.line_sinogram import (
    ANGLES,
    NU2,
    NU4_MOUSE,
    aligned_profile,
    line_alone,
    line_place_mm,
    lor_coordinates,
    sinogram,
    strip_counts,
)

CAREMIBRAIN = load_scanner("caremibrain")
GEOMETRY = build_geometry(CAREMIBRAIN)


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
    assert sinogram(neighbours, GEOMETRY).shape == (90, round(240 / NU2.element_mm))


@pytest.mark.parametrize("strip", [NU2, NU4_MOUSE])
@given(share=st.floats(0.05, 0.9))
def test_scatter_fraction_of_a_flat_background_is_found(strip, share):
    """A line one element wide on a background as wide as the field: S/(S + T) by construction."""
    elements = round(2 * strip.radius_mm / strip.element_mm)
    counts = np.full((ANGLES, elements), share / elements)
    counts[:, elements // 3] += 1 - share
    found = strip_counts(aligned_profile(counts), strip)
    assert found.total == pytest.approx(ANGLES)
    assert found.below / found.total == pytest.approx(share, rel=1e-6)


@pytest.mark.parametrize("place", [(0.0, -45.0), (30.0, 10.0), (-12.0, 0.0)])
def test_place_of_the_line_is_found_from_its_sinogram(place):
    angle = (np.arange(ANGLES) + 0.5) * np.pi / ANGLES
    s = place[0] * np.cos(angle) + place[1] * np.sin(angle)
    counts = np.zeros((ANGLES, 120))
    counts[np.arange(ANGLES), np.floor((s + 120) / 2).astype(int)] = 100
    assert line_place_mm(counts) == pytest.approx(place, abs=0.5)  # elements of 2 mm


def test_line_is_found_and_aligned_in_few_counts():
    """Three counts of the line in a projection of 120 with as many others: the largest element of
    most projections is not the line's, yet the division finds the share drawn."""
    rng = np.random.default_rng(6)
    angle = (np.arange(ANGLES) + 0.5) * np.pi / ANGLES
    at = np.floor((-45 * np.sin(angle) + 120) / 2).astype(int)
    counts = rng.poisson(0.1, (ANGLES, 120)).astype(float)
    counts[np.arange(ANGLES), at] += rng.poisson(3.0, ANGLES)
    assert line_place_mm(counts) == pytest.approx((0, -45), abs=1.5)
    found = strip_counts(aligned_profile(counts, line_alone(counts)))
    assert found.trues / ANGLES == pytest.approx(3.0, rel=0.35)  # 2 σ of the edges
