"""A tiny scanner whose system matrix is found by walking along every line in small steps.

The matrix knows nothing of planes: an image is a function of place, linear between the voxels'
centres in x, y and z, and a line's element for a voxel is the integral of that voxel's part of it,
summed at points ``STEP_MM`` apart. Joseph's method evaluates the same function where the line meets
the planes of voxel centres.
"""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.core.tof import TofModel
from recon.em.list_mode_osem import OsemResult, osem
from recon.projector.operator import Projector

GRID = ImageGrid((12, 12, 5), (3.0, 3.0, 4.0))
EVERYWHERE = np.ones(GRID.shape, dtype=bool)
RADIUS_MM, CRYSTALS, RINGS_MM = 36.0, 36, (-5.0, 5.0)
STEP_MM = 0.05
BACKGROUND = 0.4
Array = np.ndarray


def all_pairs() -> Lors:
    """Return the lines between all crystals whose chord comes near the grid."""
    angle = 2 * np.pi * np.arange(CRYSTALS) / CRYSTALS
    crystals = [(RADIUS_MM * np.cos(a), RADIUS_MM * np.sin(a), z) for z in RINGS_MM for a in angle]
    pairs = np.array(list(itertools.combinations(np.array(crystals), 2)), dtype=np.float32)
    middle = pairs.mean(axis=1)
    pairs = pairs[np.hypot(middle[:, 0], middle[:, 1]) < 20.0]
    return Lors(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))


def walked_matrix(lors: Lors, tof: TofModel | None = None) -> Array:
    """Return elements (lines, voxels), mm: every step is shared by the eight voxels around it.

    With TOF a step counts as much as its distance from the event's place makes it likely.
    """
    n_voxels = int(np.prod(GRID.shape))
    matrix = np.zeros((len(lors), n_voxels))
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    for line, (start, end) in enumerate(zip(lors.start, lors.end, strict=True)):
        along = (end - start).astype(np.float64)
        length = float(np.linalg.norm(along))
        count = round(length / STEP_MM)
        points = start + along * ((np.arange(count) + 0.5) / count)[:, None]
        index = (points - GRID.origin_mm) / GRID.voxel_mm
        step = np.full(count, length / count)
        if tof is not None:
            from_middle = ((np.arange(count) + 0.5) / count - 0.5) * length
            step *= tof.weight(from_middle - lors.offset_mm[line])
        below = np.floor(index).astype(int)
        for corner in corners:
            voxel = below + corner
            inside = ((voxel >= 0) & (voxel < GRID.shape)).all(axis=1)
            share = (np.prod(1 - np.abs(index - voxel), axis=1) * step)[inside]
            flat = np.ravel_multi_index(tuple(voxel[inside].T), GRID.shape)
            matrix[line] += np.bincount(flat, share, minlength=n_voxels)
    return matrix


def blob() -> Array:
    """Return a smooth image: two Gaussians of 5 mm σ on a low level inside 14 mm."""
    x, y, z = GRID.axes_mm()
    one = np.exp(-((x - 6) ** 2 + (y + 2) ** 2 + (z - 2) ** 2) / 50)
    two = np.exp(-((x + 5) ** 2 + (y - 4) ** 2 + (z + 3) ** 2) / 50)
    return np.asarray(one + 0.6 * two + 0.05 * np.exp(-(x**2 + y**2 + z**2) / 200))


LORS = all_pairs()


@cache
def matrix() -> Array:
    """Return the walked matrix of all pairs."""
    return walked_matrix(LORS)


@cache
def counts() -> Array:
    return np.random.default_rng(2).poisson(matrix() @ blob().reshape(-1) + BACKGROUND)


@cache
def exposure() -> Array:
    return Projector(GRID).back(np.ones(len(LORS), np.float32), LORS)


def binned(values: Array, addend: float = 0.0) -> EventList:
    """Return one event a line, as heavy as its bin."""
    n = len(LORS)
    return EventList(LORS, values.astype(np.float32), np.full(n, addend, np.float32))


def listed(addend: float = 0.0) -> EventList:
    """Return every count as an event of its own, in random order."""
    written_out = np.repeat(np.arange(len(LORS)), counts())
    order = np.random.default_rng(3).permutation(written_out)
    return binned(np.ones(len(LORS)), addend).take(order)


def mlem(events: EventList, iterations: int = 12, **plan: object) -> OsemResult:
    settings = {"iterations": iterations, "subsets": 1, **plan}
    return osem(Projector(GRID), events, exposure(), EVERYWHERE, **settings)


def test_projections_of_a_smooth_image_agree() -> None:
    """Joseph's is a trapezoidal rule: it errs by the curvature over a plane, (3/5)²/12 = 3 %,
    where the line is shortest; the sum over a whole line errs far less."""
    walked = matrix() @ blob().reshape(-1)
    ours = Projector(GRID).forward(blob().astype(np.float32), LORS)
    assert np.linalg.norm(ours - walked) / np.linalg.norm(walked) < 0.01
    assert ours.sum(dtype=np.float64) == pytest.approx(walked.sum(), rel=2e-3)


