"""List-mode MLEM and OSEM: its invariants, against a dense matrix, and its edges."""

from __future__ import annotations

import numpy as np
import pytest

from oracles.reconstruction import dense_matrix, lines_from_points, random_lines
from recon.core.events import EventList, Lors
from recon.core.grid import GridError, ImageGrid
from recon.core.tof import TofModel
from recon.em.event_store import EventStore
from recon.em.list_mode_osem import osem
from recon.em.problem import OsemError
from recon.projector.operator import Projector

GRID = ImageGrid((7, 6, 5), (4.0, 4.0, 5.0))
EVERYWHERE = np.ones(GRID.shape, dtype=bool)


def exposure_of_all_pairs(grid: ImageGrid, lors: Lors) -> np.ndarray:
    return Projector(grid).back(np.ones(len(lors), np.float32), lors)


def blob_events(count: int = 4000, *, seed: int = 5) -> Lors:
    points = np.random.default_rng(seed).normal([3, -2, 1], 3.0, (count, 3))
    return lines_from_points(points, radius_mm=30.0, z_mm=25.0)


def test_mlem_equals_the_dense_matrix_and_binned_mlem() -> None:
    """Every line may occur many times: a list of events is a list of counts written out."""
    lines = random_lines(300, radius_mm=30.0, z_mm=14.0)
    matrix = dense_matrix(GRID, lines)
    rng = np.random.default_rng(1)
    counts = rng.poisson(matrix @ rng.random(matrix.shape[1]) * 0.2)
    background = 0.05
    sensitivity = matrix.sum(axis=0)
    start = np.where(sensitivity > 0, counts.sum() / sensitivity.sum(), 0.0)
    image = start.copy()
    hit = counts > 0
    for _ in range(20):
        expected = matrix @ image + background
        ratio = matrix[hit].T @ (counts[hit] / expected[hit])
        image = np.where(
            sensitivity > 0, image * ratio / np.where(sensitivity > 0, sensitivity, 1), 0
        )
    seen = matrix.sum(axis=1) > 0
    written_out = np.repeat(np.arange(len(counts)), np.where(seen, counts, 0))
    listed = lines.take(rng.permutation(written_out))
    ones = np.ones(len(listed), np.float32)
    events = EventList(listed, ones, np.float32(background) * ones)
    ours = osem(
        Projector(GRID),
        events,
        sensitivity.reshape(GRID.shape).astype(np.float32),
        EVERYWHERE,
        iterations=20,
        subsets=1,
        initial=start.reshape(GRID.shape).astype(np.float32),
    ).image
    assert np.allclose(ours.reshape(-1), image, rtol=1e-4, atol=1e-5 * image.max())


@pytest.mark.parametrize("tof", [None, TofModel(sigma_mm=6.0, bin_mm=1.0)])
def test_counts_are_kept_and_likelihood_never_falls(tof: TofModel | None) -> None:
    lines = blob_events()
    exposure = exposure_of_all_pairs(GRID, random_lines(50_000, radius_mm=30.0, z_mm=25.0)) * 0.1
    image = None
    last = -np.inf
    for _ in range(12):
        result = osem(
            Projector(GRID, tof=tof),
            EventList.plain(lines),
            exposure,
            EVERYWHERE,
            iterations=1,
            subsets=1,
            initial=image,
        )
        image = result.image
        assert (exposure * image).sum(dtype=np.float64) == pytest.approx(result.used, rel=1e-5)
        assert result.log_likelihood[0] >= last - 1e-6 * abs(last)
        last = result.log_likelihood[0]


def test_order_of_events_does_not_matter() -> None:
    lines = blob_events()
    exposure = exposure_of_all_pairs(GRID, random_lines(5000, radius_mm=30.0, z_mm=25.0))
    shuffled = lines.take(np.random.default_rng(9).permutation(len(lines)))
    images = [
        osem(
            Projector(GRID), EventList.plain(x), exposure, EVERYWHERE, iterations=4, subsets=1
        ).image
        for x in (lines, shuffled)
    ]
    assert np.allclose(*images, rtol=1e-4, atol=1e-6 * images[0].max())


def test_more_threads_give_the_same_image_to_the_bit() -> None:
    events = EventList.plain(blob_events())
    exposure = exposure_of_all_pairs(GRID, random_lines(5000, radius_mm=30.0, z_mm=25.0))
    two = Projector(GRID, threads=2)
    images = [
        osem(projector, events, exposure, EVERYWHERE, subsets=4).image
        for projector in (Projector(GRID), two)
    ]
    two.close()
    assert np.array_equal(*images)


def test_background_takes_away_what_it_explains() -> None:
    """Uniform background lines beside a blob: with the right background the blob's counts stay."""
    blob, noise = blob_events(3000), random_lines(3000, radius_mm=30.0, z_mm=12.0)
    both = Lors(np.concatenate([blob.start, noise.start]), np.concatenate([blob.end, noise.end]))
    exposure = exposure_of_all_pairs(GRID, random_lines(50_000, radius_mm=30.0, z_mm=25.0)) * 0.02
    plain = EventList.plain(both)
    corrected = EventList(plain.lors, plain.weight, np.full(len(both), 3.0, np.float32))
    projector = Projector(GRID)
    bare = osem(projector, plain, exposure, EVERYWHERE, iterations=5, subsets=1).image
    clean = osem(projector, corrected, exposure, EVERYWHERE, iterations=5, subsets=1).image
    assert (exposure * clean).sum() < 0.9 * (exposure * bare).sum()
    assert np.isfinite(clean).all()


