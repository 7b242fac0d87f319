"""Scatter fraction, NECR and its peak, from counts of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from recon.acceptance.count_rates import (
    LineCounts,
    NecrCurve,
    NecrPoint,
    necr_point,
    necr_points,
    scatter_fraction,
)
from recon.acceptance.line_sinogram import ANGLES, StripCounts


def line(activity_MBq, *, trues, scatter, randoms, seconds=1.0):
    """Return noiseless sinograms: the line in one element, the rest flat over the field."""
    flat = np.ones((ANGLES, 120)) / (ANGLES * 120)
    counts = flat * (scatter + randoms)
    counts[:, 37] += trues / ANGLES
    return LineCounts(activity_MBq, counts, flat * randoms, seconds)


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


@pytest.mark.parametrize("peak_MBq", [100.0, 150.0, 190.0])
@pytest.mark.parametrize(
    "activities",
    [(0.5, 2, 6, 20, 60, 120, 200, 290, 420), (0.5, 2, 10, 40, 100, 200, 400)],
)
def test_low_activities_do_not_bend_the_peak(activities, peak_MBq):
    """A·exp(−A/peak), measured from 0.5 MBq on: a cubic through three decades is up to a tenth too
    low at the peak."""
    points = [NecrPoint(a, 0, 0, 0, n := a * np.exp(-a / peak_MBq), 0.01 * n) for a in activities]
    fitted = NecrCurve(points)
    height, _ = fitted.at(fitted.peak_MBq())
    assert height == pytest.approx(peak_MBq / np.e, rel=0.02)
    assert fitted.peak_MBq() == pytest.approx(peak_MBq, rel=0.06)


def test_rates_are_those_put_in():
    lines = [line(a, trues=4e4 * a, scatter=2e4 * a, randoms=300 * a**2, seconds=2.0)
             for a in (1.0, 50.0)]  # fmt: skip
    low, high = necr_points(lines)
    assert (low.activity_MBq, high.activity_MBq) == (1.0, 50.0)
    found = (high.trues, high.randoms, high.scatter, high.prompts)
    assert found == pytest.approx((1e6, 375e3, 5e5, 1.875e6), rel=1e-6)
    assert high.necr == pytest.approx(1e12 / 1.875e6, rel=1e-6)


def test_scatter_fraction_leaves_randoms_out_and_tells_them():
    found = scatter_fraction(line(1.0, trues=6e4, scatter=4e4, randoms=3e3))
    assert found.share == pytest.approx(0.4, rel=1e-6)
    assert found.randoms_share == pytest.approx(0.05, rel=1e-3)
    edges = 10**2 * 2 * 4e4 / 120  # ten elements' width for each of two edges
    assert found.sigma == pytest.approx((0.24 / 1e5 + edges / 1e10) ** 0.5, rel=1e-6)


def test_scatter_fraction_is_found_in_noise_within_its_error():
    """Aligned by the true peaks; aligned by its own, noise would look like trues."""
    rng = np.random.default_rng(4)
    ideal = line(1.0, trues=5e4, scatter=4e4, randoms=1e4)
    errors = []
    for _ in range(30):
        drawn = LineCounts(1.0, rng.poisson(ideal.prompts).astype(float),
                           rng.poisson(ideal.randoms).astype(float), 1.0)  # fmt: skip
        found = scatter_fraction(drawn, aligned_by=ideal.prompts)
        errors.append((found.share - 4 / 9) / found.sigma)
    assert abs(np.mean(errors)) < 1.0
    assert 0.6 < np.std(errors) < 1.5


def test_a_curve_that_rises_to_its_end_has_no_peak():
    points = [NecrPoint(a, 0, 0, 0, 10 * a, a) for a in (1.0, 10.0, 20.0, 40.0)]
    assert not NecrCurve(points).has_peak()
    bent = [NecrPoint(a, 0, 0, 0, a * np.exp(-a / 15), 0.1) for a in (1.0, 10.0, 20.0, 40.0)]
    assert NecrCurve(bent).has_peak()
