"""Speed of the projector pair and of one EM pass, non-TOF and TOF, in the usual comparison.

2 M lines of a 300 mm ring through 120 × 120 × 50 voxels of 2 mm (a tenth of the lines here, in
reconstruction's own order). M lines/s = lines / mean time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.core.tof import TofModel
from recon.projector.event_order import order_for_cache
from recon.projector.operator import Projector

GRID = ImageGrid((120, 120, 50), (2.0, 2.0, 2.0))
LINES = 200_000
TOF = TofModel.from_ctr(250.0, bin_ps=25.0)
RADIUS_MM, HALF_AXIAL_MM = 150.0, 50.0


def ring_lines() -> Lors:
    """Return lines between random points of the ring that pass the image's centre."""
    rng = np.random.default_rng(1)
    first = rng.uniform(0, 2 * np.pi, LINES)
    second = first + np.pi + rng.uniform(-0.7, 0.7, LINES)
    ends = [
        np.stack(
            [
                RADIUS_MM * np.cos(angle),
                RADIUS_MM * np.sin(angle),
                rng.uniform(-HALF_AXIAL_MM, HALF_AXIAL_MM, LINES),
            ],
            axis=1,
        )
        for angle in (first, second)
    ]
    offset = rng.normal(0, 50, LINES)
    lors = Lors(*(np.ascontiguousarray(x, dtype=np.float32) for x in (*ends, offset)))
    return lors.take(order_for_cache(lors))


@pytest.fixture(scope="module")
def lors() -> Lors:
    return ring_lines()


@pytest.fixture(params=[1, 2], ids=["1-thread", "2-threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[None, TOF], ids=["plain", "tof"])
def projector(request: pytest.FixtureRequest, threads: int) -> Iterator[Projector]:
    made = Projector(GRID, tof=request.param, threads=threads)
    yield made
    made.close()


def measured(benchmark: Callable[..., object], work: Callable[[], object]) -> None:
    """Run ``work`` once to compile, then let pytest-benchmark time it; record M lines/s."""
    work()
    benchmark(work)
    benchmark.extra_info["M_lines_per_s"] = round(LINES / benchmark.stats["mean"] / 1e6, 2)


def test_forward(benchmark, projector: Projector, lors: Lors) -> None:
    image = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)
    measured(benchmark, lambda: projector.forward(image, lors))


def test_back(benchmark, projector: Projector, lors: Lors) -> None:
    ones = np.ones(LINES, dtype=np.float32)
    measured(benchmark, lambda: projector.back(ones, lors))


def test_em_pass(benchmark, projector: Projector, lors: Lors) -> None:
    image = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)
    events = EventList.plain(lors)
    measured(benchmark, lambda: projector.em(image, events))
