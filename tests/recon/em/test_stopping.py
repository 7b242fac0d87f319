"""Stopping rules: parsed, honest about noise, and returning the image they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from oracles.reconstruction import lines_from_points, random_lines
from recon.core.events import EventList
from recon.core.grid import ImageGrid
from recon.core.noise_parts import OBJECT_FWHM_VOXELS, OBJECT_SHARE
from recon.em.list_mode_osem import OsemResult, osem
from recon.em.problem import OsemError
from recon.em.stopping import Stopping
from recon.projector.operator import Projector

GRID = ImageGrid((10, 10, 8), (4.0, 4.0, 4.0))


def exposure() -> np.ndarray:
    lines = random_lines(100_000, radius_mm=40.0, z_mm=20.0)
    return Projector(GRID).back(np.ones(len(lines), np.float32), lines)


EXPOSURE = exposure()


def reconstructed(seed: int = 0, count: int = 3000, **plan: object) -> OsemResult:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-12, 12, (count, 3))
    events = EventList.plain(lines_from_points(points, seed=seed, radius_mm=40.0, z_mm=30.0))
    settings = {"iterations": 12, "subsets": 4, **plan}
    return osem(Projector(GRID), events, EXPOSURE, np.ones(GRID.shape, bool), **settings)


def test_rules_are_written_as_on_the_command_line() -> None:
    assert Stopping.parse("noise=0.1") == Stopping(noise=0.1)
    assert Stopping.parse("change=0.01, noise=0.2") == Stopping(noise=0.2, change=0.01)
    assert Stopping.parse("counts,change=0.01") == Stopping(change=0.01, counts=True)


@pytest.mark.parametrize(
    "text", ["", "noise", "noise=", "noise=nan", "counts=3", "count", "noise=0,1"]
)
def test_rules_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(OsemError, match="write noise="):
        Stopping.parse(text)


@pytest.mark.parametrize("value", [0.0, -1.0, 10.0])
def test_absurd_bounds_are_refused(value: float) -> None:
    with pytest.raises(OsemError, match=r"must lie in 0\.\.10"):
        Stopping(noise=value)


def test_noise_is_that_of_repeated_scans() -> None:
    """Oracle: the deviation between images of 12 scans drawn anew, in the same voxels."""
    plan = {"iterations": 3, "stopping": Stopping(noise=9.0)}
    made = [reconstructed(seed, **plan) for seed in range(12)]
    images = np.stack([one.image for one in made]).astype(np.float64)
    mean = images.mean(axis=0)
    smooth = gaussian_filter(mean, OBJECT_FWHM_VOXELS / 2.3548)
    inside = smooth > OBJECT_SHARE * smooth.max()
    deviation = np.sqrt(images.var(axis=0, ddof=1)[inside].mean()) / mean[inside].mean()
    # halves have more noise, OSEM is not linear, and each image finds its own edge of the object
    assert np.mean([one.noise[-1] for one in made]) == pytest.approx(deviation, rel=0.12)


def test_noise_grows_and_the_last_image_within_the_bound_is_returned() -> None:
    free = reconstructed(stopping=Stopping(noise=9.0))
    assert (np.diff(free.noise) > 0).all()
    bound = (free.noise[3] + free.noise[4]) / 2
    held = reconstructed(stopping=Stopping(noise=bound))
    assert held.iterations == 5 and "of the iteration before" in held.stopped_by
    assert np.array_equal(held.image, reconstructed(iterations=4).image)


def test_the_image_does_not_depend_on_being_watched() -> None:
    watched = reconstructed(stopping=Stopping(noise=9.0, change=1e-6))
    assert np.array_equal(watched.image, reconstructed().image)


def test_little_change_stops() -> None:
    free = reconstructed()
    bound = (free.change[4] + free.change[5]) / 2
    held = reconstructed(stopping=Stopping(change=bound))
    assert held.iterations == 6 and "change" in held.stopped_by
    assert free.stopped_by == "iterations" and free.iterations == 12


def test_more_counts_are_worth_more_iterations() -> None:
    """With MLEM, whose steps are small; the truth is nearer than after iterating on."""
    plan = {"subsets": 1, "iterations": 60, "stopping": Stopping(counts=True)}
    few, many = reconstructed(count=1000, **plan), reconstructed(count=30_000, **plan)
    assert few.iterations < many.iterations < 60 and "halves" in few.stopped_by
    further = reconstructed(count=1000, subsets=1, iterations=60).image
    cube = np.all(np.abs(np.stack(np.broadcast_arrays(*GRID.axes_mm()))) < 12, axis=0)
    truth = cube * few.image.sum() / cube.sum()
    assert np.linalg.norm(few.image - truth) < 0.6 * np.linalg.norm(further - truth)
