"""The parts of NU 2 and NU 4 that count: sensitivity, scatter and count rates, time of flight."""

from __future__ import annotations

import math
from collections import defaultdict

from msgspec import structs

from hw.scanner.judged_figure import Figure, Limits
from recon.acceptance.count_rates import (
    MOST_RANDOMS,
    NecrCurve,
    NecrPoint,
    necr_points,
    peaks_of,
    scatter_fraction,
)
from recon.acceptance.curves import draw_curves, draw_rates
from recon.acceptance.judged import Part
from recon.acceptance.line_sensitivity import (
    POINT_STRIP_MM,
    LineSensitivity,
    PointRate,
    SleeveRate,
    slice_profile,
    stepped_point,
    without_sleeves,
)
from recon.acceptance.line_sinogram import NU2, Strip, line_alone, line_place_mm
from recon.acceptance.measured_run import (
    AcceptanceError,
    MeasuredRun,
    SliceCounts,
    line_counts,
    slice_counts,
    timing_counts,
)
from recon.acceptance.time_resolution import timing_width
from recon.analysis.report import Section, Table

LEAST_PROMPTS = 5e5
"""Of each run of the count rates (NU 2-2018, 4.3)."""

NAMED = 30.0
"""Distance from the axis, mm, from which a line counts as off it."""


def line_sensitivity(runs: list[MeasuredRun], limits: Limits) -> Part:
    """NU 2, section 5: lines within sleeves, on the axis and off it."""
    groups: dict[str, list[tuple[MeasuredRun, SliceCounts]]] = defaultdict(list)
    for run in runs:
        place = line_place_mm(line_counts(run, NU2).prompts)
        away = math.hypot(*place)
        where = "on the axis" if away < NAMED else f"{round(away, -1):.0f} mm off the axis"
        groups[where].append((run, slice_counts(run)))
    figures, rows, deviations, plots = [], [], _losses(runs), []
    for where, found in groups.items():
        rates = [_sleeve_rate(run, counts) for run, counts in found]
        result = _extrapolated(rates, where)
        figures.append(
            limits.judged(f"sensitivity, {where}", result.cps_per_kBq,
                          "least_sensitivity_cps_per_kBq", unit="cps/kBq", sigma=result.sigma,
                          form=".2f")
        )  # fmt: skip
        if any(one.sleeves for one in rates):
            figures.append(Figure(f"µ of the sleeves, {where}", result.mu_per_mm * 10, "1/cm"))
        rows += [[where, str(one.sleeves), f"{one.cps_per_kBq:.3f} ± {one.sigma:.3f}"]
                 for one in sorted(rates)]  # fmt: skip
        _, thin = min(found, key=lambda one: one[0].number("sleeves"))
        profile = slice_profile(thin.trues, result.cps_per_kBq)
        plots.append(draw_curves([(where, thin.z_mm, profile)], "slice, z in mm",
                                 "sensitivity of a slice, cps/kBq", style="-"))  # fmt: skip
        if not any(one.sleeves for one in rates):
            deviations.append(f"{where}: a line without sleeves, of which nothing is extrapolated")
        elif len({one.sleeves for one in rates}) < 5:
            deviations.append(f"{where}: fewer than five numbers of sleeves")
    if len(groups) < 2:
        deviations.append("the line was measured at one distance from the axis, not at two")
    table = Table(["line", "sleeves", "cps/kBq"], rows)
    words = ["Rates within 1 to 5 aluminium sleeves, extrapolated to none (NU 2-2018, 5)."]
    title = "Sensitivity"
    return Part("sensitivity", title, figures, deviations, Section(title, words, [table], plots))


def _sleeve_rate(run: MeasuredRun, counts: SliceCounts) -> SleeveRate:
    scale = run.data.duration_s * run.activity_MBq * 1e3
    rate, sigma = counts.total / scale, math.sqrt(counts.variance) / scale
    return SleeveRate(round(run.number("sleeves")), rate, sigma)


def _extrapolated(rates: list[SleeveRate], where: str) -> LineSensitivity:
    try:
        return without_sleeves(rates)
    except ValueError as error:
        raise AcceptanceError(f"sensitivity, line {where}: {error}") from error


def _losses(runs: list[MeasuredRun]) -> list[str]:
    """Tell where modules were dead for more than the 1 % that the standards allow."""
    least = 1.0
    for run in runs:
        live, whole = run.data.pair_live_s, run.data.detector_s
        if live is not None and whole > 0:
            seen = live[run.data.geometry.allowed_pairs]
            least = min(least, float(seen.mean()) / whole)
    return [] if least > 0.99 else [f"pairs were live for only {least:.1%} of the time (99 %)"]


def point_sensitivity(runs: list[MeasuredRun], limits: Limits) -> Part:
    """NU 4, section 5: a point stepped along the axis."""
    points = []
    for run in runs:
        near = run.number("x_mm", 0.0), run.number("y_mm", 0.0)
        counts = slice_counts(run, near_mm=near, within_mm=POINT_STRIP_MM / 2)
        scale = run.data.duration_s * run.activity_MBq * 1e6
        points.append(PointRate(run.number("z_mm", 0.0), counts.total / scale,
                                math.sqrt(counts.variance) / scale))  # fmt: skip
    points.sort()
    found = stepped_point(points, positron_share=runs[0].positron_share)
    figures = [
        limits.judged("absolute sensitivity, mean over the axial field", found.mean * 100,
                      "least_sensitivity_percent", unit="%", sigma=found.sigma * 100, form=".3f"),
        Figure("absolute sensitivity, centre", found.centre * 100, "%", form=".3f"),
    ]  # fmt: skip
    plot = draw_curves([("", [p.z_mm for p in points], [p.per_decay for p in points])], "z, mm",
                       "coincidences per decay")  # fmt: skip
    deviations = [
        *_losses(runs),
        "no background but the randoms is subtracted: the crystals' own activity would count",
        f"the point was measured at {len(points)} places, not in every slice",
    ]
    title = "Sensitivity"
    words = ["Coincidences within 10 mm of the point over its decays (NU 4-2008, 5)."]
    return Part("sensitivity", title, figures, deviations, Section(title, words, [], [plot]))


