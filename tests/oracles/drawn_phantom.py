"""A measurement drawn again and again: a warm cylinder with a hot and a cold rod, seen evenly.

Lines start at points of the object, in random directions, with times of flight; every point of the
field of view is seen alike, so the sensitivity is 1. Repeats differ by their seed.
"""

from __future__ import annotations

import numpy as np

from hw.regions import Cylinder, Region, shares
from oracles.reconstruction import lines_from_points
from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.core.tof import TofModel

GRID = ImageGrid((40, 40, 16), (3.0, 3.0, 3.0))
TOF = TofModel.from_ctr(250.0, bin_ps=25.0)
MASK = GRID.cylinder(58.0)
SENSITIVITY = np.where(MASK, np.float32(1.0), np.float32(0.0)) * np.ones(GRID.shape, np.float32)
RADIUS_MM, ROD_MM = 44.0, 20.0
WARM = 1 / 3
"""Activity of the cylinder over that of the hot rod."""


def drawn(events: int, seed: int) -> EventList:
    """Return about ``events`` events; their number is a Poisson number."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(events)
    lines = lines_from_points(_points(count, rng), seed=seed)
    offset = lines.offset_mm + rng.normal(0, TOF.sigma_mm, count)
    return EventList.plain(Lors(lines.start, lines.end, offset.astype(np.float32)))


def _points(count: int, rng: np.random.Generator) -> np.ndarray:
    edge = [RADIUS_MM, RADIUS_MM, 22.0]
    points = rng.uniform(np.negative(edge), edge, (6 * count, 3))
    hot = np.hypot(points[:, 0] - ROD_MM, points[:, 1]) < 9
    cold = np.hypot(points[:, 0] + ROD_MM, points[:, 1]) < 10
    seen = rng.random(len(points)) < np.where(hot, 1.0, np.where(cold, 0.0, WARM))
    kept = seen & (np.hypot(points[:, 0], points[:, 1]) < RADIUS_MM)
    return points[kept][:count]


def regions() -> dict[str, list[Region]]:
    """Return twelve regions of each kind: hot, cold, warm, edge."""
    turn, made = 2 * np.pi * np.arange(6) / 6, {}
    around = [(x, y) for x in (-3.0, 3.0) for y in (-3.0, 3.0)]
    for kind, x in (("hot", ROD_MM), ("cold", -ROD_MM)):
        made[kind] = [(x + a, b, z, 8.0) for z in (-12, 0, 12) for a, b in around]
    for kind, radius, turned in (("warm", 20.0, np.pi / 6), ("edge", 42.0, 0.0)):
        where = [(radius * np.cos(a), radius * np.sin(a)) for a in turn + turned]
        made[kind] = [(x, y, z, 12.0) for z in (-10, 10) for x, y in where]
    return {
        kind: [Cylinder(kind, (float(x), float(y), float(z)), size, 8.0) for x, y, z, size in all_]
        for kind, all_ in made.items()
    }


REGIONS = regions()


def means(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return the means of an image in the regions of each kind."""
    return {kind: np.array([_mean(image, one) for one in all_]) for kind, all_ in REGIONS.items()}


def _mean(image: np.ndarray, region: Region) -> float:
    block, share = shares(region, GRID.axes_mm())
    return float((share * image[block]).sum() / share.sum())
