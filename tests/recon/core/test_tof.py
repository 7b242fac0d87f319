"""The TOF kernel: normalised, truncated, in a table that equals the formula."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from recon.core.tof import TofError, TofModel


def test_ctr_becomes_sigma_along_the_line() -> None:
    """250 ps FWHM of t_b - t_a is 37.5 mm FWHM along the line, since the way counts half."""
    assert TofModel.from_ctr(250.0, bin_ps=10.0).sigma_mm * 2.35482 == pytest.approx(37.474, 1e-3)


def test_bins_of_a_source_sum_to_one() -> None:
    model = TofModel(sigma_mm=15.0, bin_mm=7.0)
    centres = np.arange(-40, 41) * 7.0
    assert model.weight(centres - 3.3).sum() == pytest.approx(1.0, abs=1e-12)


def test_weight_is_the_integral_of_the_truncated_gaussian() -> None:
    model = TofModel(sigma_mm=10.0, bin_mm=5.0)

    def density(x: float) -> float:
        inside = abs(x) <= 30.0
        return inside * np.exp(-0.5 * (x / 10) ** 2) / (10 * np.sqrt(2 * np.pi)) / 0.9973002

    for distance in (0.0, 4.0, 17.0, 28.5, 31.0, 40.0):
        expected = quad(density, distance - 2.5, distance + 2.5, points=[-30, 30], limit=200)[0]
        assert model.weight(distance) == pytest.approx(expected, abs=1e-6)


def test_table_ends_where_the_kernel_ends() -> None:
    model = TofModel(sigma_mm=10.0, bin_mm=5.0)
    table = model.table()
    assert table.support_mm == model.support_mm == 32.5
    assert table.weight[int(table.support_mm * table.cells_per_mm)] == 0.0
    distance = np.linspace(0, 32.4, 500)
    cells = (distance * table.cells_per_mm).astype(int)
    assert np.allclose(table.weight[cells], model.weight(distance), atol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan, 1e9])
def test_absurd_resolution_is_refused(sigma: float) -> None:
    with pytest.raises(TofError, match="sigma_mm"):
        TofModel(sigma_mm=sigma, bin_mm=1.0)
