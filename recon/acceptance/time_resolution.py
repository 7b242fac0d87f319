"""Time-of-flight resolution from the scatter phantom's line: NEMA NU 2-2018, section 8.

For each prompt, the point of its LOR nearest to the line is where it should have come from; the
timing error is the measured time difference less that of this point. Errors are histogrammed by the
LOR's distance from the line. For each timing error, randoms and scatter within 20 mm of the line
are a straight line between the counts at ±20 mm, as in the count rates, and are taken away. FWHM
and FWTM of what remains are those of a peak: a parabola through the top, straight lines between
bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw.arrays import F8, Records
from hw.physics.constants import LIGHT_MM_PER_PS
from hw.scanner.geometry import Geometry
from recon.acceptance.line_sinogram import pair_ends_mm
from recon.analysis.point_width import peak_width

STRIP_MM = 40.0
ELEMENT_MM = 2.0
REACH_MM = STRIP_MM / 2 + 2 * ELEMENT_MM
BIN_PS = 10.0
LEAST_COUNTS = 1500.0
"""Trues² over counts within the strip; with fewer the FWHM is not known within 7 %."""

SPREAD = 2.6
"""Relative spread of the FWHM in repeats, times the root of that number (drawn Gaussians)."""

BINS_ACROSS = 8
"""Bins within the FWHM; finer ones only add noise, and the highest of them is too high."""

HALF_TO_FWHM = 1.746
"""FWHM of a Gaussian over the width that holds its central half."""


@dataclass(frozen=True)
class TimingWidth:
    """FWHM and FWTM of the timing error, its middle, and the spectrum they were read from.

    sigma_ps : standard error of the FWHM
    """

    fwhm_ps: float
    sigma_ps: float
    fwtm_ps: float
    middle_ps: float
    error_ps: F8
    trues: F8


def timing_errors(
    pairs: Records, geometry: Geometry, line_mm: tuple[float, float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return (signed distance from the line in mm, timing error in ps) of each pair.

    The line is parallel to the axis through ``line_mm``. ``tof_ps`` = t_b − t_a, so a source nearer
    to a has a positive one: (|source − b| − |source − a|)/c.
    """
    a, b = pair_ends_mm(pairs, geometry)
    along = b - a
    across = np.hypot(along[:, 0], along[:, 1])
    x, y = line_mm[0] - a[:, 0], line_mm[1] - a[:, 1]
    share = (x * along[:, 0] + y * along[:, 1]) / across**2
    distance = (along[:, 0] * y - along[:, 1] * x) / across
    length = np.linalg.norm(along, axis=1)
    expected_ps = (1 - 2 * share) * length / LIGHT_MM_PER_PS
    return distance, pairs["tof_ps"] - expected_ps


def timing_table(
    pairs: Records, geometry: Geometry, line_mm: tuple[float, float], *, reach_ps: float
) -> F8:
    """Return counts by (timing error, distance): bins of 10 ps up to ``reach_ps``, of 2 mm."""
    distance, error = timing_errors(pairs, geometry, line_mm)
    bins = (2 * round(reach_ps / BIN_PS) + 1, 2 * round(REACH_MM / ELEMENT_MM) + 1)
    edges = [(n * width / 2) for n, width in zip(bins, (BIN_PS, ELEMENT_MM), strict=True)]
    counts, _, _ = np.histogram2d(
        error, distance, bins=bins, range=[(-edge, edge) for edge in edges]
    )
    return np.asarray(counts)


def timing_width(table: F8) -> TimingWidth | None:
    """Return the widths of a table of :func:`timing_table`; None for too few counts or no peak."""
    trues, counts = _within_strip(table)
    worth = max(float(trues.sum()), 0.0) ** 2 / max(counts, 1.0)
    if worth < LEAST_COUNTS:
        return None
    found = _width(trues, BIN_PS, joined=_bins_to_join(trues))
    return found and replace(found, sigma_ps=SPREAD * found.fwhm_ps / math.sqrt(worth))


def _within_strip(table: F8) -> tuple[F8, float]:
    """Return the counts within 20 mm of the line above those interpolated from its edges, of each
    timing error; and how many counts there are within 20 mm in all."""
    offset = (np.arange(table.shape[1]) - table.shape[1] // 2) * ELEMENT_MM
    half = STRIP_MM / 2
    inside = np.clip(half - np.abs(offset) + ELEMENT_MM / 2, 0, ELEMENT_MM) / ELEMENT_MM
    left = table[:, np.abs(offset + half) < ELEMENT_MM / 2].mean(axis=1)
    right = table[:, np.abs(offset - half) < ELEMENT_MM / 2].mean(axis=1)
    counts = table @ inside
    trues = np.asarray(counts - (left + right) / 2 * STRIP_MM / ELEMENT_MM)
    return trues, float(counts.sum())


def _bins_to_join(trues: F8) -> int:
    """Return how many bins to join, by the width that holds the central half of the counts."""
    grown = np.maximum.accumulate(np.cumsum(trues))
    low, high = np.searchsorted(grown, np.array([0.25, 0.75]) * grown[-1])
    return max(1, round(HALF_TO_FWHM * float(high - low) / BINS_ACROSS))


def _width(trues: F8, bin_ps: float, *, joined: int) -> TimingWidth | None:
    count = len(trues) // joined // 2 * 2 - 1
    if count < 5:
        return None
    first = (len(trues) - count * joined) // 2
    kept = trues[first : first + count * joined]
    response = kept.reshape(count, joined).sum(axis=1)
    middle_bin = first + (np.arange(count) + 0.5) * joined - 0.5 - (len(trues) - 1) / 2
    top = int(response.argmax())
    if not 0 < top < count - 1 or response[top] <= 0:
        return None
    half, tenth = (peak_width(response, top, part=part) for part in (0.5, 0.1))
    if half is None or tenth is None:
        return None
    step = bin_ps * joined
    error = np.asarray(middle_bin * bin_ps, dtype=np.float64)
    return TimingWidth(
        half[0] * step, 0.0, tenth[0] * step, float(np.interp(half[1], np.arange(count), error)),
        error, response,
    )  # fmt: skip
