"""SPECT EM against a dense matrix and its laws; peaks jointly; lists and counts alike."""

from __future__ import annotations

import numpy as np
import pytest

from hw.arrays import F4
from recon.core.grid import Image, ImageGrid
from recon.spect.osem import Channel, Events, Projections, SpectOsem
from recon.spect.peaks import SpectError
from recon.spect.projector import SpectProjector
from recon.spect.views import View
from rigs.spect_camera import dense_row, grid_of, peak_of, small_head, view_at


def nothing(counts: F4) -> F4:
    return np.zeros_like(counts)


@pytest.fixture(scope="module")
def projector() -> SpectProjector:
    scanner = small_head(shape=(16, 16, 6), voxel_mm=14.0)
    grid = grid_of(scanner)
    mu = np.where(grid.cylinder(80.0), np.float32(0.0096), np.float32(0.0))
    return SpectProjector(scanner, grid, peak_of(scanner), mu=mu)


@pytest.fixture(scope="module")
def views(projector: SpectProjector) -> list[View]:
    return [view_at(projector.scanner, 15.0 * k, seconds=10.0) for k in range(24)]


def two_spheres(grid: ImageGrid) -> Image:
    """Return 40 kBq a voxel in two balls, 4 kBq around them, as an image."""
    x, y, z = grid.axes_mm()
    image = np.where(grid.cylinder(80.0), 4e3, 0.0)
    image[((x - 40) ** 2 + y**2 + z**2) < 28**2] = 4e4
    image[((x + 30) ** 2 + (y - 20) ** 2 + z**2) < 25**2] = 4e4
    return image.astype(np.float32)


def counts_of(projector: SpectProjector, views: list[View], seed: int) -> F4:
    expected = projector.forward(two_spheres(projector.grid), views)
    return np.random.default_rng(seed).poisson(expected).astype(np.float32)


def em(
    projector: SpectProjector, views: list[View], data: Projections, subsets: int = 1
) -> SpectOsem:
    mask = projector.grid.cylinder(112.0)
    return SpectOsem([Channel(projector, data)], views, mask, subsets)


def test_iterates_are_those_of_a_dense_matrix() -> None:
    """5 MLEM updates in numpy with double precision; tables end where 0.1 % are left."""
    scanner = small_head(pixels=6, shape=(6, 6, 4), voxel_mm=30.0)
    grid = grid_of(scanner)
    projector = SpectProjector(scanner, grid, peak_of(scanner), radius_mm=200.0)
    views = [view_at(scanner, 40.0 * k, seconds=1e3) for k in range(9)]
    matrix = np.concatenate([dense_row(projector, view, None) for view in views])
    rng = np.random.default_rng(6)
    counts = rng.poisson(matrix @ rng.uniform(0, 2e3, matrix.shape[1]))
    background = np.full(len(counts), 3.0)
    image = np.full(matrix.shape[1], 1e3)
    for _ in range(5):
        image *= matrix.T @ (counts / (matrix @ image + background)) / matrix.sum(axis=0)
    shape = (len(views), scanner.module.n_u, scanner.module.n_v)
    data = Projections(counts.reshape(shape).astype("f4"), background.reshape(shape).astype("f4"))
    osem = SpectOsem([Channel(projector, data)], views, np.ones(grid.shape, np.bool_), 1)
    got = osem.run(5, initial=np.full(grid.shape, 1e3, np.float32))
    np.testing.assert_allclose(got.ravel(), image, rtol=0.01, atol=2e-3 * image.max())


def test_the_likelihood_never_falls_and_counts_are_kept(
    projector: SpectProjector, views: list[View]
) -> None:
    counts = counts_of(projector, views, 7)
    osem = em(projector, views, Projections(counts, nothing(counts)))
    image = osem.run(6)
    assert np.all(np.diff(osem.log_likelihood) > -1e-6 * abs(osem.log_likelihood[-1]))
    kept = float((osem.sensitivity(0) * image).sum(dtype=np.float64))
    # what lies outside the mask is explained by nobody: a count in a thousand
    assert kept == pytest.approx(float(counts.sum()), rel=2e-3)


def test_osem_finds_the_activities_of_spheres(projector: SpectProjector, views: list[View]) -> None:
    """5 %: some 10⁵ counts in the balls' voxels, noise of a whole ball about 1 %."""
    long = [view_at(projector.scanner, v.angle_deg, seconds=300.0) for v in views]
    counts = counts_of(projector, long, 8)
    image = em(projector, long, Projections(counts, nothing(counts)), subsets=6).run(12)
    truth = two_spheres(projector.grid)
    x, y, z = projector.grid.axes_mm()
    ball = ((x - 40) ** 2 + y**2 + z**2) < 42**2  # with what blur leaves around it
    assert float(image[ball].sum() / truth[ball].sum()) == pytest.approx(1.0, abs=0.05)
    assert float(image.sum() / truth.sum()) == pytest.approx(1.0, abs=0.02)


def test_a_list_of_singles_gives_what_its_counts_give(
    projector: SpectProjector, views: list[View]
) -> None:
    counts = counts_of(projector, views, 9)
    n = counts.astype(np.int64)
    view, pixel = np.divmod(np.repeat(np.arange(n.size), n.ravel()), n[0].size)
    order = np.random.default_rng(1).permutation(len(view))
    scatter = np.full_like(counts, 0.2)
    events = Events.of(view[order], pixel[order], np.ones(len(view), np.float32), scatter)
    mask = projector.grid.cylinder(112.0)
    binned = SpectOsem([Channel(projector, Projections(counts, scatter))], views, mask, 4).run(2)
    listed = SpectOsem([Channel(projector, events)], views, mask, 4).run(2)
    np.testing.assert_allclose(listed, binned, rtol=1e-4, atol=1e-5 * binned.max())


def test_both_peaks_of_lutetium_are_one_image() -> None:
    """Each with its own response, µ and yield: joint counts, less noise than one peak alone."""
    scanner = small_head(shape=(16, 16, 6), voxel_mm=14.0, preset="gamma_head_melp")
    grid = grid_of(scanner)
    mu = np.where(grid.cylinder(80.0), np.float32(0.0096), np.float32(0.0))
    pair = [SpectProjector(scanner, grid, peak_of(scanner, "Lu-177", k), mu=mu) for k in (0, 1)]
    views = [view_at(scanner, 15.0 * k, seconds=100.0) for k in range(24)]
    channels = []
    for seed, projector in enumerate(pair):
        counts = counts_of(projector, views, 10 + seed)
        channels.append(Channel(projector, Projections(counts, nothing(counts))))
    mask, truth = grid.cylinder(112.0), two_spheres(grid)
    joint = SpectOsem(channels, views, mask, 4).run(4)
    alone = SpectOsem(channels[:1], views, mask, 4).run(4)
    assert float(joint.sum() / truth.sum()) == pytest.approx(1.0, abs=0.02)
    inside = truth > 0

    def error(image: Image) -> float:
        return float(np.sqrt(np.mean((image - truth)[inside] ** 2)))

    assert error(joint) < error(alone)


def test_nonsense_is_refused(projector: SpectProjector, views: list[View]) -> None:
    counts = np.zeros((24, 16, 16), np.float32)
    for bad in (0, 1001):
        with pytest.raises(SpectError, match="subsets"):
            em(projector, views, Projections(counts, counts), subsets=bad)
    with pytest.raises(SpectError, match="iterations"):
        em(projector, views, Projections(counts, counts)).run(0)
    with pytest.raises(SpectError, match="no view"):
        em(projector, [], Projections(counts, counts))
