"""NEGML: no bias in cold regions where EM has one, and the same level in warm ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oracles.reconstruction import random_lines
from recon.core.events import EventList
from recon.core.grid import ImageGrid
from recon.core.resolution import GaussianResolution
from recon.em.list_mode_osem import osem
from recon.em.penalised import RelativeDifference
from recon.em.problem import OsemError
from recon.em.stopping import Stopping
from recon.projector.operator import Projector

GRID = ImageGrid((10, 10, 6), (6.0, 6.0, 6.0))
LINES, TRUES, REPEATS = 60_000, 6000.0, 24
COLD = (slice(4, 6), slice(4, 6), slice(1, 5))


class Scan:
    """A warm cylinder with a cold core; each line expects as much background as a mean true."""

    def __init__(self) -> None:
        self.projector = Projector(GRID)
        self.mask = GRID.cylinder(30.0)
        self.truth = self.mask.astype(np.float32)
        self.truth[COLD] = 0.0
        lines = random_lines(LINES, radius_mm=50.0, z_mm=20.0)
        chords = self.projector.forward(self.mask.astype(np.float32), lines)
        self.lines = lines.take(np.flatnonzero(chords > 0))
        through = self.projector.forward(self.truth, self.lines)
        self.seconds = np.float32(TRUES / through.sum(dtype=np.float64))
        self.mean = self.seconds * through
        self.background = np.full(len(self.mean), self.mean.mean(), np.float32)
        ones = np.full(len(self.mean), self.seconds, np.float32)
        self.exposure = self.projector.back(ones, self.lines)

    def events(self, seed: int) -> EventList:
        """Return one draw: most lines have no event, few have two."""
        counts = np.random.default_rng(seed).poisson(self.mean + self.background)
        chosen = np.repeat(np.arange(len(counts)), counts)
        plain = EventList.plain(self.lines.take(chosen))
        return replace(plain, addend=self.background[chosen] / self.seconds)

    def image(self, seed: int, *, signed: bool, **more: object) -> np.ndarray:
        made = osem(
            self.projector, self.events(seed), self.exposure, self.mask, iterations=12, subsets=8,
            signed=signed, **more,  # type: ignore[arg-type]
        )  # fmt: skip
        return made.image


@pytest.fixture(scope="module")
def scan() -> Scan:
    return Scan()


@pytest.fixture(scope="module")
def repeats(scan: Scan) -> dict[bool, np.ndarray]:
    return {
        signed: np.stack([scan.image(seed, signed=signed) for seed in range(REPEATS)])
        for signed in (False, True)
    }


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def test_a_cold_region_is_zero_where_em_lifts_it(repeats: dict[bool, np.ndarray]) -> None:
    lifted, its_error = mean_and_error(repeats[False][:, *COLD].mean(axis=(1, 2, 3)))
    cold, error = mean_and_error(repeats[True][:, *COLD].mean(axis=(1, 2, 3)))
    assert lifted > 5 * its_error
    assert lifted > 0.1
    assert abs(cold) < 3 * error
    assert error < 0.3 * lifted


def test_warm_levels_agree(scan: Scan, repeats: dict[bool, np.ndarray]) -> None:
    warm = scan.truth > 0
    for signed, least, most in ((True, 0.97, 1.03), (False, 0.9, 1.03)):
        assert least < repeats[signed][:, warm].mean() < most


def test_with_a_resolution_model_it_has_no_bias_either(scan: Scan) -> None:
    blur = GaussianResolution(GRID, (6.0, 6.0, 6.0))
    images = np.stack([scan.image(s, signed=True, resolution=blur) for s in range(4)])
    assert np.isfinite(images).all()
    total = float((images * scan.exposure).sum(dtype=np.float64)) / 4
    assert total == pytest.approx(TRUES, rel=0.06)


def test_values_are_negative_and_deterministic(scan: Scan) -> None:
    once = scan.image(3, signed=True)
    assert once.min() < 0
    assert np.array_equal(once, scan.image(3, signed=True))


def test_what_needs_positive_images_is_refused(scan: Scan) -> None:
    for more in ({"prior": RelativeDifference(0.01)}, {"stopping": Stopping(counts=True)}):
        with pytest.raises(OsemError, match="signed"):
            scan.image(0, signed=True, **more)
