"""Stopping rules: parsed, honest about noise, and returning the image they promise."""

from __future__ import annotations

import numpy as np
import pytest
from recon_oracles import lines_from_points, random_lines

from recon.em_model import OsemError
from recon.events import EventList
from recon.grid import ImageGrid
from recon.osem import OsemResult, osem
from recon.projector import Projector
from recon.stopping import OBJECT_SHARE, Stopping

GRID = ImageGrid((10, 10, 8), (4.0, 4.0, 4.0))


def exposure() -> np.ndarray:
    lines = random_lines(100_000, radius_mm=40.0, z_mm=20.0)
    return Projector(GRID).back(np.ones(len(lines), np.float32), lines)


EXPOSURE = exposure()


def reconstructed(seed: int = 0, **plan: object) -> OsemResult:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-12, 12, (3000, 3))
    events = EventList.plain(lines_from_points(points, seed=seed, radius_mm=40.0, z_mm=30.0))
    settings = {"iterations": 12, "subsets": 4, **plan}
    return osem(Projector(GRID), events, EXPOSURE, np.ones(GRID.shape, bool), **settings)


def test_rules_are_written_as_on_the_command_line() -> None:
    assert Stopping.parse("noise=0.1") == Stopping(noise=0.1)
    assert Stopping.parse("change=0.01, noise=0.2") == Stopping(noise=0.2, change=0.01)


@pytest.mark.parametrize("text", ["", "noise", "noise=", "noise=nan", "counts=3", "noise=0,1"])
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
    inside = mean > 2 * OBJECT_SHARE * mean.max()
    deviation = np.sqrt(images.var(axis=0, ddof=1)[inside].mean()) / mean[inside].mean()
    # OSEM is not linear and its halves have half the counts; the object's edge differs a little
    assert np.mean([one.noise[-1] for one in made]) == pytest.approx(deviation, rel=0.25)


def test_noise_grows_and_the_last_image_within_the_bound_is_returned() -> None:
    free = reconstructed(stopping=Stopping(noise=9.0))
    assert (np.diff(free.noise) > 0).all()
    bound = (free.noise[3] + free.noise[4]) / 2
    held = reconstructed(stopping=Stopping(noise=bound))
    assert held.iterations == 5 and "noise" in held.stopped_by
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


def test_noise_needs_halves_of_the_subsets() -> None:
    with pytest.raises(OsemError, match="even number of subsets, not 3"):
        reconstructed(subsets=3, stopping=Stopping(noise=0.1))