def test_mlem_iterates_agree_with_the_walked_matrix() -> None:
    """Noise-free data of the walked matrix; the oracle iterates with it, ours with Joseph's."""
    expected = matrix() @ blob().reshape(-1) + BACKGROUND
    sensitivity = matrix().sum(axis=0)
    image = np.full(matrix().shape[1], expected.sum() / sensitivity.sum())
    start = image.reshape(GRID.shape).astype(np.float32)
    seen = np.where(sensitivity > 0, sensitivity, np.inf)
    for _ in range(12):
        image *= matrix().T @ (expected / (matrix() @ image + BACKGROUND)) / seen
    ours = mlem(binned(expected, BACKGROUND), initial=start).image.reshape(-1)
    # the projections differ by 1 % (above); the inverse amplifies what differs in detail
    assert np.linalg.norm(ours - image) / np.linalg.norm(image) < 0.05
    assert np.corrcoef(ours, image)[0, 1] > 0.998


def test_time_of_flight_agrees_in_projections_and_iterates() -> None:
    tof = TofModel(sigma_mm=8.0, bin_mm=2.0)
    rng = np.random.default_rng(5)
    lines = LORS.take(rng.choice(len(LORS), 300))
    lors = Lors(lines.start, lines.end, rng.normal(0, 8, 300).astype(np.float32))
    matrix = walked_matrix(lors, tof)
    walked = matrix @ blob().reshape(-1)
    projected = Projector(GRID, tof=tof).forward(blob().astype(np.float32), lors)
    # as without TOF, on the shorter piece of line that the kernel leaves
    assert np.linalg.norm(projected - walked) / np.linalg.norm(walked) < 0.015
    start = np.where(exposure() > 0, np.float32(1.0), np.float32(0.0))
    image = start.reshape(-1).astype(np.float64)
    seen = np.where(exposure() > 0, exposure(), np.inf).reshape(-1)
    for _ in range(3):
        image *= matrix.T @ (1 / (matrix @ image)) / seen
    ours = osem(
        Projector(GRID, tof=tof), EventList.plain(lors), exposure(), EVERYWHERE,
        iterations=3, subsets=1, initial=start,
    ).image.reshape(-1)  # fmt: skip
    # 300 single events in 720 voxels: each voxel's value hangs on a few elements, which differ more
    assert ours.sum(dtype=np.float64) == pytest.approx(image.sum(), rel=0.01)
    assert np.linalg.norm(ours - image) / np.linalg.norm(image) < 0.12


@pytest.mark.parametrize("addend", [0.0, BACKGROUND])
def test_list_mode_equals_binned(addend: float) -> None:
    from_list = mlem(listed(addend)).image
    from_bins = mlem(binned(counts(), addend)).image
    # sums of float32 in another order: 1e-6 a pass
    assert np.abs(from_list - from_bins).max() < 1e-5 * from_bins.max()


def test_counts_are_kept_after_every_update_without_background() -> None:
    image = None
    for _ in range(6):
        made = mlem(listed(), iterations=1, initial=image)
        image = made.image
        assert np.vdot(exposure().astype(np.float64), image) == pytest.approx(made.used, rel=1e-6)
        assert made.expected == pytest.approx([made.used], rel=1e-6)


@pytest.mark.parametrize("addend", [0.0, BACKGROUND])
def test_likelihood_never_falls(addend: float) -> None:
    history = mlem(listed(addend), iterations=40).log_likelihood
    assert (np.diff(history) > -1e-7 * abs(history[-1])).all() and history[-1] > history[0]


def test_the_right_background_gives_the_right_level() -> None:
    """Trues alone are the image; left out, the background is spread over it."""
    trues = counts().sum() - BACKGROUND * len(LORS)
    kept = [
        np.vdot(exposure().astype(np.float64), mlem(listed(b)).image) for b in (BACKGROUND, 0.0)
    ]
    # the background holds √(its counts) of noise beside its own
    assert kept[0] == pytest.approx(trues, abs=2 * np.sqrt(counts().sum()))
    assert kept[1] > trues + 4 * np.sqrt(counts().sum())


def test_subsets_by_angle_and_in_time_end_near_mlem() -> None:
    from recon.em.event_store import EventStore

    events = listed(BACKGROUND)
    history = mlem(events, iterations=24).log_likelihood
    # passes of 6 subsets that 36 directions fill unequally are worth less than mixed ones
    for by, worth in (("time", 14), ("angle", 3)):
        with EventStore.build([events], subsets=6, by=by) as store:
            near = mlem(store, iterations=4, subsets=None).image  # type: ignore[arg-type]
        assert mlem(events, iterations=1, initial=near).log_likelihood[0] > history[worth]
