"""Obvious, slow references for reconstruction: random lines, Joseph by scipy, a toy scanner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import map_coordinates

from coincidence.events import COINCIDENCE
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, crystal_at
from recon.core.events import Lors
from recon.core.grid import ImageGrid

Array = np.ndarray


def random_lines(count: int, *, seed: int = 0, radius_mm: float = 60.0, z_mm: float = 25.0) -> Lors:
    """Return lines between random points of a cylinder, with TOF offsets."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (2, count))
    ends = [
        np.stack([radius_mm * np.cos(a), radius_mm * np.sin(a), rng.uniform(-z_mm, z_mm, count)], 1)
        for a in angle
    ]
    offset = rng.normal(0, 15, count)
    return Lors(*(np.ascontiguousarray(e, dtype=np.float32) for e in (*ends, offset)))


def lines_from_points(
    points_mm: Array, *, seed: int = 0, radius_mm: float = 60.0, z_mm: float = 25.0
) -> Lors:
    """Return one line per point, in a random direction, from wall to wall of a cylinder.

    Directions whose line leaves through an end of the cylinder are drawn again.
    """
    rng = np.random.default_rng(seed)
    points = np.asarray(points_mm, dtype=np.float64)
    start, end = np.zeros_like(points), np.zeros_like(points)
    todo = np.arange(len(points))
    while len(todo):
        p = points[todo]
        direction = rng.normal(size=p.shape)
        direction /= np.linalg.norm(direction, axis=1)[:, None]
        a = (direction[:, :2] ** 2).sum(1)
        b = (p[:, :2] * direction[:, :2]).sum(1)
        c = (p[:, :2] ** 2).sum(1) - radius_mm**2
        root = np.sqrt(b * b - a * c)
        start[todo] = p + direction * ((-b - root) / a)[:, None]
        end[todo] = p + direction * ((-b + root) / a)[:, None]
        todo = todo[(np.abs(start[todo, 2]) > z_mm) | (np.abs(end[todo, 2]) > z_mm)]
    offset = np.einsum("ij,ij->i", points - (start + end) / 2, end - start)
    offset /= np.linalg.norm(end - start, axis=1)
    return Lors(*(np.ascontiguousarray(e, dtype=np.float32) for e in (start, end, offset)))


def slow_joseph(image: Array, grid: ImageGrid, start: Array, end: Array) -> tuple[Array, Array]:
    """Return (value · chord, distance from the line's middle) of every plane a line crosses.

    The obvious way: scipy interpolates the image at the line's :func:`plane_points`.
    """
    start, end = start.astype(np.float64), end.astype(np.float64)
    points, chord = plane_points(grid, start, end)
    value = map_coordinates(image, points.T, order=1, mode="grid-constant", cval=0.0)
    along = (end - start) / np.linalg.norm(end - start)
    place = grid.origin_mm + points * np.array(grid.voxel_mm) - (start + end) / 2
    return value * chord, place @ along


def plane_points(grid: ImageGrid, start: Array, end: Array) -> tuple[Array, float]:
    """Return where a line, between its ends, meets the planes of voxel centres across its dominant
    axis, in voxels; and its length from plane to plane, mm."""
    along = end - start
    axis = int(np.argmax(np.abs(along)))
    planes_mm = grid.origin_mm[axis] + np.arange(grid.shape[axis]) * grid.voxel_mm[axis]
    share = (planes_mm - start[axis]) / along[axis]
    share = share[(share >= 0) & (share <= 1)]
    points = start + share[:, None] * along
    chord = grid.voxel_mm[axis] * np.linalg.norm(along) / abs(along[axis])
    return (points - grid.origin_mm) / np.array(grid.voxel_mm), float(chord)


def slow_forward(image: Array, grid: ImageGrid, lors: Lors) -> Array:
    """Return the line integrals of ``image``, in double precision."""
    image = image.astype(np.float64)
    pairs = zip(lors.start, lors.end, strict=True)
    return np.array([slow_joseph(image, grid, s, e)[0].sum() for s, e in pairs])