def test_point_source_is_found_within_half_a_voxel() -> None:
    grid = ImageGrid((25, 25, 21), (2.0, 2.0, 2.0))
    where = np.array([7.3, -4.9, 3.6])
    lines = lines_from_points(np.tile(where, (3000, 1)), radius_mm=60.0, z_mm=40.0)
    exposure = exposure_of_all_pairs(grid, random_lines(100_000, radius_mm=60.0, z_mm=40.0))
    events = EventList.plain(lines)
    image = osem(Projector(grid), events, exposure, np.ones(grid.shape, bool), subsets=4).image
    axes = [axis.reshape(-1) for axis in grid.axes_mm()]
    marginals = [image.sum(axis=tuple({0, 1, 2} - {k})) for k in range(3)]
    centroid = [np.average(a, weights=m) for a, m in zip(axes, marginals, strict=True)]
    assert np.abs(np.array(centroid) - where).max() < 1.0


def test_no_events_give_an_empty_image() -> None:
    empty = EventList.plain(random_lines(0))
    result = osem(Projector(GRID), empty, np.ones(GRID.shape, np.float32), EVERYWHERE)
    assert not result.image.any() and result.used == 0


def test_events_outside_are_counted_and_harm_nothing() -> None:
    outside = Lors(np.float32([[-99, 50, 0]] * 10), np.float32([[99, 50, 0]] * 10))
    inside = blob_events(500)
    both = Lors(
        np.concatenate([outside.start, inside.start]), np.concatenate([outside.end, inside.end])
    )
    exposure = exposure_of_all_pairs(GRID, random_lines(5000, radius_mm=30.0, z_mm=25.0))
    result = osem(Projector(GRID), EventList.plain(both), exposure, EVERYWHERE)
    assert result.unexplained >= 10 and np.isfinite(result.image).all()


def test_voxels_outside_the_mask_stay_empty() -> None:
    mask = EVERYWHERE.copy()
    mask[:, :, :2] = False
    exposure = exposure_of_all_pairs(GRID, random_lines(5000, radius_mm=30.0, z_mm=25.0))
    image = osem(Projector(GRID), EventList.plain(blob_events(500)), exposure, mask).image
    assert not image[~mask].any() and image[mask].any()


def test_stopping_keeps_the_image_so_far() -> None:
    calls = iter([False] * 5 + [True] * 99)
    result = osem(
        Projector(GRID),
        EventList.plain(blob_events(500)),
        np.ones(GRID.shape, np.float32),
        EVERYWHERE,
        subsets=2,
        stopped=lambda: next(calls),
    )
    assert result.iterations == 2 and result.image.any()


def test_a_list_with_nothing_inside_the_grid_gives_an_empty_image_and_says_so() -> None:
    outside = Lors(np.float32([[-99, 50, 0]] * 10), np.float32([[99, 50, 0]] * 10))
    result = osem(
        Projector(GRID), EventList.plain(outside), np.ones(GRID.shape, np.float32), EVERYWHERE
    )
    assert not result.image.any() and result.unexplained == 10 and result.iterations == 1
    assert result.stopped_by == "no event can be explained"


def test_one_event_in_eight_subsets_does_not_empty_the_image() -> None:
    """Subsets are at most as many as events, and one that explains nothing changes nothing."""
    both = Lors(
        np.float32([[-99, 50, 0]] * 7 + [[-99, 1, 0]]), np.float32([[99, 50, 0]] * 7 + [[99, 2, 0]])
    )
    result = osem(
        Projector(GRID), EventList.plain(both), np.ones(GRID.shape, np.float32), EVERYWHERE
    )
    assert result.subsets == 8 and result.image.any() and np.isfinite(result.image).all()
    assert result.used == 1 and result.unexplained == 7


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_images_that_poison_are_refused(value: float) -> None:
    good = np.ones(GRID.shape, np.float32)
    bad = good.copy()
    bad[2, 3, 4] = value
    events = EventList.plain(blob_events(50))
    with pytest.raises(OsemError, match="initial image: 1 voxels are negative or not finite"):
        osem(Projector(GRID), events, good, EVERYWHERE, initial=bad)
    with pytest.raises(OsemError, match="exposure: 1 voxels of the mask"):
        osem(Projector(GRID), events, bad, EVERYWHERE)
    made = osem(Projector(GRID), events, bad, np.isfinite(bad) & (bad > 0))
    assert np.isfinite(made.image).all() and made.image[2, 3, 4] == 0


def test_images_of_another_grid_are_refused() -> None:
    events, good = EventList.plain(blob_events(50)), np.ones(GRID.shape, np.float32)
    other = np.ones((3, 3, 3), np.float32)
    for plan in ({"exposure": other}, {"initial": other}, {"mask": other > 0}):
        with pytest.raises(GridError, match=r"has shape \(3, 3, 3\)"):
            osem(Projector(GRID), events, **{"exposure": good, "mask": EVERYWHERE, **plan})


def test_a_store_keeps_its_number_of_subsets() -> None:
    good = np.ones(GRID.shape, np.float32)
    with EventStore.build([EventList.plain(blob_events(50))], subsets=3) as store:
        assert osem(Projector(GRID), store, good, EVERYWHERE).subsets == 3
        with pytest.raises(OsemError, match="the store was made for 3"):
            osem(Projector(GRID), store, good, EVERYWHERE, subsets=4)


@pytest.mark.parametrize(("iterations", "subsets"), [(0, 8), (4, 0), (4, 5000)])
def test_absurd_plans_are_refused(iterations: int, subsets: int) -> None:
    with pytest.raises(OsemError, match=r"must lie in 1\.\.1000"):
        osem(
            Projector(GRID),
            EventList.plain(blob_events(10)),
            np.ones(GRID.shape, np.float32),
            EVERYWHERE,
            iterations=iterations,
            subsets=subsets,
        )
