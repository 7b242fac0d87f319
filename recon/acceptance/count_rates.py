"""Count rates of a scatter phantom: scatter fraction, trues, randoms, and the peak of the NECR.

NEMA NU 2-2018, section 4 (NU 4-2008, section 4): at each activity the counts of the line's strip
are divided (:mod:`recon.acceptance.line_sinogram`) into trues and what lies below. Randoms are
those of the delayed window, what remains is scatter. The noise equivalent count rate is

    NECR = T² / (T + S + R)

which is the standard's form for randoms known without noise. The scatter fraction S/(S + T) is that
of an activity at which randoms are below 1 % of the trues; those few are subtracted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.arrays import F8
from recon.acceptance.line_sinogram import NU2, Strip, StripCounts, aligned_profile, strip_counts

MOST_RANDOMS = 0.01
"""Randoms over trues up to which a run gives the scatter fraction."""

NEAR_PEAK, LEAST_NEAR = 5.0, 4
"""Times more or less active than the highest point a point of the curve may be; how many points it
has at least. A cubic does not follow three decades, and low activities have the smallest errors."""


class NecrPoint(NamedTuple):
    """Rates at one activity, per second."""

    activity_MBq: float
    prompts: float
    trues: float
    randoms: float
    necr: float
    sigma: float

    @property
    def scatter(self) -> float:
        """Rate of what is neither a true nor a random."""
        return self.prompts - self.trues - self.randoms


@dataclass(frozen=True)
class LineCounts:
    """Sinograms (angles, elements) of prompts and of the randoms expected, at one mean activity."""

    activity_MBq: float
    prompts: F8
    randoms: F8
    seconds: float


class ScatterFraction(NamedTuple):
    """S/(S + T) with its standard error, and the randoms over trues of the counts it is from."""

    share: float
    sigma: float
    randoms_share: float


def peaks_of(lines: list[LineCounts]) -> F8:
    """Return the sinogram whose peaks align all others: the sum of prompts less randoms.

    The line does not move. The largest of few counts can lie anywhere; aligned by it, noise would
    look like trues.
    """
    return np.asarray(np.sum([one.prompts - one.randoms for one in lines], axis=0))


def necr_points(
    lines: list[LineCounts], strip: Strip = NU2, *, aligned_by: F8 | None = None
) -> list[NecrPoint]:
    """Return the rates at each activity.

    aligned_by : the sinogram whose peaks are used, that of all activities together by default
    """
    together = peaks_of(lines) if aligned_by is None else aligned_by
    return [
        necr_point(
            one.activity_MBq, strip_counts(aligned_profile(one.prompts, together), strip),
            float(one.randoms.sum()), one.seconds,
        )
        for one in lines
    ]  # fmt: skip


def necr_point(
    activity_MBq: float, division: StripCounts, randoms_found: float, seconds: float
) -> NecrPoint:
    """Return rates and NECR of counts; the error of the line between the strip's edges, each the
    mean of two elements, is that of five times the counts below it."""
    trues, total = max(division.trues, 1.0), division.total
    necr_Hz = trues**2 / total / seconds
    sigma = 2 * math.sqrt(total + 5 * division.below) / trues * necr_Hz
    return NecrPoint(
        activity_MBq, total / seconds, trues / seconds, randoms_found / seconds, necr_Hz, sigma
    )


def scatter_fraction(
    line: LineCounts, strip: Strip = NU2, *, aligned_by: F8 | None = None
) -> ScatterFraction:
    """Return the scatter fraction of one activity, its randoms subtracted.

    aligned_by : the sinogram whose peaks are used, the prompts' by default
    """
    by = line.prompts if aligned_by is None else aligned_by
    profile = aligned_profile(line.prompts, by) - aligned_profile(line.randoms, by)
    counts = strip_counts(profile, strip)
    share = counts.below / counts.total
    binomial = max(share * (1 - share), 0.0) / counts.total
    error = math.sqrt(binomial + max(counts.edge_variance, 0.0) / counts.total**2)
    return ScatterFraction(share, error, float(line.randoms.sum()) / max(counts.trues, 1.0))


def _near_the_highest(points: list[NecrPoint]) -> list[NecrPoint]:
    """Return the points within ``NEAR_PEAK`` of the highest one, at least ``LEAST_NEAR``."""
    top_MBq = max(points, key=lambda point: point.necr).activity_MBq

    def away(point: NecrPoint) -> float:
        return abs(math.log(point.activity_MBq / top_MBq))

    nearest = sorted(points, key=away)
    near = sum(away(point) <= math.log(NEAR_PEAK) for point in points)
    return sorted(nearest[: max(near, LEAST_NEAR)])


class NecrCurve:
    """A polynomial through ln NECR over ln A near the highest point, weighted by the points'
    errors: a cubic, or of the degree that as many points allow."""

    def __init__(self, points: list[NecrPoint]) -> None:
        points = _near_the_highest(points)
        x = np.log([point.activity_MBq for point in points])
        y = np.log([point.necr for point in points])
        weight = np.array([point.necr / point.sigma for point in points])
        self._middle = float(x.mean())
        self._range = float(x.min()), float(x.max())
        self._degree = min(3, len(points) - 1)
        self._fit, self._covariance = np.polyfit(
            x - self._middle, y, self._degree, w=weight, cov="unscaled"
        )

    def at(self, activity_MBq: float) -> tuple[float, float]:
        """Return (NECR per second, its standard error) at an activity."""
        powers = (math.log(activity_MBq) - self._middle) ** np.arange(self._degree, -1, -1)
        height = math.exp(float(self._fit @ powers))
        return height, height * math.sqrt(float(powers @ self._covariance @ powers))

    def peak_MBq(self) -> float:
        """Return the activity of the highest point within those measured."""
        fine = np.linspace(*self._range, 2001)
        return math.exp(float(fine[np.polyval(self._fit, fine - self._middle).argmax()]))

    def has_peak(self) -> bool:
        """Whether the highest point lies within those measured, not at an end."""
        low, high = self._range
        return low + 1e-3 < math.log(self.peak_MBq()) < high - 1e-3
