"""Coincidence time resolution (CTR) of a run's prompts, as its calibration leaves them.

For each prompt the time difference that the source's place gives is subtracted
(``daq.calibration.coincidence_pairs``); delayeds, over their factor, are subtracted as randoms. The
width is that of the Gaussian with the standard deviation of what lies within ±2.5 σ, a window that
follows from it, corrected for the truncation:

    σ² = ⟨(x − µ)²⟩ / 0.9546², FWHM = 2·√(2·ln 2)·σ

with its standard error σ·k/√N, N = trues²/(trues + 2·randoms). Scattered pairs remain.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from daq.calibration.coincidence_pairs import Position, SourceShape, expected_tof_ps
from daq.calibration.skew_fit import TRUNCATED_SIGMA, WINDOW_SIGMA
from daq.folder.listmode_log import FILE_NAME, ListmodeReader
from daq.quality.peak_quality import QcError
from hw.arrays import F8, Records
from hw.messages.sort_settings import SortSettings
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.geometry import Geometry
from hw.wire.block_layout import BlockKind

BIN_PS = 10.0
SPREAD = 1.0
"""Relative standard error of the width times √N, found from drawn Gaussians (0.90 to 1.03): more
than a whole Gaussian's 1/√2, for the ends that carry most of it are cut."""

LEAST_PAIRS = 1000.0
"""With as many trues the width is known within 5 %."""

_ROUNDS = 50


@dataclass(frozen=True)
class TimeSpectrum:
    """Δt less what the source's place gives: bin middles in ps, prompts, and randoms expected."""

    middle_ps: F8
    prompts: F8
    randoms: F8


@dataclass(frozen=True)
class PairTiming:
    """CTR (FWHM) with its standard error, and the middle of the peak, in ps."""

    ctr_ps: float
    error_ps: float
    middle_ps: float
    pairs: float


def time_spectrum(
    folder: Path,
    geometry: Geometry,
    settings: SortSettings,
    *,
    source: SourceShape,
    position_mm: Position = (0.0, 0.0, 0.0),
) -> TimeSpectrum:
    """Return the time spectrum of a run's list-mode log; raises LogError.

    Parameters
    ----------
    folder : of the run
    geometry : of its scanner
    settings : of its sorting: window and factor of the delayed window
    source : its shape
    position_mm : of its middle: x, y, z
    """
    reach = settings.window_ps + BIN_PS
    edges = np.arange(-reach, reach + BIN_PS, BIN_PS)
    prompts, delayeds = np.zeros(len(edges) - 1), 0

    def error_ps(pairs: Records) -> F8:
        expected = expected_tof_ps(pairs, geometry, source=source, position_mm=position_mm)
        return np.asarray(pairs["tof_ps"] - expected)

    for kind, records in ListmodeReader(folder / FILE_NAME):
        if kind is BlockKind.PROMPTS:
            prompts += np.histogram(error_ps(records), edges)[0]
        elif kind is BlockKind.DELAYEDS:
            delayeds += len(records)
    # Δt of randoms is uniform within ±τ
    a_bin = delayeds / max(settings.delayed_factor, 1) * BIN_PS / (2 * settings.window_ps)
    return TimeSpectrum((edges[1:] + edges[:-1]) / 2, prompts, np.full(len(prompts), a_bin))


def pair_timing(spectrum: TimeSpectrum) -> PairTiming:
    """Return the CTR of a spectrum; raises QcError for too few pairs or no peak."""
    trues = spectrum.prompts - spectrum.randoms
    if trues.sum() < LEAST_PAIRS:
        raise QcError(
            f"{max(trues.sum(), 0):.0f} true coincidences, at least {LEAST_PAIRS:g} are needed: "
            "measure longer"
        )
    middle, sigma = _start(spectrum.middle_ps, trues)
    for _ in range(_ROUNDS):
        inside = np.abs(spectrum.middle_ps - middle) <= WINDOW_SIGMA * sigma
        weight = trues[inside]
        if weight.sum() < LEAST_PAIRS / 2 or inside.sum() < 5:
            raise QcError("the time differences have no peak: is the source where it was said?")
        place = spectrum.middle_ps[inside]
        middle = float((weight * place).sum() / weight.sum())
        new = math.sqrt((weight * (place - middle) ** 2).sum() / weight.sum()) / TRUNCATED_SIGMA
        settled, sigma = abs(new - sigma) < 1e-4 * sigma, new
        if settled:
            break
    counted, randoms = float(weight.sum()), float(spectrum.randoms[inside].sum())
    fwhm = FWHM_PER_SIGMA * sigma
    worth = counted**2 / (counted + 2 * randoms)
    return PairTiming(fwhm, fwhm * SPREAD / math.sqrt(worth), middle, counted)


def _start(place: F8, trues: F8) -> tuple[float, float]:
    """Return median and σ from the central half, of counts that are at least 0."""
    grown = np.cumsum(np.maximum(trues, 0.0))
    low, middle, high = (
        float(place[np.searchsorted(grown, share * grown[-1])]) for share in (0.25, 0.5, 0.75)
    )
    return middle, max((high - low) / 1.349, 2 * BIN_PS)
