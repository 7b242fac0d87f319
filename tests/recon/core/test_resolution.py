"""Resolution models: mass, width and adjoint, the detector, and what EM makes of them."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from hw.physics.nuclides import load_nuclide
from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import lines_from_points, random_lines
from recon.attenuation.range_in_object import range_in_object
from recon.core.detector_response import DetectorBlur, detector_resolution
from recon.core.events import EventList
from recon.core.grid import ImageGrid
from recon.core.radial_resolution import RadialResolution
from recon.core.range_resolution import FollowedBy, RangeBlur, RangeResolution
from recon.core.resolution import GaussianResolution, Resolution, ResolutionError
from recon.em.list_mode_osem import osem
from recon.projector.operator import Projector

GRID = ImageGrid((21, 19, 17), (2.0, 2.5, 3.0))
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))


def radial(grid: ImageGrid = GRID, *, threads: int = 1) -> RadialResolution:
    """Return a point spread that widens along the radius, from 1.5 to about 4 mm."""
    x, y, _ = grid.axes_mm()
    r = np.hypot(x, y)[:, :, 0]
    return RadialResolution(
        grid,
        radial_mm=1.5 + 0.1 * r,
        tangential_mm=np.full(r.shape, 1.5),
        axial_mm=2.0,
        threads=threads,
    )


def rubidium() -> RangeBlur:
    found = range_in_object(load_nuclide("Rb-82"), None)
    assert found is not None
    return found


MODELS: list[Resolution] = [
    GaussianResolution(GRID, (5.0, 4.0, 9.0)),
    radial(),
    RangeResolution(GRID, rubidium()),
    RangeResolution(GRID, rubidium(), (4.0, 4.0, 5.0)),
    FollowedBy(RangeResolution(GRID, rubidium()), radial()),
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
def test_every_emission_keeps_its_mass_up_to_the_corner(model: Resolution) -> None:
    assert np.allclose(model.adjoint(np.ones(GRID.shape, np.float32)), 1.0, atol=2e-6)
    corner = np.zeros(GRID.shape, np.float32)
    corner[0, 0, -1] = 1.0
    assert model.apply(corner).sum() == pytest.approx(1.0, rel=2e-6)
    image = random_image(3)
    assert model.apply(image).sum() == pytest.approx(image.sum(), rel=1e-5)
    assert (model.apply(image) >= 0).all()


def test_a_point_gets_the_width_asked_for() -> None:
    """Variance of a Gaussian integrated over voxels: σ² + h²/12, less the tails beyond 4 σ."""
    point = np.zeros(GRID.shape, np.float32)
    point[10, 9, 8] = 1.0
    image = GaussianResolution(GRID, (5.0, 4.0, 9.0)).apply(point)
    for axis, fwhm in enumerate((5.0, 4.0, 9.0)):
        profile = image.sum(axis=tuple({0, 1, 2} - {axis})).astype(np.float64)
        place = GRID.axes_mm()[axis].reshape(-1)
        size = GRID.voxel_mm[axis]
        expected = (fwhm / FWHM_PER_SIGMA) ** 2 + size**2 / 12
        assert (profile * place**2).sum() - (profile * place).sum() ** 2 == pytest.approx(
            expected, rel=0.01
        )


def test_no_width_changes_nothing() -> None:
    image = random_image(4)
    assert np.array_equal(GaussianResolution(GRID, (0.0, 0.0, 0.0)).apply(image), image)
    nothing = np.zeros(GRID.shape[:2])
    still = RadialResolution(GRID, radial_mm=nothing, tangential_mm=nothing, axial_mm=0.0)
    assert np.array_equal(still.apply(image), image)


def test_radial_widths_point_to_the_axis() -> None:
    """At 45 degrees the covariance of a blurred point is that of the widths, turned by 45°."""
    grid = ImageGrid((61, 61, 1), (1.0, 1.0, 4.0))
    shape = grid.shape[:2]
    model = RadialResolution(
        grid, radial_mm=np.full(shape, 3.0), tangential_mm=np.full(shape, 1.5), axial_mm=0.0
    )
    point = np.zeros(grid.shape, np.float32)
    point[45, 45] = 1.0
    image = model.apply(point)[:, :, 0].astype(np.float64)
    x, y = (axis.reshape(-1) - 15.0 for axis in grid.axes_mm()[:2])
    xx = (image.sum(1) * x**2).sum()
    xy = (image * np.outer(x, y)).sum()
    # cut at 3 σ a two-dimensional Gaussian keeps 1 - 4.5 e^-4.5 / (1 - e^-4.5) of its variance
    kept = 1 - 4.5 * math.exp(-4.5) / (1 - math.exp(-4.5))
    voxel = 1 / 12
    assert xx - xy == pytest.approx(kept * 1.5**2 + voxel, rel=0.03)
    assert xx + xy == pytest.approx(kept * 3.0**2 + voxel, rel=0.03)


def test_threads_do_not_change_a_bit() -> None:
    image = random_image(5)
    one, three = radial(), radial(threads=3)
    assert np.array_equal(one.apply(image), three.apply(image))
    assert np.array_equal(one.adjoint(image), three.adjoint(image))


def test_detector_blur_equals_drawn_detections() -> None:
    """Oracle: photons drawn into crystals on a ring, mislocated as the preset says."""
    scanner = load_scanner("caremibrain")
    blur = DetectorBlur.of(scanner)
    rng = np.random.default_rng(0)
    block, count = scanner.module, 200_000
    width = rng.normal(0, scanner.response.position_fwhm_mm / FWHM_PER_SIGMA, (2, count))
    width += rng.uniform(-0.5, 0.5, (2, count)) * block.pitch_u_mm
    doi = scanner.response.doi_fwhm_mm / FWHM_PER_SIGMA
    depth = rng.exponential(1 / 0.0774, (2, 3 * count))
    depth = depth[:, (depth < block.thickness_mm).all(axis=0)][:, :count]
    said = np.digitize(depth + rng.normal(0, doi, depth.shape), np.arange(1, 8) * 1.875)
    stands_for = np.array([depth[said == k].mean() for k in range(8)])
    wrong_depth = depth - stands_for[said]
    for r in (0.0, 60.0, 100.0):
        sine = r / blur.radius_mm
        cosine = math.sqrt(1 - sine**2)
        # a line across the radius: both ends err across it, and the middle by their mean
        error = (width[:, : depth.shape[1]] * cosine + wrong_depth * sine).mean(axis=0)
        half = blur.radius_mm * cosine
        error += rng.normal(0, 0.0088 * half / 2 / FWHM_PER_SIGMA, len(error))
        # what stands for a bin is drawn here (with its DOI blur), and the preset's mean there: 5 %
        assert blur.radial_mm(np.array([r]))[0] == pytest.approx(error.std(), rel=0.05)


def test_depth_of_interaction_holds_parallax_down() -> None:
    scanner = load_scanner("caremibrain")
    without = msgspec.structs.replace(
        scanner, module=msgspec.structs.replace(scanner.module, doi_bins=1)
    )
    edge = np.array([100.0])
    assert DetectorBlur.of(without).depth_mm == pytest.approx(4.2, abs=0.2)
    assert DetectorBlur.of(without).radial_mm(edge) > 1.5 * DetectorBlur.of(scanner).radial_mm(edge)
    centre = np.zeros(1)
    assert DetectorBlur.of(scanner).radial_mm(centre) == pytest.approx(
        DetectorBlur.of(scanner).tangential_mm(centre)
    )


def test_detector_resolution_fits_the_scanner() -> None:
    scanner = load_scanner("bench2")
    grid = ImageGrid((16, 16, 8), (2.0, 2.0, 4.0))
    model = detector_resolution(scanner, grid)
    assert np.allclose(model.adjoint(np.ones(grid.shape, np.float32)), 1.0, atol=2e-6)


@pytest.mark.parametrize("fwhm", [(-1.0, 1.0, 1.0), (1.0, math.nan, 1.0), (1.0, 1e4, 1.0)])
def test_absurd_widths_are_refused(fwhm: tuple[float, float, float]) -> None:
    with pytest.raises(ResolutionError, match=r"three widths in 0\.\.1000"):
        GaussianResolution(GRID, fwhm)


@pytest.mark.parametrize("width", [np.nan, -1.0])
def test_absurd_radial_widths_are_refused(width: float) -> None:
    ones = np.ones(GRID.shape[:2])
    with pytest.raises(ResolutionError, match="finite and not negative"):
        RadialResolution(GRID, radial_mm=ones * width, tangential_mm=ones, axial_mm=1.0)
    with pytest.raises(ResolutionError, match="larger voxels"):
        RadialResolution(GRID, radial_mm=ones * 20, tangential_mm=ones, axial_mm=1.0)


def test_em_with_a_resolution_model_keeps_counts_and_likelihood_and_sharpens() -> None:
    grid = ImageGrid((17, 17, 9), (3.0, 3.0, 4.0))
    rng = np.random.default_rng(7)
    points = rng.normal(0.0, 3.0, (6000, 3)) + np.where(rng.random((6000, 1)) < 0.5, 9.0, -9.0)
    points[:, 2] = points[:, 2].clip(-12, 12)
    events = EventList.plain(lines_from_points(points, radius_mm=60.0, z_mm=30.0))
    lines = random_lines(60_000, radius_mm=60.0, z_mm=30.0)
    exposure = Projector(grid).back(np.ones(60_000, np.float32), lines)
    everywhere = np.ones(grid.shape, bool)
    model = GaussianResolution(grid, (7.0, 7.0, 7.0))
    plain = osem(Projector(grid), events, exposure, everywhere, iterations=15, subsets=1)
    sharp = osem(
        Projector(grid), events, exposure, everywhere, iterations=15, subsets=1, resolution=model
    )
    kept = np.vdot(model.adjoint(exposure).astype(np.float64), sharp.image)
    assert kept == pytest.approx(sharp.used, rel=1e-5)
    steps = np.diff(sharp.log_likelihood)
    assert (steps >= -1e-6 * abs(sharp.log_likelihood[-1])).all()
    assert sharp.image.max() > 1.2 * plain.image.max()
