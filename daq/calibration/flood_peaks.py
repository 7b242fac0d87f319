"""The lattice of peaks in a pixelated block's flood, and the crystal look-up from it.

The crystals appear as n_u × n_v peaks, distorted by the light guide and compressed towards the
edges. A lattice through the quantiles of the two projections is moved onto the peaks: the centroids
of the cells nearest to each node, tied to a cubic surface over the lattice at first and freed at
the end, so that a dead crystal shifts no other. A position belongs to the nearest peak, as in the
crystal look-up tables of block detectors (S. R. Cherry, J. A. Sorenson, M. E. Phelps, *Physics in
Nuclear Medicine*, 4th ed., 2012, ch. 18).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates, maximum_filter
from scipy.spatial import KDTree

from daq.calibration.flood_map import SIDE
from daq.folder.calibration_arrays import REJECTED, CalibrationSetError
from hw.arrays import F8

Map = npt.NDArray[np.uint16]

LEAST_PEAK_TO_VALLEY = 1.3
LEAST_SHARE_OF_PEAKS = 0.9
DEAD_BELOW = 0.3
"""A crystal whose maximum is below this share of the median has no peak to find."""

HOT = 2.0
"""Counts of one position are limited to this multiple of their 95th percentile."""

MOST_SPLIT = 0.03
"""Largest share of neighbours without a valley between them: with more, the lattice is wrong."""

_TIED, _FREE = 20, 10
_REACH = 1.0
"""Positions further than this from any peak, in steps of the lattice, are rejected."""


@dataclass(frozen=True)
class ModuleFlood:
    """The result of one module's flood.

    crystal_map : (4096,) u2, crystal in module or REJECTED
    peak_to_valley : median over neighbouring peaks; NaN for a monolithic block
    peaks_uv : (n_v, n_u, 2) f8 raw positions of the peaks, or of the bins' middles
    weak : crystals without a peak of their own
    """

    crystal_map: Map
    peak_to_valley: float
    peaks_uv: F8
    weak: int


class FloodError(CalibrationSetError):
    """A flood in which the crystals cannot be found; the message says why."""


def peaks_map(flood: F8, n_u: int, n_v: int) -> ModuleFlood:
    """Return the map of a pixelated block, (64, 64) [v, u]; raises FloodError."""
    flood = without_hot_spots(flood)
    start = _lattice(flood, n_u, n_v)
    sigma = np.clip(0.12 * _scale(start), 0.5, 2.0)
    smooth = gaussian_filter(flood, sigma[::-1], mode="nearest")
    complaint: FloodError | None = None
    for shift_u in (0, -1, 1):  # dead or bright columns can move the quantiles by a crystal
        for shift_v in (0, -1, 1):
            centres = _onto_peaks(smooth, _shifted(start, shift_u, shift_v))
            try:
                ratio, weak = _check_peaks(smooth, centres)
            except FloodError as error:
                complaint = complaint or error
                continue
            return ModuleFlood(nearest_map(centres), ratio, centres, int(weak.sum()))
    assert complaint is not None
    raise complaint


def without_hot_spots(flood: F8) -> F8:
    """Return the flood limited to ``HOT`` times the 95th percentile of the positions with counts: a
    noisy channel must not attract the lattice.
    """
    hit = flood[flood > 0]
    return np.minimum(flood, HOT * np.quantile(hit, 0.95)) if len(hit) else flood


def _lattice(flood: F8, n_u: int, n_v: int) -> F8:
    """Return nodes (n_v, n_u, 2) at the quantiles of the projections."""
    u, v = (
        np.interp(
            (np.arange(n) + 0.5) / n,
            np.append(0.0, np.cumsum(profile) / profile.sum()),
            np.arange(SIDE + 1) - 0.5,
        )
        for profile, n in ((flood.sum(axis=0), n_u), (flood.sum(axis=1), n_v))
    )
    return np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=2)


def _shifted(centres: F8, shift_u: int, shift_v: int) -> F8:
    """Return the lattice stretched by half a crystal to one side, in u and in v."""
    n_v, n_u, _ = centres.shape
    ramp_u = np.linspace(1, 0, n_u) if shift_u < 0 else np.linspace(0, 1, n_u)
    ramp_v = np.linspace(1, 0, n_v) if shift_v < 0 else np.linspace(0, 1, n_v)
    step_u = (centres[0, -1, 0] - centres[0, 0, 0]) / max(n_u - 1, 1)
    step_v = (centres[-1, 0, 1] - centres[0, 0, 1]) / max(n_v - 1, 1)
    moved = centres.copy()
    moved[..., 0] += 0.5 * shift_u * step_u * ramp_u[None, :]
    moved[..., 1] += 0.5 * shift_v * step_v * ramp_v[:, None]
    return moved


def _onto_peaks(smooth: F8, centres: F8) -> F8:
    """Move the nodes onto the peaks: tied to a cubic surface first, then free within half a pitch.

    The centroid weights are squared counts, which favour the peak over the floor.
    """
    v, u = np.mgrid[:SIDE, :SIDE]
    places = np.stack([u.ravel(), v.ravel()], axis=1).astype(np.float64)
    weight = smooth.ravel() ** 2
    design, scale = _cubic(*centres.shape[:2]), _scale(centres)
    highest = _highest_near(smooth, centres)
    for step in range(_TIED + _FREE):
        flat = centres.reshape(-1, 2)
        _, nearest = KDTree(flat / scale).query(places / scale)
        mass = np.maximum(np.bincount(nearest, weight, len(flat)), 1e-30)
        sums = [np.bincount(nearest, weight * places[:, k], len(flat)) for k in (0, 1)]
        centroid = np.stack(sums, axis=1) / mass[:, None]
        dead = _weak(highest, centres).ravel()
        root = np.where(dead, 0.0, 1.0)[:, None]  # a bright crystal is no better known
        coefficients = np.linalg.lstsq(design * root, centroid * root, rcond=None)[0]
        surface = design @ coefficients
        if step < _TIED:
            centres = surface.reshape(centres.shape)
            continue
        far = (np.abs(centroid - surface) / scale).max(axis=1) > 0.5
        centres = np.where((far | dead)[:, None], surface, centroid).reshape(centres.shape)
    return centres


def _highest_near(smooth: F8, centres: F8) -> F8:
    """Return the highest value within about a third of a pitch of each place, (64, 64)."""
    size = np.maximum(np.rint(0.6 * _scale(centres)).astype(int), 1)[::-1]
    return np.asarray(maximum_filter(smooth, size=size.tolist()))


def _cubic(n_v: int, n_u: int) -> F8:
    """Return the terms xᵃyᵇ, a + b ≤ 5, a and b ≤ 3, over the lattice, (n_v·n_u, terms)."""
    x, y = np.meshgrid(np.linspace(-1, 1, n_u), np.linspace(-1, 1, n_v))
    highest_u, highest_v = min(3, n_u - 1), min(3, n_v - 1)
    terms = [
        (x**a * y**b).ravel()
        for a in range(highest_u + 1)
        for b in range(highest_v + 1)
        if a + b <= 5
    ]
    return np.stack(terms, axis=1)


def _scale(centres: F8) -> F8:
    """Return the median steps of the lattice along u and v, (2,); of one column or row, SIDE."""
    steps = (np.diff(centres[..., 0], axis=1), np.diff(centres[..., 1], axis=0))
    return np.array([np.median(np.abs(s)) if s.size else SIDE for s in steps], np.float64)


def _in_order(centres: F8) -> bool:
    return bool((np.diff(centres[..., 0], axis=1) > 0.5).all()
                and (np.diff(centres[..., 1], axis=0) > 0.5).all())  # fmt: skip


def _valleys(
    smooth: F8, centres: F8, weak: npt.NDArray[np.bool_] | None = None
) -> tuple[float, F8]:
    """Return the median of peak over valley between neighbours, and all ratios except those of
    ``weak``.

    The peak is the lower of the two, the valley the minimum on the line between them.
    """
    ratios = []
    along = np.linspace(0, 1, 13)[:, None, None]
    weak = np.zeros(centres.shape[:2], np.bool_) if weak is None else weak
    for axis in (0, 1):
        first, second = _neighbours(centres, axis)
        points = first.reshape(1, -1, 2) * (1 - along) + second.reshape(1, -1, 2) * along
        heights = map_coordinates(smooth, [points[..., 1], points[..., 0]], order=1,
                                  mode="nearest")  # fmt: skip
        peak = np.minimum(heights[:3].max(axis=0), heights[-3:].max(axis=0))
        ratio = peak / np.maximum(heights.min(axis=0), 1e-3 * max(float(smooth.max()), 1.0))
        one, other = _neighbours(weak, axis)
        ratios.append(ratio[~(one | other).ravel()])
    every = np.concatenate(ratios)
    return (float(np.median(every)) if len(every) else 0.0), every


def _neighbours(table: npt.NDArray[Any], axis: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return (table[:-1], table[1:]) if axis == 0 else (table[:, :-1], table[:, 1:])


def _weak(highest: F8, centres: F8) -> npt.NDArray[np.bool_]:
    height = map_coordinates(highest, [centres[..., 1], centres[..., 0]], order=0, mode="nearest")
    return np.asarray(height < DEAD_BELOW * np.median(height))


def _check_peaks(smooth: F8, centres: F8) -> tuple[float, npt.NDArray[np.bool_]]:
    """Return the median peak-to-valley ratio and which crystals have no peak; raises FloodError."""
    weak = _weak(_highest_near(smooth, centres), centres)
    n_v, n_u = weak.shape
    ratio, every = _valleys(smooth, centres, weak)
    split = float(np.mean(every < 1 + 0.15 * (ratio - 1))) if len(every) else 1.0
    if ratio < LEAST_PEAK_TO_VALLEY or split > MOST_SPLIT:
        raise FloodError(
            f"no {n_u} × {n_v} lattice of peaks: the median peak to valley is {ratio:.2f}, at "
            f"least {LEAST_PEAK_TO_VALLEY} is needed, and {split:.0%} of neighbours have no valley "
            f"between them, at most {MOST_SPLIT:.0%} may; measure longer, irradiate the whole "
            "block evenly, or check the position read-out"
        )
    if weak.mean() > 1 - LEAST_SHARE_OF_PEAKS or not _in_order(centres):
        raise FloodError(
            f"{int(weak.sum())} of {weak.size} crystals have no peak, or the peaks are out of "
            f"order; at least {LEAST_SHARE_OF_PEAKS:.0%} must be seen"
        )
    return ratio, weak


def nearest_map(centres: F8) -> Map:
    """Return the crystal (4096,) u2 whose peak is nearest to each raw position, in units of the
    lattice's steps; REJECTED if none is within one. centres : (n_v, n_u, 2)"""
    v, u = np.mgrid[:SIDE, :SIDE]
    places, scale = np.stack([u.ravel(), v.ravel()], axis=1), _scale(centres)
    distance, nearest = KDTree(centres.reshape(-1, 2) / scale).query(places / scale)
    return np.where(distance <= _REACH, nearest, REJECTED).astype(np.uint16)
