"""Validation of the NECR curve in NEMA NU 2's scatter phantom.

NECR = T²/(T + S + R) of all counts within 12 cm of the axis, with S + R by NEMA's analysis of each
activity's own prompts (NEMA NU 2-2012, section 4.4). Dead time, pile-up, frames and windows are the
preset's, the crystals calibrated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daq.cli.validate.emulator_runs import ideal_instrument, run_digitized
from daq.cli.validate.result_line import Figure, Line, Scope, relative
from daq.cli.validate.sinogram import (
    FloatArray,
    StripCounts,
    aligned_profile,
    sinogram,
    strip_counts,
)
from emulator.engines.instrument import Instrument
from hw.scanner.geometry import build_geometry

NECR_MBQ = (60, 120, 180, 240, 287, 340, 420, 550)
PUBLISHED_KCPS, PUBLISHED_MBQ = 49.0, 287.0
NECR_TOLERANCE = 0.25
SOURCE = (
    "published peak (Sci. Rep. 9:15484); ±5 ns, integration and dead time of the preset are a fit "
    "to it, crystals calibrated, F-18"
)
PEAK_SOURCE = (
    "published; the curve is flat about its peak, and without the shielding of the real scanner, "
    "which is not modelled, the 546 mm of the line outside of it bring losses at less activity"
)


class NecrPoint(NamedTuple):
    """Rates at one activity, per second."""

    activity_MBq: float
    prompts: float
    trues: float
    randoms: float
    necr: float
    sigma: float


class _Acquired(NamedTuple):
    """One activity's sinograms (angles, elements) and its duration."""

    activity_MBq: float
    prompts: FloatArray
    delayeds: FloatArray
    seconds: float


def necr(scope: Scope) -> list[Line]:
    """Measure the curve; return its peak and its value where the published one has its peak."""
    instrument = ideal_instrument(phantom="nema-scatter", trigger_keV=100.0, pairs_only=False)
    points = necr_points([_acquire(instrument, scope, float(a)) for a in NECR_MBQ])
    curve = NecrCurve(points)
    activity = curve.peak_MBq()
    tolerance = relative(NECR_TOLERANCE, PUBLISHED_KCPS)
    name = "NECR in NEMA's scatter phantom"
    lines: list[Line] = []
    for where, at_MBq in ((f"{PUBLISHED_MBQ:g} MBq", PUBLISHED_MBQ), ("its peak", activity)):
        height, sigma = curve.at(at_MBq)
        lines.append(Figure(f"{name} at {where}", height / 1e3, sigma / 1e3, PUBLISHED_KCPS,
                            tolerance, SOURCE, "kcps", ".1f"))  # fmt: skip
    lines.append(Figure(f"{name}: activity of the peak", activity, 0.0, PUBLISHED_MBQ, None,
                        PEAK_SOURCE, "MBq", ".0f"))  # fmt: skip
    return lines + [_necr_line(point) for point in points]


def _necr_line(point: NecrPoint) -> Line:
    words = (
        f"prompts {point.prompts / 1e3:.0f}, trues {point.trues / 1e3:.0f}, "
        f"randoms {point.randoms / 1e3:.0f} kcps"
    )
    return Figure(
        f"NECR at {point.activity_MBq:g} MBq", point.necr / 1e3, point.sigma / 1e3, math.nan, None,
        words, "kcps", ".1f",
    )  # fmt: skip


def _acquire(instrument: Instrument, scope: Scope, activity_MBq: float) -> _Acquired:
    counted = run_digitized(
        instrument, scope, activity_Bq=activity_MBq * 1e6, decays=scope.counts(1.5e7)
    )
    geometry = build_geometry(instrument.scanner)
    return _Acquired(
        activity_MBq, sinogram(counted.prompts, geometry), sinogram(counted.delayeds, geometry),
        counted.seconds,
    )  # fmt: skip


def necr_points(acquired: list[_Acquired]) -> list[NecrPoint]:
    """Return the curve; the line does not move, so all are aligned by the peaks of their sum.

    The largest of few counts can lie anywhere; aligned by it, noise would look like trues.
    """
    together = np.sum([one.prompts - one.delayeds for one in acquired], axis=0)
    return [
        necr_point(
            one.activity_MBq, strip_counts(aligned_profile(one.prompts, together)),
            float(one.delayeds.sum()), one.seconds,
        )
        for one in acquired
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


class NecrCurve:
    """A cubic through ln NECR over ln A, weighted by the points' errors."""

    def __init__(self, points: list[NecrPoint]) -> None:
        x = np.log([point.activity_MBq for point in points])
        y = np.log([point.necr for point in points])
        weight = np.array([point.necr / point.sigma for point in points])
        self._middle = float(x.mean())
        self._range = float(x.min()), float(x.max())
        self._fit, self._covariance = np.polyfit(x - self._middle, y, 3, w=weight, cov="unscaled")

    def at(self, activity_MBq: float) -> tuple[float, float]:
        """Return (NECR per second, its standard error) at an activity."""
        powers = (math.log(activity_MBq) - self._middle) ** np.arange(3, -1, -1)
        height = math.exp(float(self._fit @ powers))
        return height, height * math.sqrt(float(powers @ self._covariance @ powers))

    def peak_MBq(self) -> float:
        """Return the activity of the highest point within those measured."""
        fine = np.linspace(*self._range, 2001)
        return math.exp(float(fine[np.polyval(self._fit, fine - self._middle).argmax()]))
