"""Randoms from delayeds: how many are expected on each line.

Delayeds are far too few for an estimate per line. They are summed per module pair, made smooth by
the model that randoms of a pair are proportional to the product of its modules' singles rates
(m_ab = s_a s_b on allowed pairs; the fan-sum idea of M. E. Casey and E. J. Hoffman, J. Comput.
Assist. Tomogr. 10 (1986) 845), and spread evenly over the pair's crystal pairs and, with TOF, over
the coincidence window.

In list-mode EM a factor that multiplies a line's whole expectation cancels from the ratio, so the
projector's a_ij can stay plain chords while efficiency g_i and attenuation c_i sit in the
sensitivity s_j = Σ_i g_i c_i a_ij:

    λ_j ← λ_j / s_j · Σ_events g c a_j / (g c Σ_k a_k λ_k + r)
        = λ_j / s_j · Σ_events     a_j / (    Σ_k a_k λ_k + r / (g c))

Only the background r has to be divided by g_i c_i. That is ``factor`` here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.randoms_estimates import fan_sum_rates
from recon.events import F4, EventList
from recon.lors import Detection, LocatedEvents


def pair_counts(records: npt.NDArray[np.void], detection: Detection) -> npt.NDArray[np.int64]:
    """Return the number of records per module pair, (modules, modules) int64, row ≤ column."""
    n = detection.n_modules
    a = records["crystal_a"].astype(np.int64) // detection.crystals_per_module
    b = records["crystal_b"].astype(np.int64) // detection.crystals_per_module
    known = (a < n) & (b < n)
    counts = np.bincount(a[known] * n + b[known], minlength=n * n)
    return counts.reshape(n, n).astype(np.int64)


def smooth_pair_counts(
    counts: npt.NDArray[np.int64], allowed: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return s_a s_b on allowed pairs (row < column) whose fan sums equal those of ``counts``.

    The fan sums of Poisson counts are their sufficient statistic under this model, so this is the
    maximum-likelihood estimate; its variance per pair falls by about modules / 4.
    """
    pairs = (allowed | allowed.T).astype(np.float64)
    np.fill_diagonal(pairs, 0.0)
    both = np.where(pairs > 0, counts + counts.T, 0)
    modules = np.arange(len(counts), dtype=np.uint16)
    rate = fan_sum_rates(both.sum(axis=1), modules, pairs > 0).rate
    model = np.triu(np.outer(rate, rate) * pairs, 1)
    return np.asarray(model * (both.sum() / 2 / max(float(model.sum()), 1e-30)))


def background_table(
    counts: npt.NDArray[np.int64],
    allowed: npt.NDArray[np.bool_],
    *,
    duration_s: float,
    delayed_factor: int,
) -> F4:
    """Return the randoms rate (1/s) of each module pair, flat (modules²,) float32.

    counts : delayeds of all delayed windows together
    delayed_factor : how often those windows count the randoms (``SortSettings.delayed_factor``)
    """
    rate = smooth_pair_counts(counts, allowed) / (delayed_factor * max(duration_s, 1e-9))
    return np.ascontiguousarray(rate.astype(np.float32).reshape(-1))


def no_background(detection: Detection) -> F4:
    """Return a table of zeros: randoms not corrected."""
    return np.zeros(detection.n_modules**2, dtype=np.float32)


def background_factor(
    located: LocatedEvents,
    detection: Detection,
    *,
    attenuation: F4 | None = None,
    tof_share: float = 1.0,
) -> F4:
    """Return what turns a pair's randoms rate into a line's r / (g c), (n,) float32.

    attenuation : (n,) the lines' attenuation factors exp(-∫µ), None for 1
    tof_share : share of the coincidence window that one TOF bin holds
    """
    lines = float(detection.crystals_per_module) ** 2
    seen = located.gain if attenuation is None else located.gain * attenuation
    return np.asarray(tof_share / lines / np.maximum(seen, 1e-30), dtype=np.float32)


def as_events(located: LocatedEvents, factor: F4, *, weight: float = 1.0) -> EventList:
    """Return the events ready for EM, all of one weight."""
    weights = np.full(len(factor), weight, dtype=np.float32)
    return EventList(located.lors, weights, located.pair, factor)
