"""Joseph's projector pair: values, adjointness, edges, time of flight, threads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.reconstruction import dense_matrix, random_lines, slow_forward, slow_joseph
from recon.core.events import EventList, Lors
from recon.core.grid import GridError, ImageGrid
from recon.core.tof import TofModel
from recon.projector.operator import Projector, ProjectorError

GRID = ImageGrid((20, 24, 12), (2.0, 1.5, 3.0))
TOF = TofModel(sigma_mm=8.0, bin_mm=2.0)


def image_of(grid: ImageGrid, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random(grid.shape, dtype=np.float32)


def test_forward_equals_slow_joseph() -> None:
    image, lors = image_of(GRID), random_lines(400)
    ours = Projector(GRID).forward(image, lors)
    assert np.allclose(ours, slow_forward(image, GRID, lors), rtol=2e-6, atol=2e-5)


def test_back_equals_the_dense_matrix_transposed() -> None:
    grid = ImageGrid((6, 5, 4), (4.0, 5.0, 6.0))
    lors = random_lines(60, radius_mm=25.0, z_mm=14.0)
    values = np.random.default_rng(2).random(60, dtype=np.float32)
    back = Projector(grid).back(values, lors)
    assert np.allclose(back.reshape(-1), dense_matrix(grid, lors).T @ values, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("tof", [None, TOF])
def test_back_is_the_adjoint_of_forward(tof: TofModel | None) -> None:
    projector, lors, image = Projector(GRID, tof=tof), random_lines(20_000), image_of(GRID)
    values = np.random.default_rng(3).random(len(lors), dtype=np.float32)
    left = projector.forward(image, lors).astype(np.float64) @ values
    right = (projector.back(values, lors).astype(np.float64) * image).sum()
    assert left == pytest.approx(right, rel=1e-6)


def test_uniform_image_gives_the_chord() -> None:
    grid = ImageGrid((40, 40, 40), (1.0, 1.0, 1.0))
    start = np.array([[-60, 3.2, 1.1], [0.3, 60, 2], [1, 2, -60]], np.float32)
    end = np.array([[60, 3.2, 1.1], [0.3, -60, 2], [1, 2, 60]], np.float32)
    chord = Projector(grid).forward(np.ones(grid.shape, np.float32), Lors(start, end))
    assert np.allclose(chord, 40.0, rtol=1e-6)
    oblique = Lors(np.float32([[-60, -30, -15]]), np.float32([[60, 30, 15]]))
    through_x = 40.0 * np.sqrt(1 + 0.25 + 0.0625)
    assert Projector(grid).forward(np.ones(grid.shape, np.float32), oblique) == pytest.approx(
        [through_x], rel=1e-6
    )


def test_tof_equals_the_kernel_on_every_plane() -> None:
    image, lors = image_of(GRID), random_lines(200)
    ours = Projector(GRID, tof=TOF).forward(image, lors)
    for k in range(len(lors)):
        value, distance = slow_joseph(image.astype(np.float64), GRID, lors.start[k], lors.end[k])
        expected = (value * TOF.weight(distance - lors.offset_mm[k])).sum()
        assert ours[k] == pytest.approx(expected, rel=2e-3, abs=2e-3)


def test_tof_bins_sum_to_no_tof() -> None:
    image, lors = image_of(GRID), random_lines(100)
    projector = Projector(GRID, tof=TOF)
    bins = np.arange(-60, 61) * TOF.bin_mm
    total = sum(
        projector.forward(image, Lors(lors.start, lors.end, np.full(100, b, np.float32)))
        for b in bins
    )
    assert np.allclose(total, Projector(GRID).forward(image, lors), rtol=5e-4, atol=1e-3)


def test_tof_offset_counts_towards_the_end() -> None:
    grid = ImageGrid((41, 3, 3), (2.0, 2.0, 2.0))
    image = np.zeros(grid.shape, np.float32)
    image[30, 1, 1] = 1.0  # at x = +20 mm
    line = [np.float32([[-80, 0, 0]]), np.float32([[80, 0, 0]])]
    projector = Projector(grid, tof=TOF)
    here = projector.forward(image, Lors(*line, np.float32([20])))
    there = projector.forward(image, Lors(*line, np.float32([-20])))
    assert here > 0 and there == 0


@pytest.mark.parametrize("tof", [None, TOF])
def test_results_do_not_depend_on_threads(tof: TofModel | None) -> None:
    image, lors = image_of(GRID), random_lines(12_000)
    one, two = Projector(GRID, tof=tof), Projector(GRID, tof=tof, threads=2)
    events = EventList.plain(lors)
    assert np.array_equal(one.forward(image, lors), two.forward(image, lors))
    assert np.array_equal(one.em(image, events)[0], two.em(image, events)[0])
    two.close()


def test_em_is_back_of_ratio_of_forward() -> None:
    image, lors = image_of(GRID), random_lines(2000)
    projector = Projector(GRID)
    rng = np.random.default_rng(4)
    weight, addend = rng.random(2000, dtype=np.float32), 2.0 * rng.random(2000, dtype=np.float32)
    events = EventList(lors, weight, addend)
    ratio, sums = projector.em(image, events)
    expected = projector.forward(image, lors)
    hit = expected > 0
    mean = expected + events.addend
    plain = np.where(hit, events.weight / np.where(hit, mean, 1), 0).astype(np.float32)
    assert np.allclose(ratio, projector.back(plain, lors), rtol=1e-5, atol=1e-6)
    assert sums.used == pytest.approx(events.weight[hit].sum(), rel=1e-6)
    assert sums.unexplained == pytest.approx(events.weight[~hit].sum(), rel=1e-6)
    logs = np.log(mean[hit].astype(np.float64))
    assert sums.log_likelihood == pytest.approx((events.weight[hit] * logs).sum(), rel=1e-6)


def test_every_step_takes_each_event_once() -> None:
    image, lors = image_of(GRID), random_lines(1001)
    projector, events = Projector(GRID), EventList.plain(random_lines(1001))
    parts = [projector.em(image, events, first=k, step=7) for k in range(7)]
    whole, sums = projector.em(image, events)
    assert np.allclose(sum(part for part, _ in parts), whole, rtol=1e-5)
    assert (
        sum(s.used + s.unexplained for _, s in parts) == len(lors) == sums.used + sums.unexplained
    )


coordinate = st.floats(-200, 200, width=32) | st.sampled_from([0.0, 18.0, 20.0, -20.0, np.nan])


@settings(max_examples=200, deadline=None)
@given(ends=st.lists(coordinate, min_size=6, max_size=6), offset=st.floats(-1e6, 1e6, width=32))
def test_any_line_gives_finite_values(ends: list[float], offset: float) -> None:
    lors = Lors(np.float32([ends[:3]]), np.float32([ends[3:]]), np.float32([offset]))
    image = np.ones(GRID.shape, np.float32)
    for tof in (None, TOF):
        projector = Projector(GRID, tof=tof, lanes=1)
        forward = projector.forward(image, lors)
        back = projector.back(np.ones(1, np.float32), lors)
        assert np.isfinite(forward).all() and np.isfinite(back).all()
        assert back.sum(dtype=np.float64) == pytest.approx(float(forward[0]), rel=1e-4, abs=1e-4)


def test_line_outside_the_grid_gives_zero() -> None:
    lors = Lors(np.float32([[-50, 40, 0]]), np.float32([[50, 40, 0]]))
    image = image_of(GRID)
    assert Projector(GRID).forward(image, lors) == [0.0]
    ratio, sums = Projector(GRID).em(image, EventList.plain(lors))
    assert not ratio.any() and sums.unexplained == 1 and sums.used == 0


def test_line_counts_only_between_its_ends() -> None:
    grid = ImageGrid((40, 40, 40), (1.0, 1.0, 1.0))
    short = Lors(np.float32([[-10.2, 0.5, 0.5]]), np.float32([[9.8, 0.5, 0.5]]))
    assert Projector(grid).forward(np.ones(grid.shape, np.float32), short) == pytest.approx([20.0])


def steep_lines(count: int) -> Lors:
    """Lines in all directions, also along z, between places outside the image."""
    rng = np.random.default_rng(8)
    ends = rng.normal(size=(2, count, 3))
    ends *= 70.0 / np.linalg.norm(ends, axis=2)[..., None]
    start, end = np.ascontiguousarray(ends, dtype=np.float32)
    return Lors(start, end, rng.normal(0, 15, count).astype(np.float32))


def test_lines_along_any_axis_equal_slow_joseph() -> None:
    image, lors = image_of(GRID), steep_lines(400)
    along = np.abs(lors.end - lors.start)
    assert set(along.argmax(axis=1)) == {0, 1, 2}
    ours = Projector(GRID).forward(image, lors)
    assert np.allclose(ours, slow_forward(image, GRID, lors), rtol=3e-6, atol=2e-5)


@pytest.mark.parametrize("tof", [None, TOF])
def test_adjoint_holds_along_any_axis(tof: TofModel | None) -> None:
    projector, lors, image = Projector(GRID, tof=tof), steep_lines(5000), image_of(GRID)
    values = np.random.default_rng(3).random(len(lors), dtype=np.float32)
    left = projector.forward(image, lors).astype(np.float64) @ values
    right = (projector.back(values, lors).astype(np.float64) * image).sum()
    assert left == pytest.approx(right, rel=1e-6)


def test_tof_values_correlate_with_the_formula() -> None:
    """The kernel comes from a table; r = 0.99999 is what other projectors agree to."""
    image, lors = image_of(GRID), random_lines(300, seed=5)
    expected = []
    for start, end, offset in zip(lors.start, lors.end, lors.offset_mm, strict=True):
        value, distance = slow_joseph(image.astype(np.float64), GRID, start, end)
        expected.append((value * TOF.weight(distance - offset)).sum())
    assert np.corrcoef(Projector(GRID, tof=TOF).forward(image, lors), expected)[0, 1] > 0.99999


def test_lines_that_graze_the_border_stay_inside() -> None:
    """Lines on and beside the border's planes, where rounding could leave the image."""
    shape, voxel = np.array(GRID.shape), np.array(GRID.voxel_mm)
    edge = (shape + 1) / 2 * voxel
    places = [sign * (edge + shift) for sign in (-1, 1) for shift in (-1e-5, -1e-6, 0.0, 1e-6)]
    places += [sign * (edge - voxel / 2) for sign in (-1, 1)]
    start, end = [], []
    for axis in range(3):
        for place in places:
            one = place.copy()
            one[axis] = -80.0
            other = place * np.where(np.arange(3) == (axis + 1) % 3, -1.0, 1.0)
            other[axis] = 80.0
            start += [one, one]
            end += [np.where(np.arange(3) == axis, 80.0, one), other]
    lors = Lors(np.float32(start), np.float32(end))
    image = image_of(GRID)
    ours = Projector(GRID).forward(image, lors)
    assert np.allclose(ours, slow_forward(image, GRID, lors), rtol=1e-5, atol=5e-4)
    assert np.isfinite(Projector(GRID).back(np.ones(len(lors), np.float32), lors)).all()


