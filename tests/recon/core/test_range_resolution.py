"""The positron range in the resolution model: mass, adjoint, shape, and what it combines with."""

from __future__ import annotations

import numpy as np
import pytest

from hw.physics.constants import FWHM_PER_SIGMA
from hw.physics.nuclides import load_nuclide
from hw.physics.positron_range import PositronRange
from hw.scanner.preset_file import load_scanner
from recon.core.detector_response import detector_resolution
from recon.core.grid import ImageGrid
from recon.core.range_resolution import FollowedBy, RangeBlur, RangeResolution
from recon.core.resolution import GaussianResolution, Resolution, ResolutionError

GRID = ImageGrid((21, 19, 17), (2.0, 2.5, 3.0))


def blur_of(name: str) -> RangeBlur:
    found = PositronRange.of(load_nuclide(name))
    assert found is not None
    weights, sigmas = found.gaussians()
    return RangeBlur(tuple(weights.tolist()), tuple(sigmas.tolist()))


MODELS: list[Resolution] = [
    RangeResolution(GRID, blur_of("Rb-82")),
    RangeResolution(GRID, blur_of("Ga-68"), (4.0, 4.0, 5.0)),
    FollowedBy(
        RangeResolution(GRID, blur_of("Rb-82")),
        detector_resolution(load_scanner("bench2"), GRID),
    ),
]


def random_image(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(GRID.shape, dtype=np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_adjoint_is_exact(model: Resolution) -> None:
    x, y = random_image(1), random_image(2)
    left = np.vdot(model.apply(x).astype(np.float64), y)
    right = np.vdot(x.astype(np.float64), model.adjoint(y))
    assert left == pytest.approx(right, rel=1e-6)


@pytest.mark.parametrize("model", MODELS)
def test_every_decay_keeps_its_mass_up_to_the_corner(model: Resolution) -> None:
    assert np.allclose(model.adjoint(np.ones(GRID.shape, np.float32)), 1.0, atol=2e-6)
    corner = np.zeros(GRID.shape, np.float32)
    corner[0, 0, -1] = 1.0
    assert model.apply(corner).sum() == pytest.approx(1.0, rel=2e-6)
    image = random_image(3)
    assert model.apply(image).sum() == pytest.approx(image.sum(), rel=1e-5)
    assert (model.apply(image) >= 0).all()


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
