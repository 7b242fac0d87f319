"""What a turning camera saw, as exchange formats hold it: equal steps of an orbit, raw counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.arrays import F8, U4
from hw.messages.sort_settings import EnergyWindow
from recon.exchange.errors import ExchangeError

MOST_COUNTS = 65535
"""In a pixel: DICOM NM has 16 bits, and its rescale is not read by everybody."""


@dataclass(frozen=True)
class OrbitViews:
    """The projections of a run: heads on one orbit, stepping together.

    windows : the run's energy windows, in the order of ``counts``
    head_deg : where each head stands at gantry angle 0: 0° is +x, counter-clockwise from +z
    start_deg, step_deg : gantry angle of the first view, and from one to the next, > 0
    angle_deg : (views,), the gantry's mean angle in each view
    seconds : (heads, views), time spent in each
    counts : (windows, heads, views, n_u, n_v), singles of each pixel, nothing corrected
    pitch_mm : of the pixels along u and v
    radius_mm : from the axis to the collimator's face
    left_out : singles between the views, whose gantry was on its way from one step to the next
    """

    windows: tuple[EnergyWindow, ...]
    head_deg: tuple[float, ...]
    start_deg: float
    step_deg: float
    angle_deg: F8
    seconds: F8
    counts: U4
    pitch_mm: tuple[float, float]
    radius_mm: float
    collimator: str
    left_out: int = 0

    @property
    def views(self) -> int:
        """Number of views of each head."""
        return len(self.angle_deg)

    def only(self, names: Sequence[str]) -> OrbitViews:
        """Return the views of some energy windows alone; raises ExchangeError for one not there."""
        known = [window.name for window in self.windows]
        for name in names:
            if name not in known:
                raise ExchangeError(f"no energy window {name!r}: the run has {', '.join(known)}")
        chosen = [known.index(name) for name in names]
        windows = tuple(self.windows[number] for number in chosen)
        return replace(self, windows=windows, counts=self.counts[chosen])

    @property
    def most_off_deg(self) -> float:
        """Greatest distance of a view's mean angle from its step."""
        nominal = self.start_deg + self.step_deg * np.arange(self.views)
        off = (self.angle_deg - nominal + 180.0) % 360.0 - 180.0
        return float(np.abs(off).max())

    @property
    def notes(self) -> list[str]:
        """What a reader of the file should know and no format can say."""
        said = []
        if self.left_out:
            said.append(f"{self.left_out} singles between the steps are in no view")
        low, high = float(self.seconds.min()), float(self.seconds.max())
        if high > 1.1 * low:
            said.append(
                f"views lasted {low:.3g} to {high:.3g} s and pixels are counts, not divided by "
                "time; each view's time is in the JSON beside them"
            )
        if self.most_off_deg > 0.1:
            said.append(f"mean angles of views are up to {self.most_off_deg:.2f}° off their steps")
        return said

    def record(self) -> dict[str, Any]:
        """Return what the JSON beside a file says: exact angles and times of the views."""
        return {
            "head_deg": list(self.head_deg),
            "start_deg": self.start_deg,
            "step_deg": self.step_deg,
            "angle_deg": [round(float(one), 4) for one in self.angle_deg],
            "seconds": np.round(self.seconds, 6).tolist(),
            "radius_mm": self.radius_mm,
            "windows": [
                {"name": w.name, "low_keV": w.lld_keV, "high_keV": w.uld_keV, "kind": w.kind,
                 "counts": int(self.counts[number].sum())}
                for number, w in enumerate(self.windows)
            ],
            "left_out": self.left_out,
        }  # fmt: skip

    def check(self) -> None:
        """Refuse a pixel with more counts than a format's 16 bits."""
        most = int(self.counts.max(initial=0))
        if most > MOST_COUNTS:
            raise ExchangeError(
                f"a pixel has {most} counts, DICOM NM holds {MOST_COUNTS}: make views narrower "
                "(--view-deg), or choose --format interfile"
            )


def equal_steps(angle_deg: F8) -> tuple[float, float]:
    """Return start and step of views in ascending order of angle; a whole turn closes.

    Raises
    ------
    ExchangeError
        if they are not equal steps within a third of one.
    """
    if len(angle_deg) == 1:
        return float(angle_deg[0]), 0.0
    step = float(np.median(np.diff(angle_deg)))
    if abs(step * len(angle_deg) - 360.0) < step / 2:
        step = 360.0 / len(angle_deg)
    start = float(np.median(angle_deg - step * np.arange(len(angle_deg))))
    off = float(np.abs(angle_deg - start - step * np.arange(len(angle_deg))).max())
    if off > step / 3:
        raise ExchangeError(
            f"the {len(angle_deg)} views stand at no equal steps: with steps of {step:.4g}° one is "
            f"{off:.3g}° off. DICOM and Interfile know equal steps only: choose --view-deg such "
            "that each stop is a view of its own"
        )
    return round(start, 4) + 0.0, round(step, 6)


def chosen_bins(seconds: F8) -> list[int]:
    """Return the bins of a turn that are views, in ascending order after the greatest gap.

    seconds : time in each bin of a whole turn. Bins with less than a quarter of the usual time (at
        least which half of the time was spent in) were passed on the way between two stops.
    """
    order = np.argsort(seconds)[::-1]
    half = int(np.searchsorted(np.cumsum(seconds[order]), seconds.sum() / 2))
    kept = np.flatnonzero(seconds >= seconds[order[half]] / 4)
    gaps = np.diff(kept, append=kept[0] + len(seconds))
    first = 0 if len(kept) == 1 or (gaps == gaps[0]).all() else int(np.argmax(gaps)) + 1
    return [int(one) for one in np.roll(kept, -first)]


def wrapped_deg(angle_deg: float) -> float:
    """Return an angle in 0 ≤ a < 360."""
    return math.fmod(math.fmod(round(angle_deg, 6), 360.0) + 360.0, 360.0)
