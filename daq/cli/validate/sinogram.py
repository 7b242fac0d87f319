"""NEMA NU 2's analysis of the scatter phantom: from LORs to trues, scatter and randoms.

NEMA NU 2-2012, section 4.4: within 12 cm of the axis each projection is shifted so that its
largest element lies in the middle, and the projections are added; scatter (and randoms) are the
counts outside the 40 mm strip around the middle, and within it those below the straight line
between the counts at its edges, which are interpolated between elements.

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

RADIUS_MM = 120.0
STRIP_MM = 40.0
ELEMENT_MM = 2.0
ANGLES = 90
"""The number of elements and angles is our choice, of the order of the detector's resolution."""


@dataclass(frozen=True)
class StripCounts:
    """Counts within 12 cm: all of them, and those that NEMA counts as scatter and randoms."""

    total: float
    below: float

    @property
    def trues(self) -> float:
        """The counts above the line within the strip."""
        return self.total - self.below


def lor_coordinates(pairs: npt.NDArray[Any], geometry: Geometry) -> tuple[FloatArray, FloatArray]:
    """Return (s in mm, φ in rad) of each pair's LOR across the axis, (n,) each.

    s = x·cos φ + y·sin φ, 0 ≤ φ < π; positions with their depth bin.
    """
    a = crystal_position_mm(geometry, pairs["crystal_a"], pairs["doi_a"]).astype(np.float64)
    b = crystal_position_mm(geometry, pairs["crystal_b"], pairs["doi_b"]).astype(np.float64)
    angle = np.arctan2(b[:, 1] - a[:, 1], b[:, 0] - a[:, 0]) + np.pi / 2
    angle %= np.pi
    s = a[:, 0] * np.cos(angle) + a[:, 1] * np.sin(angle)
    return s, angle


def sinogram(pairs: npt.NDArray[Any], geometry: Geometry) -> FloatArray:
    """Return the counts by (angle, element) within 12 cm of the axis."""
    s, angle = lor_coordinates(pairs, geometry)
    elements = round(2 * RADIUS_MM / ELEMENT_MM)
    counts, _, _ = np.histogram2d(
        angle, s, bins=(ANGLES, elements), range=((0, np.pi), (-RADIUS_MM, RADIUS_MM))
    )
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


def strip_counts(profile: FloatArray) -> StripCounts:
    """Return NEMA's division of an aligned profile."""
    middle = len(profile) // 2
    offset_mm = (np.arange(len(profile)) - middle) * ELEMENT_MM
    left, right = np.interp([-STRIP_MM / 2, STRIP_MM / 2], offset_mm, profile)
    # an element at the strip's edge belongs to it with the part that lies within
    inside = np.clip(STRIP_MM / 2 - np.abs(offset_mm) + ELEMENT_MM / 2, 0, ELEMENT_MM) / ELEMENT_MM
    outside = float((profile * (1 - inside)).sum())
    return StripCounts(float(profile.sum()), outside + (left + right) / 2 * STRIP_MM / ELEMENT_MM)