def count_rates(
    runs: list[MeasuredRun], limits: Limits, *, strip: Strip = NU2, clause: str = "NU 2-2018, 4"
) -> Part:
    """NU 2 and NU 4, section 4: scatter fraction and the peak of the NECR."""
    lines = sorted((line_counts(run, strip) for run in runs), key=lambda one: one.activity_MBq)
    by = line_alone(peaks_of(lines), strip)
    points = necr_points(lines, strip, aligned_by=by)
    share = scatter_fraction(lines[0], strip, aligned_by=by)
    figures = [
        limits.judged("scatter fraction", share.share, "most_scatter_fraction", sigma=share.sigma)
    ]
    deviations = []
    if share.randoms_share > MOST_RANDOMS:
        deviations.append(
            f"at the lowest activity randoms are {share.randoms_share:.1%} of the trues, not below "
            "1 %; they are subtracted by the delayed window"
        )
    least = min(one.prompts.sum() for one in lines)
    if least < LEAST_PROMPTS:
        deviations.append(
            f"a run has only {least:.3g} prompts near the line (at least {LEAST_PROMPTS:.0e}): "
            "projections are aligned by the line's place, fitted, not by their largest elements"
        )
    more, told = _peak(points, limits)
    table = Table(
        ["MBq", "prompts, kcps", "trues", "randoms", "scatter", "NECR"],
        [[f"{p.activity_MBq:.3g}", *(f"{v / 1e3:.4g}" for v in (p.prompts, p.trues, p.randoms,
          p.scatter)), f"{p.necr / 1e3:.4g} ± {p.sigma / 1e3:.2g}"] for p in points],
    )  # fmt: skip
    title = "Scatter fraction, count losses and randoms"
    words = [f"The line in the polyethylene phantom ({clause}); all slices are added first."]
    section = Section(title, words, [table], [draw_rates(points)])
    return Part("count-rates", title, figures + more, deviations + told, section)


def _peak(points: list[NecrPoint], limits: Limits) -> tuple[list[Figure], list[str]]:
    """Return the figures of the NECR's peak, and what to say about it."""
    if len(points) < 3:
        highest = max(points, key=lambda one: one.necr)
        figure = Figure("highest NECR measured", highest.necr / 1e3, "kcps", highest.sigma / 1e3)
        return [figure], ["fewer than three activities: no peak of the NECR can be told"]
    curve = NecrCurve(points)
    at = curve.peak_MBq()
    height, sigma = curve.at(at)
    figures = [
        limits.judged("peak NECR", height / 1e3, "least_peak_necr_kcps", unit="kcps",
                      sigma=sigma / 1e3),
        Figure("activity at the peak", at, "MBq"),
    ]  # fmt: skip
    if curve.has_peak():
        return figures, []
    return figures, [
        "the NECR is highest at an end of the activities measured: no peak was reached"
    ]


def time_of_flight(runs: list[MeasuredRun], limits: Limits) -> Part:
    """NU 2-2018, section 8: the timing error of the scatter phantom's line."""
    runs = sorted(runs, key=lambda one: one.activity_MBq)
    place = line_place_mm(peaks_of([line_counts(run, NU2) for run in runs]))
    figures: list[Figure] = []
    rows, curves = [], []
    few = []
    for run in runs:
        name = f"{run.activity_MBq:.3g} MBq"
        found = timing_width(timing_counts(run, place))
        if found is None:
            few.append(name)
            continue
        judged = limits.judged(f"time resolution, FWHM, {name}", found.fwhm_ps, "most_tof_fwhm_ps",
                               unit="ps", sigma=found.sigma_ps, form=".0f")  # fmt: skip
        figures.append(judged if not figures else structs.replace(judged, limit_key="", limit=None))
        rows.append([name, f"{found.fwhm_ps:.0f} ± {found.sigma_ps:.0f}", f"{found.fwtm_ps:.0f}",
                     f"{found.middle_ps:.0f}"])  # fmt: skip
        curves.append((name, found.error_ps, found.trues / max(float(found.trues.max()), 1.0)))
    if not figures:
        raise AcceptanceError("tof: no run has enough trues near its line; measure longer")
    title = "Time-of-flight resolution"
    words = [
        "Timing error of LORs near the line, above a straight line between ±20 mm (NU 2-2018, 8).",
        f"The line was found at x = {place[0]:.1f}, y = {place[1]:.1f} mm.",
    ]
    table = Table(["activity", "FWHM, ps", "FWTM, ps", "middle, ps"], rows)
    plot = draw_curves(curves, "timing error, ps", "counts, relative", style="-")
    deviations = [] if runs[0].data.scanner.acquisition.tof else [
        "the preset does not use time of flight: this is the resolution of its time stamps"
    ]  # fmt: skip
    deviations += [f"too few trues for a width at {', '.join(few)}"] if few else []
    return Part("tof", title, figures, deviations, Section(title, words, [table], [plot]))
