"""The positron range in the resolution model: shape, and what it combines with."""

from __future__ import annotations

import numpy as np
import pytest

from hw.physics.constants import FWHM_PER_SIGMA
from hw.physics.nuclides import load_nuclide
from hw.physics.positron_range import PositronRange
from recon.attenuation.range_in_object import range_in_object
from recon.core.grid import ImageGrid
from recon.core.range_resolution import RangeBlur, RangeResolution
from recon.core.resolution import GaussianResolution, ResolutionError

GRID = ImageGrid((21, 19, 17), (2.0, 2.5, 3.0))


def blur_of(name: str) -> RangeBlur:
    found = range_in_object(load_nuclide(name), None)
    assert found is not None
    return found


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(GRID.shape, dtype=np.float32)


def test_blur_is_symmetric_away_from_the_edge() -> None:
    model = RangeResolution(ImageGrid((41, 41, 41), (2.0, 2.0, 2.0)), blur_of("Ga-68"))
    point = np.zeros((41, 41, 41), np.float32)
    point[20, 20, 20] = 1.0
    assert np.allclose(model.apply(point), model.adjoint(point), atol=1e-7)


def test_a_point_becomes_the_nuclides_distribution() -> None:
    """Oracle: radii drawn from the distribution itself, counted in voxels about a decay in the
    middle of one. Its mean square along an axis is the range's and the voxel's."""
    positrons = PositronRange.of(load_nuclide("Rb-82"))
    assert positrons is not None
    grid = ImageGrid((41, 41, 41), (1.5, 1.5, 1.5))
    point = np.zeros(grid.shape, np.float32)
    point[20, 20, 20] = 1.0
    blurred = RangeResolution(grid, blur_of("Rb-82")).apply(point)
    rng = np.random.default_rng(0)
    radius = np.interp(rng.random(1_000_000), positrons.within, positrons.radius_mm)
    direction = rng.normal(size=(len(radius), 3))
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    drawn, _ = np.histogramdd(radius[:, None] * direction, bins=[(np.arange(42) - 20.5) * 1.5] * 3)
    drawn /= len(radius)
    line, expected = blurred.sum(axis=(1, 2)), drawn.sum(axis=(1, 2))
    assert np.abs(line - expected).max() < 0.03 * expected.max()
    assert np.abs(blurred - drawn).sum() < 0.12  # of 2, were they disjoint
    x = (np.arange(41) - 20) * 1.5
    square = float((line * x**2).sum())
    assert square == pytest.approx(positrons.rms_mm**2 + 1.5**2 / 12, rel=0.02)


def test_fluorine_changes_nearly_nothing_in_voxels_of_2_mm() -> None:
    image = random_image(4)
    gaussian = GaussianResolution(GRID, (4.0, 4.0, 4.0)).apply(image)
    fluorine = RangeResolution(GRID, blur_of("F-18"), (4.0, 4.0, 4.0)).apply(image)
    rubidium = RangeResolution(GRID, blur_of("Rb-82"), (4.0, 4.0, 4.0)).apply(image)
    assert np.abs(fluorine - gaussian).mean() < 0.1 * np.abs(rubidium - gaussian).mean()


def test_a_gaussian_adds_in_quadrature() -> None:
    grid = ImageGrid((61, 3, 3), (1.0, 1.0, 1.0))
    one = RangeBlur((1.0,), (3.0,))
    model = RangeResolution(grid, one, (4.0 * FWHM_PER_SIGMA, 0.0, 0.0))
    expected = GaussianResolution(grid, (5.0 * FWHM_PER_SIGMA, *[3.0 * FWHM_PER_SIGMA] * 2))
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    assert np.allclose(model.apply(image), expected.apply(image), atol=1e-6)


def test_thinner_matter_widens_it() -> None:
    blur = blur_of("Ga-68")
    assert blur.scaled(4.0).rms_mm == pytest.approx(4 * blur.rms_mm)
    assert blur.scaled(4.0).weights == blur.weights


@pytest.mark.parametrize(("weights", "sigmas"), [((0.5, 0.4), (1.0, 2.0)), ((1.0,), (1.0, 2.0))])
def test_weights_that_are_no_shares_are_refused(
    weights: tuple[float, ...], sigmas: tuple[float, ...]
) -> None:
    with pytest.raises(ResolutionError, match="sum of 1"):
        RangeBlur(weights, sigmas)
