"""Widths of points and their limits: near the axis and far off it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hw.scanner.judged_figure import Limits
from hw.scanner.limits import Nu2Limits, Nu4Limits
from recon.acceptance import imaging_parts
from recon.acceptance.imaging_parts import Imaging, resolution
from recon.analysis.picture import Picture

HOW = Imaging(voxel_mm=1.0, mouse_voxel_mm=1.0, threads=1, progress=lambda words, share: None)
FWHM_MM = {10.0: 2.5, 100.0: 5.0}


def run_at(y_mm: float):
    """A run whose point lies so far off the axis."""
    places = {"x_mm": 0.0, "y_mm": y_mm, "z_mm": 0.0}
    return SimpleNamespace(number=lambda key, default=None: places[key])


def drawn_point(run, voxel_mm, *, threads, progress):
    """A Gaussian point, wider far off the axis, instead of a reconstruction."""
    y_mm = run.number("y_mm")
    x, z = np.arange(-12.0, 13.0), np.arange(-12.0, 13.0)
    y = y_mm + x
    grid = np.meshgrid(x, y, z, indexing="ij")
    away = grid[0] ** 2 + (grid[1] - y_mm) ** 2 + grid[2] ** 2
    values = np.exp(-4 * np.log(2) * away / FWHM_MM[y_mm] ** 2)
    return Picture(values, (1.0, 1.0, 1.0), (x[0], y[0], z[0]), name="drawn")


@pytest.fixture(autouse=True)
def _drawn(monkeypatch):
    monkeypatch.setattr(imaging_parts, "point_image", drawn_point)


@pytest.mark.parametrize(
    ("table", "near", "far"),
    [
        (Nu2Limits(most_fwhm_mm=3.0, most_far_fwhm_mm=6.0), "pass", "pass"),
        (Nu2Limits(most_fwhm_mm=3.0, most_far_fwhm_mm=4.0), "pass", "FAIL"),
        (Nu2Limits(most_fwhm_mm=3.0), "pass", "FAIL"),
        (Nu2Limits(most_far_fwhm_mm=6.0), "no limit given", "pass"),
        (Nu4Limits(most_fwhm_mm=3.0), "pass", "FAIL"),
        (None, "no limit given", "no limit given"),
    ],
)
def test_a_far_point_has_its_own_limit_where_there_is_one(table, near, far):
    part = resolution([run_at(10.0), run_at(100.0)], Limits(table), HOW)
    verdicts = {name: {one.verdict for one in part.figures if name in one.name}
                for name in ("10 mm off", "100 mm off")}  # fmt: skip
    assert verdicts == {"10 mm off": {near}, "100 mm off": {far}}
