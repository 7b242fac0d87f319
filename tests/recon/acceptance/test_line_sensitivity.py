"""Extrapolation over sleeves, and the mean of a stepped point."""

from __future__ import annotations

import numpy as np
import pytest

from recon.acceptance.line_sensitivity import (
    PointRate,
    SleeveRate,
    slice_profile,
    stepped_point,
    without_sleeves,
)

MU_ALUMINIUM_PER_MM = 0.0227


def rate(sleeves, *, at_0=14.0):
    return at_0 * np.exp(-2 * MU_ALUMINIUM_PER_MM * 1.25 * sleeves)


def test_five_sleeves_lead_back_to_the_line_in_air():
    found = without_sleeves([SleeveRate(n, rate(n), 0.01 * rate(n)) for n in range(1, 6)])
    assert found.cps_per_kBq == pytest.approx(14.0, rel=1e-9)
    assert found.mu_per_mm == pytest.approx(MU_ALUMINIUM_PER_MM, rel=1e-9)


def test_error_of_the_extrapolation_is_that_of_repeats():
    rng = np.random.default_rng(8)
    found = [
        without_sleeves(
            [SleeveRate(n, rng.normal(rate(n), 0.02 * rate(n)), 0.02 * rate(n))
             for n in range(1, 6)]
        )
        for _ in range(300)
    ]  # fmt: skip
    spread = np.std([one.cps_per_kBq for one in found])
    assert spread == pytest.approx(np.mean([one.sigma for one in found]), rel=0.15)


@pytest.mark.parametrize("sleeves", [[], [2], [2, 2]])
def test_one_number_of_sleeves_cannot_be_extrapolated(sleeves):
    with pytest.raises(ValueError, match="two numbers of sleeves"):
        without_sleeves([SleeveRate(n, 10.0, 0.1) for n in sleeves])


def test_a_line_without_matter_needs_no_extrapolation():
    found = without_sleeves([SleeveRate(0, 14.0, 0.3), SleeveRate(0, 15.0, 0.4)])
    assert found.cps_per_kBq == pytest.approx((14.0 * 16 + 15.0 * 9) / 25)
    assert found.sigma == pytest.approx(0.24)
    assert found.mu_per_mm == 0


def test_a_rate_of_nothing_cannot_be_extrapolated():
    with pytest.raises(ValueError, match="not above 0"):
        without_sleeves([SleeveRate(1, 10.0, 0.1), SleeveRate(2, 0.0, 0.1)])


def test_profile_of_the_slices_adds_up_to_the_sensitivity():
    profile = slice_profile(np.array([1.0, 2.0, 1.0]), 12.0)
    np.testing.assert_allclose(profile, [3, 6, 3])


def test_stepped_point_is_averaged_over_the_steps_and_per_positron():
    points = [
        PointRate(-10.0, 0.01, 0.001),
        PointRate(0.0, 0.03, 0.001),
        PointRate(10, 0.02, 0.001),
    ]
    found = stepped_point(points, positron_share=0.5)
    assert found.mean == pytest.approx(0.04)
    assert found.centre == pytest.approx(0.06)
    assert found.sigma == pytest.approx(0.002 * 3**0.5 / 3)
