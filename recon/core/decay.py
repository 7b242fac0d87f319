"""Decay: from the mean activity of a frame to the activity at the reference time.

An image holds the mean rate of emission over its frame. With half-life T the activity at the
reference time t₀ (s since the run's start) is

    A(t₀) = mean · 2^(−t₀/T) / d,      d = 1/Δt · ∫ 2^(−t/T) dt over the frame
                                         = 2^(−t₁/T) · (1 − 2^(−Δt/T)) · T / (ln 2 · Δt)

(S. R. Cherry, J. A. Sorenson and M. E. Phelps, Physics in Nuclear Medicine, 4th ed., eq. 4-15; the
effective decay factor of a measurement). A gate's intervals are summed. The live share is taken as
constant within a frame.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from recon.core.frames import TimeSelection
from recon.core.grid import ReconError

MOST_HALF_LIVES = 60.0
"""Beyond it (a factor of 1e18) no measurement can relate to that activity."""


class DecayError(ReconError):
    """The reference time is too far away; the message says how far."""


def mean_decay(selection: TimeSelection, half_life_s: float) -> float:
    """Return the mean of 2^(−t/T) over the selection's time; 1 if it is empty."""
    rate = math.log(2) / half_life_s
    start, length = selection.intervals_s[:, 0], np.diff(selection.intervals_s, axis=1)[:, 0]
    total = float(length.sum())
    if total <= 0:
        return 1.0
    return float((np.exp(-rate * start) * -np.expm1(-rate * length)).sum() / rate / total)


def mean_time_s(selection: TimeSelection, half_life_s: float) -> float:
    """Return when the activity equals its mean over the selection, s after the run's start."""
    shifted = replace(selection, intervals_s=selection.intervals_s - selection.start_s)
    return selection.start_s - half_life_s * math.log2(mean_decay(shifted, half_life_s))


def decay_factor(selection: TimeSelection, half_life_s: float, reference_s: float) -> float:
    """Return the factor from a frame's mean activity to that at the reference time."""
    start_s = selection.start_s if len(selection.intervals_s) else selection.asked_s[0]
    half_lives = (start_s - reference_s) / half_life_s
    if abs(half_lives) > MOST_HALF_LIVES:
        raise DecayError(
            f"{selection.name} begins {half_lives:.4g} half-lives ({half_life_s:g} s) after the "
            f"time that decay is corrected to, {reference_s:g} s: at most {MOST_HALF_LIVES:g} "
            "either way. Give a nearer --decay-reference, the right --nuclide, or --no-decay"
        )
    shifted = replace(selection, intervals_s=selection.intervals_s - reference_s)
    return 1.0 / mean_decay(shifted, half_life_s)
