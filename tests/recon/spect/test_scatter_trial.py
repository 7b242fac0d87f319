"""What TEW misses: the trial's photons against a sum by hand, and the emulator's labelled ones."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

import emulator.spect.camera_tables
from emulator.object.catalogue import mu_map_on_grid
from emulator.object.painting import Canvas, Shape
from emulator.trials.cameras import SQUARE_BINS, ideal_camera, see
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import load_scanner
from recon.core.grid import ImageGrid
from recon.spect.peaks import peaks_of
from recon.spect.projector import SpectProjector
from recon.spect.scatter import scatter_counts
from recon.spect.scatter_kernels import scattered_counts
from recon.spect.scatter_trial import tew_defect
from recon.spect.views import ViewSet
from rigs.spect_camera import grid_of, peak_of, small_head, view_at


def test_a_single_scatter_is_klein_and_nishinas() -> None:
    """A source voxel 96 mm from the only voxel of water: solid angle · µ · dσ/dΩ, in two cameras.

    10 %: 700 of the photons meet the water, and the voxels' own width changes the angles.
    """
    grid = grid_of(small_head())
    mu = np.zeros(grid.shape, np.float32)
    mu[14, 8, 4] = 0.01
    sums = np.zeros(mu.size)
    sums[np.ravel_multi_index((8, 8, 4), mu.shape) :] = 1.0
    angles = np.radians([0.0, 60.0])
    towards = np.stack([np.cos(angles), np.sin(angles), -np.sin(angles), np.cos(angles)], axis=1)
    table = np.tile([1.0, 1.0, 2.0, 1.0, 0.5], (2, 1))
    peak, seen = (np.zeros((2, 16, 16), np.float32) for _ in range(2))
    scattered_counts(
        sums, mu, np.array(grid.origin_mm), np.array(grid.voxel_mm), towards, np.zeros((2, 2)),
        np.array([16.0, 16.0]), table, np.ones(2), np.array([50.0, 140.0]), 1_000_000, 1, 1,
        peak, seen,
    )  # fmt: skip
    per_photon = 0.01 * 16.0**3 / (4 * math.pi * 96.0**2)
    for k, angle in enumerate(angles):
        share = 1 / (1 + 140 / 510.99895 * (1 - math.cos(angle)))
        klein_nishina = share**2 * (share + 1 / share - math.sin(angle) ** 2)
        # half the way out of the water's own voxel: exp(−0.01 · 8), in and out
        expected = per_photon * 2.0 * klein_nishina * math.exp(-0.01 * 16)
        assert float(peak[k].sum()) == pytest.approx(expected, rel=0.1)
    assert float(seen.sum()) == pytest.approx(float(peak.sum()) / 2, rel=1e-4)


def test_a_ball_in_water_comes_out_right_only_with_what_tew_misses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The emulator's camera before a ball of 60 mm in water: counts less scatter, over primaries.

    5 %: the noise of 4000 primaries is 1.6 %, and some 2 % of what A expects is spread beyond
    12 mm by septa and coherent scatter. The windows begin at 123.5 keV, more than two standard
    deviations above what is left out.
    """
    monkeypatch.setattr(emulator.spect.camera_tables, "SEPTA_LEAST_KEV", 110.0)
    canvas = Canvas("ball", voxel_mm=(4.0,) * 3, extent_mm=(200.0, 200.0, 160.0))
    canvas.paint(Shape("cylinder", (100.0, 100.0, 80.0), material="water"))
    canvas.paint(Shape("sphere", (30.0,) * 3, activity=1.0, region="ball"))
    phantom, scanner = canvas.phantom(), load_scanner("gamma_head_lehr")
    seen = see(ideal_camera(scanner.name, "Tc-99m", phantom, trigger_keV=118.0, bins=SQUARE_BINS),
               events=11_500, activity_Bq=9e8)  # fmt: skip
    windows = spect_windows("Tc-99m")
    (peak,) = peaks_of(scanner, windows)
    grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    mu = mu_map_on_grid(phantom, grid.shape, grid.voxel_mm)
    x, y, z = grid.axes_mm()
    image = np.where(np.sqrt(x**2 + y**2 + z**2) < 30.0, np.float32(1), np.float32(0))
    image *= np.float32(9e8 / image.sum())
    view = view_at(scanner, 0.0, seconds=seen.seconds)
    edges = (np.arange(65) - 32) * 4.0
    inside = [seen.within(w.lld_keV, w.uld_keV - 0.05) for w in windows]
    pictures = [np.histogram2d(seen.u_mm[q], seen.v_mm[q], (edges, edges))[0] for q in inside]
    counts = np.array(pictures, np.float32)[:, None]
    views = ViewSet((replace(view, exposure_s=seen.seconds),), counts)
    expected = SpectProjector(scanner, grid, peak, mu=mu).forward(image, views.views)
    defect = tew_defect(image, mu, grid, scanner, windows, peak, views.views, "tew", photons=20_000)
    near = np.hypot(*np.meshgrid(edges[:-1] + 2, edges[:-1] + 2)) < 42.0
    ratio = {}
    for name, found in (("tew", None), ("trial", defect)):
        scatter = scatter_counts(views, peak, scanner, "tew", found)
        ratio[name] = float((counts[1] - scatter)[0][near].sum() / expected[0][near].sum())
    assert ratio["tew"] > 1.06
    assert ratio["trial"] == pytest.approx(1.0, abs=0.05)


def test_nothing_scatters_where_nothing_is() -> None:
    scanner = small_head()
    grid, peak = grid_of(scanner), peak_of(scanner)
    views = [view_at(scanner, 10.0 * k) for k in range(3)]
    nothing, water = np.zeros(grid.shape, np.float32), np.full(grid.shape, 0.01, np.float32)
    for image, mu in ((nothing, water), (water, nothing)):
        made = tew_defect(image, mu, grid, scanner, spect_windows("Tc-99m"), peak, views, "tew")
        assert made.shape == (3, 16, 16)
        assert not made.any()
