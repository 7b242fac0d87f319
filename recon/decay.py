"""Decay: what an activity averaged over a frame was at the reference time.

An image holds the mean rate of emission over its frame. With half-life T the activity at the
reference time t₀ (s since the run's start) is

    A(t₀) = mean · 2^(−t₀/T) / d,      d = 1/Δt · ∫ 2^(−t/T) dt over the frame
                                         = 2^(−t₁/T) · (1 − 2^(−Δt/T)) · T / (ln 2 · Δt)

(S. R. Cherry, J. A. Sorenson and M. E. Phelps, Physics in Nuclear Medicine, 4th ed., eq. 4-15; the
effective decay factor of a measurement). A gate's intervals are summed. Live time is taken as
steady within a frame.
"""

from __future__ import annotations

import math

import numpy as np

from recon.frames import TimeSelection


def mean_decay(selection: TimeSelection, half_life_s: float) -> float:
    """Return the mean of 2^(−t/T) over the selection's time; 1 where it has none."""
    rate = math.log(2) / half_life_s
    start, length = selection.intervals_s[:, 0], np.diff(selection.intervals_s, axis=1)[:, 0]
    total = float(length.sum())
    if total <= 0:
        return 1.0
    return float((np.exp(-rate * start) * -np.expm1(-rate * length)).sum() / rate / total)


def decay_factor(selection: TimeSelection, half_life_s: float, reference_s: float) -> float:
    """Return by what a frame's mean activity must be multiplied for that at the reference time."""
    return 2.0 ** (-reference_s / half_life_s) / mean_decay(selection, half_life_s)
