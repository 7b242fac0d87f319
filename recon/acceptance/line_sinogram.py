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

from hw.scanner.geometry import Geometry, crystal_position_mm

FloatArray = npt.NDArray[np.float64]

ANGLES = 90
"""The number of angles and the elements' size are our choice, of the order of the resolution."""


@dataclass(frozen=True)
class Strip:
    """What of a projection is used: up to a radius from the axis, and the strip of the trues."""

    radius_mm: float
    strip_mm: float
    element_mm: float


NU2 = Strip(120.0, 40.0, 2.0)
NU4_MOUSE = Strip(12.5 + 8.0, 14.0, 0.5)
NU4_RAT = Strip(25.0 + 8.0, 14.0, 0.5)
"""NU 4: up to 8 mm beyond the phantom."""


@dataclass(frozen=True)
class StripCounts:
    """Counts within the radius: all of them, and those that NEMA counts as scatter and randoms."""

    total: float
    below: float

    @property
    def trues(self) -> float:
        """The counts above the line within the strip."""
        return self.total - self.below


def pair_ends_mm(pairs: npt.NDArray[Any], geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Return the places of each pair's two photons, with their depth bin, (n, 3) each."""
    a = crystal_position_mm(geometry, pairs["crystal_a"], pairs["doi_a"]).astype(np.float64)
    b = crystal_position_mm(geometry, pairs["crystal_b"], pairs["doi_b"]).astype(np.float64)
    return a, b


def lor_coordinates(pairs: npt.NDArray[Any], geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Return (s in mm, φ in rad) of each pair's LOR across the axis, (n,) each.

    s = x·cos φ + y·sin φ, 0 ≤ φ < π; positions with their depth bin.
    """
    a, b = pair_ends_mm(pairs, geometry)
    angle = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0]) + np.pi / 2
    angle %= np.pi
    s = a[:, 0] * np.cos(angle) + a[:, 1] * np.sin(angle)
    return s, angle


def sinogram(pairs: npt.NDArray[Any], geometry: Geometry, strip: Strip = NU2) -> FloatArray:
    """Return the counts by (angle, element) within the radius."""
    s, angle = lor_coordinates(pairs, geometry)
    elements = round(2 * strip.radius_mm / strip.element_mm)
    reach = (-strip.radius_mm, strip.radius_mm)
    counts, _, _ = np.histogram2d(angle, s, bins=(ANGLES, elements), range=((0, np.pi), reach))
    return np.asarray(counts)


def aligned_profile(counts: FloatArray, peaks_of: FloatArray | None = None) -> FloatArray:
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


def strip_counts(profile: FloatArray, strip: Strip = NU2) -> StripCounts:
    """Return NEMA's division of an aligned profile."""
    middle = len(profile) // 2
    half, element = strip.strip_mm / 2, strip.element_mm
    offset_mm = (np.arange(len(profile)) - middle) * element
    left, right = np.interp([-half, half], offset_mm, profile)
    # an element at the strip's edge belongs to it with the part that lies within
    inside = np.clip(half - np.abs(offset_mm) + element / 2, 0, element) / element
    outside = float((profile * (1 - inside)).sum())
    return StripCounts(
        float(profile.sum()), outside + (left + right) / 2 * strip.strip_mm / element
    )


def line_place_mm(counts: FloatArray, strip: Strip = NU2) -> tuple[float, float]:
    """Return where the line crosses the transverse plane, (x, y), from its sinogram.

    The largest element of each projection lies at s = x·cos φ + y·sin φ: least squares, weighted by
    the counts there.
    """
    angle = (np.arange(counts.shape[0]) + 0.5) * np.pi / counts.shape[0]
    top = counts.argmax(axis=1)
    s = (top + 0.5) * strip.element_mm - strip.radius_mm
    weight = np.sqrt(np.maximum(counts[np.arange(len(top)), top], 0.0))
    design = np.stack([np.cos(angle), np.sin(angle)], axis=1) * weight[:, None]
    place, *_ = np.linalg.lstsq(design, s * weight, rcond=None)
    return float(place[0]), float(place[1])
