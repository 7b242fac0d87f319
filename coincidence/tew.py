"""Scatter under a SPECT photopeak by the triple-energy-window method (TEW), with its variance.

K. Ogawa, Y. Harata, T. Ichihara, A. Kubo, S. Hashimoto, "A practical method for position-dependent
Compton-scatter correction in single photon emission CT", IEEE Trans. Med. Imaging 10 (1991) 408:
the scatter under the peak is the trapezium between a narrow window below it and one above,

    scatter = (C_low / w_low + C_high / w_high) · w_peak / 2
    primary = C_peak − scatter

If one of the two windows is missing, its height is taken as 0, as Ogawa et al. do above Tc-99m's
peak, where no other line scatters down. Counts in disjoint windows are independent and Poisson, so

    var(primary) = C_peak + (w_peak / 2)² · (C_low / w_low² + C_high / w_high²)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.physics.energy_windows import claimed_keV


@dataclass(frozen=True)
class TewEstimate:
    """Counts in a photopeak window, the scatter among them, and the rest with its σ."""

    counts: int
    scatter: float
    primary: float
    primary_sigma: float


def tew(
    counts: int,
    width_keV: float,
    *,
    low: tuple[int, float] = (0, 1.0),
    high: tuple[int, float] = (0, 1.0),
) -> TewEstimate:
    """Return the TEW estimate of one photopeak.

    Parameters
    ----------
    counts, width_keV : counts and width of the photopeak window
    low, high : counts and width in keV of the scatter windows below and above
    """
    half = width_keV / 2
    scatter = half * sum(n / width for n, width in (low, high))
    variance = counts + half**2 * sum(n / width**2 for n, width in (low, high))
    return TewEstimate(counts, scatter, counts - scatter, math.sqrt(variance))


def tew_of_run(settings: SortSettings, counts: Mapping[str, int]) -> dict[str, TewEstimate]:
    """Return the estimate for each photopeak that has scatter windows, by name.

    counts : singles in each window, by the window's name
    """
    windows = settings.singles_windows
    found: dict[str, TewEstimate] = {}
    for peak in windows:
        scatter = [window for window in windows if window.photopeak == peak.name]
        if peak.kind != "photopeak" or not scatter:
            continue
        low = [window for window in scatter if _centre(window) < _centre(peak)]
        high = [window for window in scatter if _centre(window) >= _centre(peak)]
        found[peak.name] = tew(
            counts[peak.name],
            claimed_keV(peak, windows),
            low=_together(low, windows, counts),
            high=_together(high, windows, counts),
        )
    return found


def _centre(window: EnergyWindow) -> float:
    return (window.lld_keV + window.uld_keV) / 2


def _together(
    side: list[EnergyWindow], windows: tuple[EnergyWindow, ...], counts: Mapping[str, int]
) -> tuple[int, float]:
    """Return counts and width of the scatter windows on one side, as if they were one."""
    if not side:
        return 0, 1.0
    return sum(counts[w.name] for w in side), sum(claimed_keV(w, windows) for w in side)
