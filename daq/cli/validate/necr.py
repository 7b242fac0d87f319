"""Validation of the NECR curve in NEMA NU 2's scatter phantom.

NECR = T²/(T + S + R) of all counts within 12 cm of the axis, with S + R by NEMA's analysis of each
activity's own prompts (NEMA NU 2-2012, section 4.4). Dead time, pile-up, frames and windows are the
preset's, the crystals calibrated.
"""

from __future__ import annotations

import math

from daq.cli.validate.emulator_runs import ideal_instrument, run_digitized
from daq.cli.validate.result_line import CheckFigure, Line, Scope, relative
from emulator.engines.instrument import Instrument
from hw.scanner.geometry import build_geometry
from recon.acceptance.count_rates import LineCounts, NecrCurve, NecrPoint, necr_points
from recon.acceptance.line_sinogram import sinogram

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
        lines.append(CheckFigure(f"{name} at {where}", height / 1e3, sigma / 1e3, PUBLISHED_KCPS,
                            tolerance, SOURCE, "kcps", ".1f"))  # fmt: skip
    lines.append(CheckFigure(f"{name}: activity of the peak", activity, 0.0, PUBLISHED_MBQ, None,
                        PEAK_SOURCE, "MBq", ".0f"))  # fmt: skip
    return lines + [_necr_line(point) for point in points]


def _necr_line(point: NecrPoint) -> Line:
    words = (
        f"prompts {point.prompts / 1e3:.0f}, trues {point.trues / 1e3:.0f}, "
        f"randoms {point.randoms / 1e3:.0f} kcps"
    )
    return CheckFigure(
        f"NECR at {point.activity_MBq:g} MBq", point.necr / 1e3, point.sigma / 1e3, math.nan, None,
        words, "kcps", ".1f",
    )  # fmt: skip


def _acquire(instrument: Instrument, scope: Scope, activity_MBq: float) -> LineCounts:
    counted = run_digitized(
        instrument, scope, activity_Bq=activity_MBq * 1e6, decays=scope.counts(1.5e7)
    )
    geometry = build_geometry(instrument.scanner)
    return LineCounts(
        activity_MBq, sinogram(counted.prompts, geometry), sinogram(counted.delayeds, geometry),
        counted.seconds,
    )  # fmt: skip
