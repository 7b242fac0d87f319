"""Parametric maps from a dynamic series, voxel by voxel.

*Mean*: the series' mean, weighted by frame duration.

*Patlak*: after a time t* irreversible uptake is a straight line in the plasma's stretched time,

    C_T(t) / C_p(t) = K_i · ∫₀ᵗ C_p dτ / C_p(t) + V

(C. S. Patlak, R. G. Blasberg and J. D. Fenstermacher, J. Cereb. Blood Flow Metab. 3 (1983) 1,
eq. 4). A frame measures means over its time, so that

    C̄_T = K_i · ⟨∫C_p⟩ + V · ⟨C_p⟩

is fitted by least squares, weighted by duration (ignoring that early, bright frames are noisier, so
that all voxels share one solution). K_i is in 1/s (mL of plasma per s and mL of tissue); V has no
unit.

*Wash-out*: C(t) = C₀ · exp(−k·t), by a straight line through ln C, weighted by duration · C² (the
weight that a constant variance gives the logarithm). k is in 1/s.

Series and input function must be decay-corrected to the same time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hw.arrays import F8
from recon.core.csv_tables import read_table
from recon.core.frame_times import FrameTime
from recon.core.grid import Image, ReconError

LEAST_FRAMES = 2
_STEPS = 64
LEAST_SHARE = 0.02
"""Wash-out is not fitted (0) in voxels below this share of the series' maximum."""


class ParametricError(ReconError):
    """No map can be made from this series or input function; the message says why."""


@dataclass(frozen=True)
class InputFunction:
    """Concentration in plasma (Bq/mL) at times since the run's start, linear in between, 0 before
    the first, constant after the last."""

    times_s: F8
    concentration: F8

    def __post_init__(self) -> None:
        if len(self.times_s) < 2 or (np.diff(self.times_s) <= 0).any():
            raise ParametricError("input function: needs two times or more, in order")
        if self.concentration.min() < 0 or self.concentration.max() <= 0:
            raise ParametricError("input function: concentrations must be 0 or more, and some more")

    @classmethod
    def load(cls, path: Path) -> InputFunction:
        """Return the function in a CSV file with the columns ``t_s,Bq_per_mL``."""
        rows = read_table(path, ("t_s", "Bq_per_mL"))
        return cls(rows[:, 0], rows[:, 1])

    def decayed_back(self, half_life_s: float, reference_s: float) -> InputFunction:
        """Return a function as measured, corrected for decay to a time: c · 2^((t − t₀)/T)."""
        growth = 2.0 ** ((self.times_s - reference_s) / half_life_s)
        return InputFunction(self.times_s, self.concentration * growth)

    def at(self, times_s: F8) -> F8:
        """Return the concentration at times."""
        return np.interp(times_s, self.times_s, self.concentration, left=0.0)

    def integral(self, times_s: F8) -> F8:
        """Return the integral from before the first time up to each time, exactly."""
        knots, values = self.times_s, self.concentration
        area = np.concatenate([[0.0], np.cumsum(np.diff(knots) * (values[1:] + values[:-1]) / 2)])
        inside = np.clip(times_s, knots[0], knots[-1])
        number = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
        here = values[number] + (values[number + 1] - values[number]) * (inside - knots[number]) / (
            knots[number + 1] - knots[number]
        )
        within = area[number] + (values[number] + here) / 2 * (inside - knots[number])
        return np.asarray(within + np.maximum(times_s - knots[-1], 0.0) * values[-1])


def mean_map(series: Image, frames: Sequence[FrameTime]) -> Image:
    """Return the mean of a series [x, y, z, frame], weighted by frame duration."""
    _check(series, frames, least=1)
    seconds = np.array([frame.duration_s for frame in frames])
    return np.asarray(series @ (seconds / seconds.sum()), dtype=np.float32)


def patlak_maps(
    series: Image, frames: Sequence[FrameTime], plasma: InputFunction, *, from_s: float = 0.0
) -> tuple[Image, Image]:
    """Return slope K_i (1/s) and intercept V from the frames that begin at ``from_s`` or later."""
    _check(series, frames, least=LEAST_FRAMES)
    chosen = [k for k, frame in enumerate(frames) if frame.start_s >= from_s - 1e-9]
    if len(chosen) < LEAST_FRAMES:
        raise ParametricError(
            f"Patlak: {len(chosen)} frames begin at {from_s:g} s or later, {LEAST_FRAMES} are "
            "needed: begin earlier, or make more frames"
        )
    rows = np.array([_plasma_means(plasma, frames[k]) for k in chosen])
    weight = np.array([frames[k].duration_s for k in chosen])
    normal = (rows * weight[:, None]).T @ rows
    if np.linalg.matrix_rank(normal / normal.max()) < 2:
        raise ParametricError("Patlak: the input function does not change over the frames")
    solve = np.linalg.solve(normal, (rows * weight[:, None]).T)
    found = series[..., chosen] @ solve.T
    return found[..., 0].astype(np.float32), found[..., 1].astype(np.float32)


def washout_maps(series: Image, frames: Sequence[FrameTime]) -> tuple[Image, Image]:
    """Return the rate k (1/s) and the concentration C₀ at the run's start."""
    _check(series, frames, least=LEAST_FRAMES)
    time_s = np.array([frame.start_s + frame.duration_s / 2 for frame in frames])
    seconds = np.array([frame.duration_s for frame in frames])
    level = np.maximum(series, 0.0).astype(np.float64)
    seen = (level > 0).sum(axis=-1) >= LEAST_FRAMES
    seen &= mean_map(series, frames) > LEAST_SHARE * float(series.max(initial=0.0))
    weight = seconds * level[seen] ** 2
    log = np.log(np.where(level[seen] > 0, level[seen], 1.0))
    total = weight.sum(axis=-1)
    middle = (weight * time_s).sum(axis=-1) / total
    mean_log = (weight * log).sum(axis=-1) / total
    apart = time_s - middle[:, None]
    slope = (weight * apart * log).sum(axis=-1) / np.maximum(
        (weight * apart**2).sum(axis=-1), 1e-300
    )
    rate, start = np.zeros(series.shape[:3], np.float32), np.zeros(series.shape[:3], np.float32)
    rate[seen] = -slope
    start[seen] = np.exp(np.clip(mean_log - slope * middle, -50.0, 50.0))
    return rate, start


def _plasma_means(plasma: InputFunction, frame: FrameTime) -> tuple[float, float]:
    """Return the frame means of ∫C_p and C_p."""
    steps = frame.start_s + (np.arange(_STEPS) + 0.5) / _STEPS * frame.duration_s
    ends = plasma.integral(np.array([frame.start_s, frame.end_s]))
    return float(plasma.integral(steps).mean()), float(ends[1] - ends[0]) / frame.duration_s


def _check(series: Image, frames: Sequence[FrameTime], *, least: int) -> None:
    if series.ndim != 4 or series.shape[3] != len(frames):
        raise ParametricError(
            f"a series of shape {series.shape} and {len(frames)} frames: needs [x, y, z, frame] "
            "(--frames)"
        )
    if len(frames) < least:
        raise ParametricError(f"{len(frames)} frames: at least {least} are needed (--frames)")
    if any(frame.gate is not None for frame in frames):
        raise ParametricError("gates are not a time course: leave --gates out")
