"""The SPECT projector against a dense matrix, analytic cases, and its own adjoint."""

from __future__ import annotations

import math
from itertools import starmap

import numpy as np
import pytest

from hw.scanner.preset_file import load_scanner
from recon.core.grid import GridError, ImageGrid
from recon.spect.projector import SpectProjector
from rigs.spect_camera import dense_row, grid_of, peak_of, small_head, view_at


@pytest.mark.parametrize("preset", ["gamma_head_lehr", "czt_cardiac"])
def test_back_is_the_exact_transpose_of_forward(preset: str) -> None:
    """1e-6: sums in float32 over up to 10⁵ products, accumulated in double by the test."""
    scanner, rng = load_scanner(preset), np.random.default_rng(2)
    grid = ImageGrid((20, 20, 12), (10.0, 10.0, 9.0))
    mu = np.where(grid.cylinder(80.0), np.float32(0.0096), np.float32(0.0))
    projector = SpectProjector(scanner, grid, peak_of(scanner), mu=mu, threads=2)
    modules = [k % scanner.n_modules for k in range(4)]
    angles = (0.0, 17.0, 33.3, -40.0) if preset == "czt_cardiac" else (0.0, 45.0, 133.3, 270.0)
    views = [view_at(scanner, a, module=m) for a, m in zip(angles, modules, strict=True)]
    image = rng.random(grid.shape, dtype=np.float32)
    values = rng.random((4, scanner.module.n_u, scanner.module.n_v), dtype=np.float32)
    forward = float((projector.forward(image, views).astype(np.float64) * values).sum())
    back = float((projector.back(values, views).astype(np.float64) * image).sum())
    assert forward == pytest.approx(back, rel=1e-6)


def test_every_element_is_that_of_a_dense_matrix() -> None:
    """1e-3 of the largest element: tables end at 3.5 σ and below 1e-5, scipy's do not."""
    scanner = small_head(pixels=6, shape=(6, 6, 4), voxel_mm=30.0)
    grid, rng = grid_of(scanner), np.random.default_rng(3)
    mu = rng.uniform(0.0, 0.012, grid.shape).astype(np.float32)
    projector = SpectProjector(scanner, grid, peak_of(scanner), mu=mu, radius_mm=200.0)
    views = [view_at(scanner, angle) for angle in (0.0, 63.0, 200.0)]
    for view in views:
        assert projector._mu is not None
        dense = dense_row(projector, view, projector._mu.astype(np.float64))
        image = rng.random(grid.shape).astype(np.float32)
        got = projector.forward(image, [view])[0].ravel()
        np.testing.assert_allclose(got, dense @ image.ravel(), atol=1e-3 * got.max())


def test_a_source_in_water_is_attenuated_exponentially() -> None:
    scanner, peak = small_head(), peak_of(small_head())
    grid = ImageGrid((41, 41, 9), (4.0, 4.0, 8.0))
    mu = np.where(grid.cylinder(60.0), np.float32(0.00958), np.float32(0.0))
    image = np.zeros(grid.shape, np.float32)
    image[20, 20, 4] = 1e6
    views = list(starmap(view_at, ((scanner, 0.0), (scanner, 77.0))))
    air, water = (
        SpectProjector(scanner, grid, peak, mu=m).forward(image, views).sum(axis=(1, 2))
        for m in (None, mu)
    )
    # a single voxel's tent is sampled every 4 mm: its sum varies by 1 % with the angle
    assert air == pytest.approx(1e6 * peak.counts_per_decay, rel=0.015)
    expected = math.exp(-0.01508 * 60.0)  # NIST, 140.5 keV
    assert water / air == pytest.approx(expected, rel=0.02)  # the cylinder is made of voxels


@pytest.mark.parametrize("distance_mm", [60.0, 140.0, 220.0])
def test_a_blob_has_the_width_of_blob_and_blur(distance_mm: float) -> None:
    scanner = load_scanner("gamma_head_lehr")
    grid, blob = ImageGrid((64, 64, 32), (4.0, 4.0, 4.0)), 8.0
    x, y, z = grid.axes_mm()
    place = scanner.bore_mm - distance_mm
    image = np.exp(-((x - place) ** 2 + y**2 + z**2) / (2 * blob**2)).astype(np.float32)
    peak = peak_of(scanner)
    seen = SpectProjector(scanner, grid, peak).forward(image, [view_at(scanner, 0.0)])[0]
    for axis in (0, 1):
        profile = seen.sum(axis=1 - axis, dtype=np.float64)
        bins = (np.arange(64) - 31.5) * 4.0
        sigma = math.sqrt((profile * bins**2).sum() / profile.sum())
        blur = float(peak.response.sigma_mm(distance_mm))
        boxes = 4.0**2 / 12 * 2  # pixel and sample
        assert sigma == pytest.approx(math.sqrt(blob**2 + blur**2 + boxes), rel=0.01)


def test_without_response_a_pixel_sees_its_own_column_only() -> None:
    scanner = small_head()
    grid = grid_of(scanner)
    image = np.zeros(grid.shape, np.float32)
    image[8, 5, 4] = 1.0
    peak = peak_of(scanner)
    sharp = SpectProjector(scanner, grid, peak, collimator_response=False)
    seen = sharp.forward(image, [view_at(scanner, 0.0)]) / peak.counts_per_decay
    assert (seen > 0.01).sum() == 1


def test_a_map_of_another_size_is_refused() -> None:
    scanner = small_head()
    with pytest.raises(GridError, match="µ map"):
        SpectProjector(scanner, grid_of(scanner), peak_of(scanner), mu=np.zeros((2, 2, 2), "f4"))
