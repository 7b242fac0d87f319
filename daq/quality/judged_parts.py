"""The parts that a QC of PET and one of SPECT share: each from what was measured to its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from daq.calibration.masked_crystals import MaskResult, find_masked
from daq.calibration.plots import Curve, Panel, Points
from daq.errors import DaqError
from daq.folder.calibration_arrays import MASKED_DEAD, MASKED_NOISY
from daq.folder.quality.qc_result import QcPart
from daq.quality.measured_spectra import MeasuredSpectra
from daq.quality.peak_quality import PeakQuality
from daq.quality.run_counts import RunCounts
from hw.arrays import I8, Mask
from hw.scanner.description import Scanner
from hw.scanner.judged_figure import Figure, Limits

RULE = (
    "dead: at most 1/20 of its module's median singles, and 6 σ below it; noisy: at least 5 times "
    "as many, and 6 σ above it"
)
LEAST_SHARE = 0.5
"""Of the crystals, whose peaks are known, for their median and spread to be told."""

MOST_NAMED = 20
"""Crystals or modules that a note names."""


@dataclass
class MeasuredPart:
    """A part with its plots, and the figures that are followed over the days."""

    part: QcPart
    panels: list[Panel] = field(default_factory=list)
    trend: dict[str, float] = field(default_factory=dict)


def measured_or_not(
    title: str, make: Callable[[], MeasuredPart], *, needed: bool = True
) -> MeasuredPart:
    """Return a part, or the reason why it cannot be measured."""
    try:
        return make()
    except DaqError as error:
        return MeasuredPart(QcPart(title=title, reason=str(error)[:2000], needed=needed))


def counts_part(counts: RunCounts, limits: Limits) -> MeasuredPart:
    """Rates, lost frames and the two estimates of randoms (docs/randoms.md)."""
    singles = counts.rate_cps(counts.singles.received) / 1e3
    figures = [
        Figure("detector time", counts.detector_time_s, "s", form=".1f"),
        Figure("singles", singles, "kcps", form=".1f"),
    ]
    if counts.prompts:
        figures.append(Figure("prompts", counts.rate_cps(counts.prompts) / 1e3, "kcps", form=".1f"))
    ratio = counts.randoms_ratio()
    if ratio is not None:
        figures += [
            Figure("randoms by delayeds", counts.rate_cps(ratio.from_delayeds), "cps", form=".0f"),
            Figure("randoms by singles", counts.rate_cps(ratio.from_singles), "cps", form=".0f"),
            limits.judged("randoms' estimates apart", ratio.off_sigmas,
                          "most_randoms_off_sigmas", unit="σ", form=".1f"),
        ]  # fmt: skip
    figures.append(
        limits.judged("data frames lost", counts.lost_percent, "most_lost_frames_percent",
                      unit="%")
    )  # fmt: skip
    notes = () if counts.condition == "good" else (f"the run is {counts.condition}",)
    part = QcPart(title="Rates and losses", figures=tuple(figures), notes=notes)
    return MeasuredPart(part, trend={"singles, kcps": singles})


def peaks_part(quality: PeakQuality, measured: MeasuredSpectra, scanner: Scanner,
               limits: Limits) -> MeasuredPart:  # fmt: skip
    """Place and width of the photopeak, by module, and by crystal where its counts suffice."""
    modules, crystals, line = quality.modules, quality.crystals, quality.line_keV
    good = modules.good
    shift = np.where(good, np.abs(quality.shift_percent), -1.0)
    worst, wide = int(shift.argmax()), int(np.where(good, modules.fwhm_percent, -1.0).argmax())
    preset = 100 * scanner.response.energy_fwhm_511 * float(np.sqrt(511.0 / line))
    fwhm = float(np.median(modules.fwhm_percent[good]))
    peak = float(np.median(modules.peak_keV[good]))
    figures = [
        Figure("peak, median of modules", peak, "keV", form=".1f"),
        limits.judged("peak shift, worst module", float(shift[worst]), "most_peak_shift_percent",
                      unit="%", form=".2f",
                      sigma=100 * float(modules.error_keV[worst]) / line),
        limits.judged("resolution, modules' median", fwhm, "most_energy_fwhm_ratio",
                      unit="%", form=".2f", times=preset),
        Figure("resolution, worst module", float(modules.fwhm_percent[wide]), "%",
               form=".2f"),
        limits.judged("modules without a photopeak", float((~good).sum()),
                      "most_peakless_modules", form=".0f"),
    ]  # fmt: skip
    notes = [f"peak farthest from {line:g} keV: module {worst}; widest: module {wide}"]
    if crystals.good.mean() >= LEAST_SHARE:
        own = crystals.peak_keV[crystals.good]
        figures += [
            Figure("peak, spread of crystals (σ)", 100 * float(own.std()) / line, "%", form=".2f"),
            Figure("resolution, crystals' median",
                   float(np.median(crystals.fwhm_percent[crystals.good])), "%", form=".2f"),
        ]  # fmt: skip
    alone = int(crystals.good.sum())
    notes.append(f"{alone} of {len(crystals.good)} crystals have counts for a peak of their own")
    part = QcPart(title="Peaks and energy resolution", figures=tuple(figures), notes=tuple(notes))
    trend = {"peak, keV": peak, "resolution, %": fwhm}
    return MeasuredPart(part, _peak_panels(quality, measured), trend)


def _peak_panels(quality: PeakQuality, measured: MeasuredSpectra) -> list[Panel]:
    total = measured.spectra.sum(axis=0, dtype=np.int64)
    modules = np.arange(len(quality.modules.good))
    places = np.where(quality.modules.good, quality.modules.peak_keV, np.nan)
    widths = np.where(quality.modules.good, quality.modules.fwhm_percent, np.nan)
    spectrum = Curve("singles", measured.grid.edges_keV, total)
    return [
        Panel("All singles, calibrated", "energy, keV", (spectrum,)),
        Panel("Peak of each module", "module", (Points("peak", modules, places),), "keV"),
        Panel("Resolution of each module", "module", (Points("FWHM", modules, widths),), "%"),
    ]


def find_odd(counts: I8, scanner: Scanner) -> MaskResult:
    """Return dead and noisy crystals (``daq.calibration.masked_crystals`` has the rule)."""
    return find_masked(counts, scanner)


def crystals_part(found: MaskResult, known: Mask, counts: I8, limits: Limits) -> MeasuredPart:
    """Dead and noisy crystals, beside those that the run's calibration masks already.

    known : (n_crystals,) masked in the run
    """
    dead = np.flatnonzero((found.masked == MASKED_DEAD) & ~known)
    noisy = np.flatnonzero((found.masked == MASKED_NOISY) & ~known)
    percent = 100 * len(dead) / len(known)
    figures = (
        Figure("dead crystals", float(len(dead)), form=".0f"),
        limits.judged("dead crystals, share", percent, "most_dead_percent", unit="%"),
        limits.judged("noisy crystals", float(len(noisy)), "most_noisy", form=".0f"),
        Figure("masked by the calibration", float(known.sum()), form=".0f"),
    )
    notes = [
        *_named("dead", dead),
        *_named("noisy", noisy),
        *_named("modules with too few counts to judge", np.flatnonzero(found.undecided)),
        RULE,
    ]
    crystals = np.arange(len(counts))
    odd = found.masked != 0
    logarithm = np.log10(np.maximum(counts, 0.5))
    panel = Panel("Singles of each crystal", "crystal",
                  (Points("well", crystals[~odd], logarithm[~odd]),
                   Points("dead or noisy", crystals[odd], logarithm[odd])),
                  "singles, log₁₀")  # fmt: skip
    part = QcPart(title="Dead and noisy crystals", figures=figures, notes=tuple(notes))
    return MeasuredPart(part, [panel], {"dead crystals": float(len(dead))})


def _named(what: str, which: I8) -> list[str]:
    if not len(which):
        return []
    names = ", ".join(str(one) for one in which[:MOST_NAMED])
    more = f" and {len(which) - MOST_NAMED} more" if len(which) > MOST_NAMED else ""
    return [f"{what}: {names}{more}"]
