"""NEMA's analysis of a scatter phantom: from LORs to trues, scatter and randoms.

NEMA NU 2-2012, section 4.4 (the same in NU 2-2018; NU 4-2008, section 4.4, with other sizes):
within a radius about the axis each projection is shifted so that its largest element lies in the
middle, and the projections are added; scatter (and randoms) are the counts outside the strip around
the middle, and within it those below the straight line between the counts at its edges, which are
interpolated between elements.

Oblique LORs count like direct ones (single-slice rebinning), and all slices are added first: the
line is parallel to the axis, so its place does not depend on the slice, and the sums over the
slices, which give the system's scatter fraction, are the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.scanner.geometry import Geometry, crystal_position_mm

ANGLES = 90
"""The number of angles and the elements' size are our choice, of the order of the resolution."""


@dataclass(frozen=True)
class Strip:
    """Which part of a projection is used: a radius about the axis, and the strip of the trues."""

    radius_mm: float
    strip_mm: float
    element_mm: float


NU2 = Strip(120.0, 40.0, 2.0)
NU4_MOUSE = Strip(12.5 + 8.0, 14.0, 0.5)
"""NU 4: up to 8 mm beyond the phantom."""


@dataclass(frozen=True)
class StripCounts:
    """Counts within the radius: all of them, and those that NEMA counts as scatter and randoms.

    edge_variance : of ``below``, from the counts at the strip's two edges, each of one element
    """

    total: float
    below: float
    edge_variance: float = 0.0

    @property
    def trues(self) -> float:
        """The counts above the line within the strip."""
        return self.total - self.below


def pair_ends_mm(pairs: npt.NDArray[Any], geometry: Geometry) -> tuple[F8, F8]:
    """Return the places of each pair's two photons, with their depth bin, (n, 3) each."""
    a = crystal_position_mm(geometry, pairs["crystal_a"], pairs["doi_a"]).astype(np.float64)
    b = crystal_position_mm(geometry, pairs["crystal_b"], pairs["doi_b"]).astype(np.float64)
    return a, b


def lor_coordinates(pairs: npt.NDArray[Any], geometry: Geometry) -> tuple[F8, F8]:
    """Return (s in mm, φ in rad) of each pair's LOR across the axis, (n,) each.

    s = x·cos φ + y·sin φ, 0 ≤ φ < π; positions with their depth bin.
    """
    a, b = pair_ends_mm(pairs, geometry)
    angle = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0]) + np.pi / 2
    angle %= np.pi
    s = a[:, 0] * np.cos(angle) + a[:, 1] * np.sin(angle)
    return s, angle


def sinogram(pairs: npt.NDArray[Any], geometry: Geometry, strip: Strip = NU2) -> F8:
    """Return the counts by (angle, element) within the radius."""
    s, angle = lor_coordinates(pairs, geometry)
    elements = round(2 * strip.radius_mm / strip.element_mm)
    reach = (-strip.radius_mm, strip.radius_mm)
    counts, _, _ = np.histogram2d(angle, s, bins=(ANGLES, elements), range=((0, np.pi), reach))
    return np.asarray(counts)


def aligned_profile(counts: F8, peaks_of: F8 | None = None) -> F8:
    """Return the sum of the projections, each shifted so that its largest element is central.

    ``peaks_of`` : the sinogram whose peaks are used, itself by default. The profile has twice as
    many elements, so that nothing is shifted out of it; its middle is element ``len // 2``.
    """
    reference = counts if peaks_of is None else peaks_of
    elements = counts.shape[1]
    profile = np.zeros(2 * elements + 1)
    for row, peak in zip(counts, reference.argmax(axis=1), strict=True):
        begin = elements - int(peak)
        profile[begin : begin + elements] += row
    return profile


def strip_counts(profile: F8, strip: Strip = NU2) -> StripCounts:
    """Return NEMA's division of an aligned profile."""
    middle = len(profile) // 2
    half, element = strip.strip_mm / 2, strip.element_mm
    offset_mm = (np.arange(len(profile)) - middle) * element
    left, right = np.interp([-half, half], offset_mm, profile)
    # an element at the strip's edge belongs to it with the part that lies within
    inside = np.clip(half - np.abs(offset_mm) + element / 2, 0, element) / element
    outside = float((profile * (1 - inside)).sum())
    width = strip.strip_mm / element
    below = outside + (left + right) / 2 * width
    return StripCounts(float(profile.sum()), below, float((width / 2) ** 2 * (left + right)))


_NEAR = 3
"""Elements about the line in which a projection's largest one is looked for."""


def line_place_mm(counts: F8, strip: Strip = NU2) -> tuple[float, float]:
    """Return where the line crosses the transverse plane, (x, y), from its sinogram.

    The point that most counts pass through, then least squares of each projection's largest element
    near it, at s = x·cos φ + y·sin φ, weighted by the counts there.
    """
    angle = (np.arange(counts.shape[0]) + 0.5) * np.pi / counts.shape[0]
    design = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    place = _most_passed(counts, design, strip)
    rows = np.arange(len(angle))
    element = np.arange(counts.shape[1])
    for _ in range(2):
        middle = _elements(design @ place, strip)
        near = np.abs(element - middle[:, None]) <= _NEAR
        top = np.where(near, counts, -np.inf).argmax(axis=1)
        s = (top + 0.5) * strip.element_mm - strip.radius_mm
        weight = np.sqrt(np.maximum(counts[rows, top], 0.0))
        place, *_ = np.linalg.lstsq(design * weight[:, None], s * weight, rcond=None)
    return float(place[0]), float(place[1])


def _most_passed(counts: F8, design: F8, strip: Strip) -> F8:
    """Return the point of a grid of two elements that most counts pass through."""
    axis = np.arange(-strip.radius_mm, strip.radius_mm, 2 * strip.element_mm)
    x, y = np.meshgrid(axis, axis, indexing="ij")
    passed = np.zeros_like(x)
    for row, (cos, sin) in zip(counts, design, strict=True):
        passed += row[_elements(x * cos + y * sin, strip)]
    passed[np.hypot(x, y) > strip.radius_mm] = -np.inf
    best = np.unravel_index(int(passed.argmax()), passed.shape)
    return np.array([x[best], y[best]])


def _elements(s_mm: F8, strip: Strip) -> npt.NDArray[np.int64]:
    """Return the element of each distance from the axis, the outermost ones beyond the radius."""
    last = round(2 * strip.radius_mm / strip.element_mm) - 1
    found = np.floor((s_mm + strip.radius_mm) / strip.element_mm).astype(np.int64)
    return np.clip(found, 0, last)


def line_alone(counts: F8, strip: Strip = NU2) -> F8:
    """Return a sinogram with one count where the line of another one is, for its alignment.

    With the counts that the standards ask for, that is each projection's largest element. With few,
    the largest can lie anywhere, and aligned by it noise would look like trues.
    """
    angle = (np.arange(counts.shape[0]) + 0.5) * np.pi / counts.shape[0]
    x, y = line_place_mm(counts, strip)
    alone = np.zeros_like(counts)
    at = _elements(x * np.cos(angle) + y * np.sin(angle), strip)
    alone[np.arange(len(angle)), at] = 1.0
    return alone