def test_lines_that_are_not_finite_give_nothing_and_are_counted() -> None:
    lors = random_lines(3000)
    bad = lors.take(slice(None))
    bad.start[5, 1] = np.nan
    bad.end[2900] = np.inf
    image, projector = image_of(GRID), Projector(GRID)
    forward = projector.forward(image, bad)
    assert forward[5] == forward[2900] == 0.0
    others = np.delete(np.arange(3000), [5, 2900])
    assert np.array_equal(forward[others], projector.forward(image, lors)[others])
    _, sums = projector.em(image, EventList.plain(bad))
    assert sums.used + sums.unexplained == 3000 and sums.unexplained >= 2


def test_weight_that_is_not_finite_is_counted_and_harmless() -> None:
    events = EventList.plain(random_lines(3000))
    events.weight[7] = np.nan
    ratio, sums = Projector(GRID).em(image_of(GRID), events)
    assert np.isfinite(ratio).all() and sums.used + sums.unexplained == 3000


def test_chunks_of_a_list_equal_the_list() -> None:
    """Also from memory that may not be written, as a stored list's is."""
    image, events = image_of(GRID), EventList.plain(random_lines(7000))
    for array in (events.lors.start, events.lors.end, events.weight):
        array.flags.writeable = False
    projector = Projector(GRID)
    whole, sums = projector.em(image, events)
    parts = [events.take(slice(k, k + 2500)) for k in range(0, 7000, 2500)]
    chunked, chunk_sums = projector.em_chunks(image, parts)
    assert np.allclose(chunked, whole, rtol=1e-5)
    assert chunk_sums.used == sums.used
    assert chunk_sums.log_likelihood == pytest.approx(sums.log_likelihood, rel=1e-9)


def test_image_that_is_not_finite_is_refused() -> None:
    image = image_of(GRID)
    image[3, 4, 5] = np.nan
    with pytest.raises(ProjectorError, match="1 of 5760 voxels are not finite"):
        Projector(GRID).forward(image, random_lines(2))


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ProjectorError, match="1 of 2 values"):
        Projector(GRID).back(np.float32([1.0, np.inf]), random_lines(2))


def test_image_of_another_size_is_refused() -> None:
    with pytest.raises(GridError, match=r"shape \(3, 3, 3\)"):
        Projector(GRID).forward(np.zeros((3, 3, 3), np.float32), random_lines(2))


def test_tof_without_offsets_is_refused() -> None:
    lors = random_lines(2)
    with pytest.raises(ProjectorError, match="no TOF offsets"):
        Projector(GRID, tof=TOF).forward(image_of(GRID), Lors(lors.start, lors.end))