def dense_matrix(grid: ImageGrid, lors: Lors) -> Array:
    """Return the system matrix (lines, voxels): each voxel is a tent, sampled by a line's planes.

    Linear interpolation gives a voxel the weight Π (1 − distance in voxels) along the axes.
    """
    rows = []
    for start, end in zip(lors.start.astype(np.float64), lors.end.astype(np.float64), strict=True):
        points, chord = plane_points(grid, start, end)
        tents = [
            np.clip(1 - np.abs(place[:, None] - np.arange(n)), 0, None)
            for place, n in zip(points.T, grid.shape, strict=True)
        ]
        rows.append(chord * np.einsum("px,py,pz->xyz", *tents).reshape(-1))
    return np.stack(rows)


def simulated_records(
    scanner: Scanner,
    geometry: Geometry,
    points_mm: Array,
    *,
    seed: int = 0,
    rate_Hz: float = 1e5,
    survival: Callable[[Array, Array], Array] | None = None,
) -> Array:
    """Return the prompts of back-to-back pairs from ``points_mm``, in order of time.

    Each photon meets the first module plane at a depth drawn from exp(-µ t / cosθ); pairs with a
    photon that crosses a block, or in modules that may not pair, are lost. ``survival`` gives the
    probability that a pair along (point, direction) leaves the object.
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=points_mm.shape)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    keep = np.ones(len(points_mm), dtype=bool)
    if survival is not None:
        keep = rng.random(len(points_mm)) < survival(points_mm, direction)
    points, direction = points_mm[keep], direction[keep]
    module_a, at_a = _first_hit(scanner, geometry, points, direction, rng)
    left = np.flatnonzero(module_a >= 0)  # the other photon matters for these only
    module_b, at_b = np.full(len(points), -1), np.zeros_like(points)
    module_b[left], at_b[left] = _first_hit(scanner, geometry, points[left], -direction[left], rng)
    seen = (module_a >= 0) & (module_b >= 0)
    seen[seen] = geometry.allowed_pairs[module_a[seen], module_b[seen]]
    crystal_a, doi_a = crystal_at(scanner, geometry, module_a[seen], at_a[seen])
    crystal_b, doi_b = crystal_at(scanner, geometry, module_b[seen], at_b[seen])
    path_a = np.linalg.norm(at_a[seen] - points[seen], axis=1)
    path_b = np.linalg.norm(at_b[seen] - points[seen], axis=1)
    tof = (path_b - path_a) / 0.299792458
    tof += rng.normal(0, scanner.response.ctr_fwhm_ps / 2.3548, len(tof))
    swap = crystal_a > crystal_b
    records = np.zeros(len(crystal_a), dtype=COINCIDENCE)
    records["time_ps"] = np.sort(rng.random(len(records))) * len(records) / rate_Hz * 1e12
    records["crystal_a"] = np.where(swap, crystal_b, crystal_a)
    records["crystal_b"] = np.where(swap, crystal_a, crystal_b)
    records["doi_a"] = np.where(swap, doi_b, doi_a)
    records["doi_b"] = np.where(swap, doi_a, doi_b)
    records["tof_ps"] = np.where(swap, -tof, tof)
    return records


def _first_hit(
    scanner: Scanner, geometry: Geometry, points: Array, direction: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Return the module met first (-1 if none) and the point of interaction in it."""
    u, v, w = (geometry.module_axes[:, k].T for k in range(3))
    centre, block = geometry.module_centre_mm, scanner.module
    module, place = np.full(len(points), -1), np.zeros_like(points)
    drawn = rng.exponential(1 / 0.0774, len(points))
    for first in range(0, len(points), 2000):  # as much as a processor's cache holds
        part = slice(first, first + 2000)
        p, d, beyond = points[part], direction[part], drawn[part, None]
        towards = d @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = ((centre * w.T).sum(axis=1) - p @ w) / towards
            inside = (towards > 1e-9) & (distance > 0) & (beyond * towards <= block.thickness_mm)
            for axis, side_mm in ((u, block.width_mm), (v, block.height_mm)):
                at = p @ axis - (centre * axis.T).sum(axis=1) + (distance + beyond) * (d @ axis)
                inside &= np.abs(at) <= side_mm / 2
        distance[~inside] = np.inf
        nearest = distance.argmin(axis=1)
        way = distance[np.arange(len(p)), nearest]
        hit = np.isfinite(way)
        module[part][hit] = nearest[hit]
        place[part][hit] = (p + (way[:, None] + beyond) * d)[hit]
    return module, place
