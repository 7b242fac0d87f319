"""Obvious, slow references for reconstruction: random lines, Joseph by scipy, a toy scanner."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import map_coordinates

from coincidence.events import COINCIDENCE
from hw.geometry import Geometry, crystal_at
from hw.scanner import Scanner
from recon.events import Lors
from recon.grid import ImageGrid

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

    The obvious form: scipy interpolates the image where the line meets each plane of voxel
    centres along its dominant axis, between the line's ends.
    """
    start, end = start.astype(np.float64), end.astype(np.float64)
    along = end - start
    axis = int(np.argmax(np.abs(along)))
    planes_mm = grid.origin_mm[axis] + np.arange(grid.shape[axis]) * grid.voxel_mm[axis]
    share = (planes_mm - start[axis]) / along[axis]
    share = share[(share >= 0) & (share <= 1)]
    points = start + share[:, None] * along
    index = (points - grid.origin_mm) / np.array(grid.voxel_mm)
    value = map_coordinates(image, index.T, order=1, mode="grid-constant", cval=0.0)
    length = np.linalg.norm(along)
    return value * grid.voxel_mm[axis] * length / abs(along[axis]), (share - 0.5) * length


def slow_forward(image: Array, grid: ImageGrid, lors: Lors) -> Array:
    """Return the line integrals of ``image``, in double precision."""
    image = image.astype(np.float64)
    pairs = zip(lors.start, lors.end, strict=True)
    return np.array([slow_joseph(image, grid, s, e)[0].sum() for s, e in pairs])


def dense_matrix(grid: ImageGrid, lors: Lors) -> Array:
    """Return the system matrix (lines, voxels) by projecting one voxel after the other."""
    columns = []
    for voxel in range(int(np.prod(grid.shape))):
        image = np.zeros(grid.shape)
        image.flat[voxel] = 1.0
        columns.append(slow_forward(image, grid, lors))
    return np.stack(columns, axis=1)


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
    photon that passes a block, or in modules that may not pair, are lost. ``survival`` gives the
    probability that a pair along (point, direction) leaves the object.
    """
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=points_mm.shape)
    direction /= np.linalg.norm(direction, axis=1)[:, None]
    keep = np.ones(len(points_mm), dtype=bool)
    if survival is not None:
        keep = rng.random(len(points_mm)) < survival(points_mm, direction)
    points, direction = points_mm[keep], direction[keep]
    hits = [_first_hit(scanner, geometry, points, sign * direction, rng) for sign in (1, -1)]
    (module_a, at_a), (module_b, at_b) = hits
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
    """Return the module met first (-1 for none) and the place of interaction in it."""
    module = np.full(len(points), -1)
    place = np.zeros_like(points)
    nearest = np.full(len(points), np.inf)
    drawn = rng.exponential(1 / 0.083, len(points))
    block = scanner.module
    for m in range(scanner.n_modules):
        u, v, w = geometry.module_axes[m]
        towards = direction @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = ((geometry.module_centre_mm[m] - points) @ w) / towards
        ahead = np.flatnonzero((towards > 1e-9) & (distance > 0) & (distance < nearest))
        entry = points[ahead] - geometry.module_centre_mm[m]
        at = entry + (distance + drawn)[ahead, None] * direction[ahead]
        inside = (
            (np.abs(at @ u) <= block.width_mm / 2)
            & (np.abs(at @ v) <= block.height_mm / 2)
            & (at @ w <= block.thickness_mm)
        )
        hit = ahead[inside]
        module[hit], nearest[hit] = m, distance[hit]
        place[hit] = at[inside] + geometry.module_centre_mm[m]
    return module, place
