"""Image quality figures of drawn images whose true figures are known."""

from __future__ import annotations

import numpy as np
import pytest

from recon.acceptance.lung_residual import lung_residuals
from recon.acceptance.mouse_quality import MousePhantom, mouse_quality
from recon.analysis.contrast import Sphere, Warm, background_places, sphere_contrasts
from recon.analysis.picture import Picture

MOUSE = MousePhantom(
    uniform_z_mm=2.5,
    rods={2.0: (7.0, 0.0), 5.0: (-7.0, 0.0)},
    rods_z_mm=-15.0,
    cold={"water": (7.5, 0.0, 17.5), "air": (-7.5, 0.0, 17.5)},
)


def drawn(voxel_mm, shape):
    """Return voxel centres x, y, z of a centred grid and the function that makes its picture."""
    axes = [(np.arange(n) - (n - 1) / 2) * voxel_mm for n in shape]
    grid = np.meshgrid(*axes, indexing="ij")
    origin = tuple(float(axis[0]) for axis in axes)
    return (*grid, lambda values: Picture(values, (voxel_mm,) * 3, origin, name="drawn"))


def mouse_picture(*, rod_2=0.4, rod_5=0.9, water=0.1, air=0.02, noise=0.0):
    x, y, z, picture = drawn(0.5, (70, 70, 100))
    values = np.where((np.hypot(x, y) < 15) & (z > -5), 10.0, 0.0)
    for (at, _), radius, level in (((7.0, 0), 1.0, rod_2), ((-7.0, 0), 2.5, rod_5)):
        values[(np.hypot(x - at, y) <= radius) & (z < -5)] = 10 * level
    for at, level in ((7.5, water), (-7.5, air)):
        values[(np.hypot(x - at, y) <= 4) & (z > 10)] = 10 * level
    rng = np.random.default_rng(3)
    return picture(values * (1 + noise * rng.standard_normal(values.shape)))


def test_mouse_figures_are_those_drawn():
    found = mouse_quality(mouse_picture(), MOUSE)
    assert found.uniform.mean == pytest.approx(10)
    assert found.uniform.variation == pytest.approx(0, abs=1e-9)
    assert [rod.recovery for rod in found.rods] == pytest.approx([0.4, 0.9])
    assert found.spill_over["water"][0] == pytest.approx(0.1)
    assert found.spill_over["air"][0] == pytest.approx(0.02)


def test_noise_of_the_mouse_is_told_of_uniformity_and_rods():
    found = mouse_quality(mouse_picture(noise=0.05), MOUSE)
    assert found.uniform.variation == pytest.approx(0.05, rel=0.1)
    for rod in found.rods:  # 20 slices along the rod and the uniform part, each with 5 %
        assert rod.relative_sd == pytest.approx(0.05 * 2**0.5, rel=0.35)


def test_lung_residual_is_the_share_left_in_it():
    x, y, z, picture = drawn(2.0, (100, 100, 70))
    values = np.where(np.hypot(x, y) < 25, 1.5, 10.0) * np.ones_like(z)
    at, residual = lung_residuals(picture(values), 10.0, half_length_mm=50)
    assert np.abs(at).max() <= 50
    np.testing.assert_allclose(residual, 0.15)


def test_background_discs_avoid_the_insert():
    warm = Warm((0, 0, 0), 200, 180)
    sphere = Sphere((57.2, 0.0, 0.0), 10.0, 4.0)
    places = background_places([sphere], warm, disc_mm=10.0, z_mm=0.0, insert_mm=50.0)
    assert len(places) >= 60
    assert min(np.hypot(x, y) for x, y, _ in places) >= 25 + 5 + 7.5


def test_recovery_beside_an_insert_is_that_drawn():
    x, y, z, picture = drawn(2.0, (100, 100, 90))
    values = np.where(np.hypot(x, y) < 25, 0.0, 10.0) * np.ones_like(z)
    values[np.hypot(np.hypot(x - 57.2, y), z) <= 20] = 25.0
    sphere, warm = Sphere((57.2, 0.0, 0.0), 37.0, 4.0), Warm((0, 0, 0), 200, 180)
    (found,) = sphere_contrasts(picture(values), [sphere], warm, insert_mm=50.0)
    assert found.recovery == pytest.approx(0.5, abs=0.01)
    assert found.variability == pytest.approx(0, abs=1e-9)
