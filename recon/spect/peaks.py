"""Photopeaks of a run: their windows, and their counts per second and Bq.

Without attenuation a camera counts, for an activity of 1 Bq anywhere in front of its face,

    q = Σ_lines y · g(E) · p(E)    per second,

with y photons per decay (ICRP 107), g the share that passes the collimator
(:mod:`recon.spect.collimator`), p the share of those read out within the window
(:mod:`recon.spect.crystal`). A measured sensitivity can replace q. Response and attenuation are
those of the peak's own energy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from hw.messages.sort_settings import EnergyWindow
from hw.physics.energy_windows import claimed_keV
from hw.physics.nuclides import NuclideError, load_nuclide
from hw.scanner.description import Scanner
from recon.core.grid import ReconError
from recon.spect.collimator import CollimatorResponse, collimator_response
from recon.spect.crystal import counted_share


class SpectError(ReconError):
    """A SPECT run cannot be reconstructed as requested; the message says why and what to do."""


@dataclass(frozen=True)
class ScatterWindow:
    """A window beside a peak: its index among the run's windows, from 0, its width, and ``spill``:
    the peak's primaries that it counts, over those that the peak's own window counts."""

    number: int
    width_keV: float
    spill: float
    below: bool


@dataclass(frozen=True)
class Peak:
    """One photopeak.

    number : index of its window among the run's windows for singles, from 0
    per_decay : photons of the peak's lines per decay
    counts_per_decay : q, counts per second and Bq without attenuation
    gain_spread : relative σ of the crystals' gains, if they are not calibrated
    """

    name: str
    nuclide: str
    number: int
    energy_keV: float
    lld_keV: float
    uld_keV: float
    width_keV: float
    per_decay: float
    counts_per_decay: float
    response: CollimatorResponse
    scatter: tuple[ScatterWindow, ...]
    gain_spread: float = 0.0


def peaks_of(
    scanner: Scanner,
    windows: Sequence[EnergyWindow],
    *,
    names: Sequence[str] = (),
    calibrated: bool = True,
) -> tuple[Peak, ...]:
    """Return the photopeaks to reconstruct from: all of the run, or those named.

    calibrated : whether the crystals' gains were calibrated; if not they vary as in the preset

    Raises
    ------
    SpectError
        if there is none, a name is not among the run's, or the peaks are of several nuclides.
    """
    if scanner.collimator is None:
        raise SpectError(f"{scanner.name} has no collimator: it is reconstructed as PET")
    there = [w for w in windows if w.kind == "photopeak"]
    if not there:
        raise SpectError(
            "the run has no photopeak window: it is not known which singles make an image. Sort it "
            "again with windows: tomoshibi sort RUN --spect NUCLIDE --output FILE"
        )
    unknown = [name for name in names if name not in [w.name for w in there]]
    if unknown:
        raise SpectError(
            f"no photopeak {unknown[0]!r} in this run: it has {', '.join(w.name for w in there)}"
        )
    chosen = [w for w in there if not names or w.name in names]
    nuclides = sorted({w.nuclide for w in chosen})
    if len(nuclides) > 1:
        raise SpectError(
            f"photopeaks of {' and '.join(nuclides)} would be two images: choose one with --peaks "
            f"({', '.join(w.name for w in chosen)})"
        )
    # half of the variance is common to a module: a shift that nothing here knows
    spread = 0.0 if calibrated else scanner.response.gain_spread / math.sqrt(2)
    return tuple(_peak(scanner, list(windows), window, spread) for window in chosen)


def _peak(
    scanner: Scanner, windows: list[EnergyWindow], window: EnergyWindow, gain_spread: float
) -> Peak:
    lines = _lines(window)
    total = sum(per_decay for _, per_decay in lines)
    energy_keV = sum(e * per_decay for e, per_decay in lines) / total
    response = collimator_response(scanner, energy_keV)

    def share(w: EnergyWindow) -> float:
        return counted_share(scanner, energy_keV, w.lld_keV, w.uld_keV, gain_spread=gain_spread)

    own = share(window)
    beside = [w for w in windows if w.kind == "scatter" and w.photopeak == window.name]
    return Peak(
        name=window.name,
        nuclide=window.nuclide,
        number=windows.index(window),
        energy_keV=energy_keV,
        lld_keV=window.lld_keV,
        uld_keV=window.uld_keV,
        width_keV=claimed_keV(window, windows),
        per_decay=total,
        counts_per_decay=total * response.efficiency * own,
        response=response,
        scatter=tuple(
            ScatterWindow(
                windows.index(w),
                claimed_keV(w, windows),
                share(w) / own,
                w.uld_keV <= energy_keV,
            )
            for w in beside
        ),
        gain_spread=gain_spread,
    )


def _lines(window: EnergyWindow) -> list[tuple[float, float]]:
    """Return energy and photons per decay of the nuclide's lines within a window."""
    try:
        nuclide = load_nuclide(window.nuclide)
    except NuclideError:
        return [((window.lld_keV + window.uld_keV) / 2, 1.0)]
    lines = [
        (line.energy_keV, line.intensity)
        for line in nuclide.lines
        if window.lld_keV <= line.energy_keV <= window.uld_keV
    ]
    return lines or [((window.lld_keV + window.uld_keV) / 2, 1.0)]


def half_life_s(peaks: Sequence[Peak]) -> float:
    """Return the half-life of the peaks' nuclide; infinite if unknown."""
    try:
        return load_nuclide(peaks[0].nuclide).half_life_s
    except NuclideError:
        return float("inf")
