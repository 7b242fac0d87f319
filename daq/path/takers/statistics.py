"""A run's randoms and live time: of now, in its summary and in ``randoms.npz``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.randoms import RandomsRatio, compare_estimates
from daq.folder.run_folder import write_arrays
from daq.path.live_time import LiveTime
from daq.path.pipeline import Output, Taker, pairs_in_view
from daq.path.takers.randoms import RandomsTally
from daq.path.takers.rates import Recent
from hw.arrays import F8
from hw.messages.sort_settings import SortSettings
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry

FILE_NAME = "randoms.npz"
DISPLAY_SPAN_PS = 5_000_000_000_000
"""The live display's estimates cover the last 5 s of detector time, the alarm's 10 s."""

LONGEST_SPAN_PS = 10_000_000_000_000
_STEP_PS = 250_000_000_000
_FEWEST_DELAYEDS = 10
_MICROSECONDS = 6


@dataclass(frozen=True)
class RecentRandoms:
    """Both estimates as rates per second, and the counts behind them."""

    delayed_cps: float
    singles_cps: float
    counts: RandomsRatio

    def telemetry(self) -> dict[str, float]:
        """Return them as telemetry; without delayeds, only the estimate from singles."""
        if not self.counts.known:
            return {"singles_cps": self.singles_cps}
        return {
            "delayed_cps": self.delayed_cps,
            "singles_cps": self.singles_cps,
            "ratio": self.counts.ratio,
            "ratio_sigma": self.counts.sigma,
        }


@dataclass(frozen=True)
class RecentLive:
    """Live fractions, 0..1: of each module, and the mean of the pairs in the field of view."""

    modules: list[float]
    pairs: float


class RunStatistics(Taker):
    """Estimates of randoms, and live time.

    Parameters
    ----------
    stall_ps : the decoder's stall bound
    """

    def __init__(
        self, scanner: Scanner, geometry: Geometry, settings: SortSettings, *, stall_ps: int
    ) -> None:
        allowed = pairs_in_view(scanner, settings.min_sector_difference)
        tally = RandomsTally(settings, module_of=geometry.crystal_module, allowed=allowed)
        self.tally = tally
        self.live_time = LiveTime(n_modules=scanner.n_modules, stall_ps=stall_ps)
        self._allowed = allowed
        self._randoms = Recent(tally.totals(0), span_ps=LONGEST_SPAN_PS, step_ps=_STEP_PS)
        self._live = Recent(self._live_totals(), span_ps=DISPLAY_SPAN_PS, step_ps=_STEP_PS)

    def take(self, output: Output) -> None:
        self.tally.observe(output.accepted, output.delayeds)
        self.live_time.observe(output.checked.headers, output.horizons_ps)
        if self._randoms.due(output.watermark_ps):
            self._randoms.add(output.watermark_ps, self.tally.totals(output.watermark_ps))
        if self._live.due(self.live_time.folded_ps):
            self._live.add(self.live_time.folded_ps, self._live_totals())

    def finish(self) -> None:
        self.tally.finish()
        self.live_time.finish()

    def recent_randoms(self, span_ps: int = DISPLAY_SPAN_PS) -> RecentRandoms | None:
        """Return both estimates over the last seconds; None if there is too little to compare."""
        (_, before), (_, after) = self._randoms.ends(span_ps)
        delayeds = after.delayeds - before.delayeds
        seconds = (after.delayeds_ps - before.delayeds_ps) * 1e-12
        slices_s = (after.slices_ps - before.slices_ps) * 1e-12
        if seconds <= 0 or slices_s <= 0:
            return None
        singles_cps = (after.products - before.products) * self.tally.per_product / slices_s
        expected = singles_cps * seconds * max(self.tally.factor, 1)
        if max(delayeds, expected) < _FEWEST_DELAYEDS:
            return None
        counts = compare_estimates(
            delayeds, self.tally.factor, singles_cps * seconds,
            singles=after.singles - before.singles,
        )  # fmt: skip
        return RecentRandoms(counts.from_delayeds / seconds, singles_cps, counts)

    def recent_live(self) -> RecentLive | None:
        """Return the live fractions of the last seconds; None until they are known."""
        (begin_ps, (modules, pairs)), (end_ps, (modules_now, pairs_now)) = self._live.ends(
            DISPLAY_SPAN_PS
        )
        seconds = (end_ps - begin_ps) * 1e-12
        if seconds <= 0:
            return None
        fractions = np.clip((modules_now - modules) / seconds, 0, 1)
        return RecentLive(
            [round(float(f), 4) for f in fractions], min(1.0, (pairs_now - pairs) / seconds)
        )

    def mean_live(self) -> float:
        """Return the pairs' mean live fraction of the run so far; 0 until it is known."""
        seconds = self.live_time.detector_s
        return min(1.0, self._live_totals()[1] / seconds) if seconds > 0 else 0.0

    def _live_totals(self) -> tuple[F8, float]:
        return self.live_time.module_s, self.live_time.mean_pair_s(self._allowed)

    def summary(self) -> dict[str, Any]:
        return {"randoms": randoms_summary(self.tally), "live_time": self._live_summary()}

    def _live_summary(self) -> dict[str, Any]:
        live = self.live_time
        seconds = live.detector_s
        mean = live.mean_pair_s(self._allowed) / seconds if seconds else 0.0
        return {
            "detector_s": round(seconds, _MICROSECONDS),
            "mean_pair_fraction": round(mean, _MICROSECONDS),
            "module_s": _rounded(live.module_s),
            "dead_s": _rounded(live.dead_s),
            "lost_s": _rounded(live.lost_s),
            "stalled_s": _rounded(live.stalled_s),
            "pair_s": _rounded(live.pair_s),
        }

    def save(self, folder: Path) -> None:
        tally, live, settings = self.tally, self.live_time, self.tally.settings
        write_arrays(
            folder / FILE_NAME,
            crystal_singles=tally.crystal_singles,
            crystal_delayeds=tally.crystal_delayeds,
            crystal_fan_rate=tally.fan_rates().rate / math.sqrt(settings.delayed_factor),
            module_pair_delayeds=tally.pair_delayeds,
            module_pair_singles_estimate=tally.pair_randoms(),
            module_live_s=live.module_s,
            module_dead_s=live.dead_s,
            pair_live_s=live.pair_s,
            detector_s=live.detector_s,
            tau_ps=settings.window_ps,
            factor=settings.delayed_factor,
        )


def randoms_summary(tally: RandomsTally) -> dict[str, Any]:
    """Return both estimates of a whole run and their ratio; null if they are not known."""
    found, settings = tally.ratio(), tally.settings
    return {
        "delayed": tally.delayeds,
        "delayed_factor": settings.delayed_factor,
        "estimate_delayed": found.from_delayeds if tally.factor else None,
        "estimate_singles": round(found.from_singles, 2),
        "ratio": round(found.ratio, 5) if found.known else None,
        "ratio_sigma": round(found.sigma, 5) if found.known else None,
    }


def _rounded(seconds: F8) -> list[Any]:
    return np.round(seconds, _MICROSECONDS).tolist()
