"""Activity that changes over time: a factor for each region, from a file or a built-in model.

The activity of region r is A(t) = A₀ · w_r · f_r(t) · 2^(−t/T½): A₀ the run's activity, w_r the
region's share of it in the phantom, f_r its factor, piecewise linear between given times and held
constant before and after. A factor describes tracer kinetics only; the nuclide's decay is applied
on top.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from emulator.config import MAX_ACTIVITY_BQ, EmulationError
from emulator.object.phantom import Phantom
from emulator.object.settings_text import read_header, read_numbers, read_table
from emulator.object.tracer_models import bolus_factors, washout_factors
from emulator.physics.emission import Source

INSTEAD = "bolus, washout, washout:half_time_s=300, or the path of a CSV with columns t_s,REGION,…"


@dataclass(frozen=True)
class Kinetics:
    """Activity factors of each region over time.

    names : names of the regions
    weights : (regions,) f8, each region's share of the phantom's activity, sum 1
    times_s : (n,) f8, ascending; two equal times make a jump
    factors : (n, regions) f8, ≥ 0
    """

    names: tuple[str, ...]
    weights: npt.NDArray[np.float64]
    times_s: npt.NDArray[np.float64]
    factors: npt.NDArray[np.float64]

    def factors_at(self, time_s: float) -> npt.NDArray[np.float64]:
        """Return each region's factor at a time since the start of the run, (regions,) f8."""
        after = int(np.searchsorted(self.times_s, time_s, side="right"))
        if after in (0, len(self.times_s)):
            return np.asarray(self.factors[min(after, len(self.times_s) - 1)])
        t0, t1 = self.times_s[after - 1], self.times_s[after]
        part = (time_s - t0) / (t1 - t0)
        return np.asarray(self.factors[after - 1] * (1 - part) + self.factors[after] * part)

    def activity(self, time_s: float) -> tuple[float, npt.NDArray[np.float64]]:
        """Return the total activity over A₀, without decay, and the regions' cumulative shares."""
        by_region = self.weights * self.factors_at(time_s)
        total = float(by_region.sum())
        if total <= 0.0:
            return 0.0, np.ones(len(by_region))
        below = np.cumsum(by_region)
        return total, below / below[-1]


def load_kinetics(text: str, phantom: Phantom) -> Kinetics | None:
    """Return the factors that a setting describes, for a phantom's regions; None for empty text.

    Parameters
    ----------
    text : ``bolus`` or ``washout``, each with options as in ``washout:half_time_s=300``, or the
        path of a CSV file with the columns ``t_s`` and some or all regions; a region that the file
        does not name keeps the factor 1

    Raises
    ------
    EmulationError
        for anything else, naming what is wrong and the choices.
    """
    if not text:
        return None
    kind, _, options = text.partition(":")
    if kind == "bolus":
        full_s = read_numbers("tac", text, options, {"full_s": 3600.0})["full_s"]
        times_s, factors = bolus_factors(phantom.region_names, full_s)
    elif kind == "washout":
        known = {"half_time_s": 600.0, "remaining": 0.0}
        numbers = read_numbers("tac", text, options, known)
        times_s, factor = washout_factors(**numbers)
        factors = np.repeat(factor[:, None], len(phantom.region_names), axis=1)
    else:
        times_s, factors = _from_file(Path(text), phantom)
    return Kinetics(phantom.region_names, region_weights(phantom), times_s, factors)


def _from_file(
    path: Path, phantom: Phantom
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    header = read_header("tac", path, INSTEAD)
    names = phantom.region_names
    named = header[1:]
    wrong = [name for name in named if name not in names or named.count(name) > 1]
    if header[:1] != ["t_s"] or not named or wrong:
        raise EmulationError(
            f"tac file {path}: the columns are {','.join(header)!r}; they must be t_s and, each at "
            f"most once, regions of the phantom {phantom.name}: {', '.join(names)}"
        )
    table = read_table("tac", path, header, INSTEAD)
    if table[:, 1:].min() < 0:
        raise EmulationError(
            f"tac file {path}: {table[:, 1:].min():g} is negative; factors are ≥ 0"
        )
    factors = np.ones((len(table), len(names)))
    for column, name in enumerate(named, start=1):
        factors[:, names.index(name)] = table[:, column]
    return table[:, 0], factors


def region_weights(phantom: Phantom) -> npt.NDArray[np.float64]:
    """Return each region's share of the phantom's activity, (regions,) f8."""
    count = len(phantom.region_names)
    activity = phantom.activity.astype(np.float64)
    if phantom.region is None:
        return np.eye(count)[0]
    weights = np.bincount(phantom.region.ravel(), weights=activity.ravel(), minlength=count)
    return np.asarray(weights[:count] / activity.sum())


def check_peak(kinetics: Kinetics, source: Source, activity_Bq: float) -> None:
    """Refuse factors that raise the activity above the bound, or are always 0.

    Raises
    ------
    EmulationError
        naming the peak, its time and the bound.
    """
    whole = kinetics.factors @ kinetics.weights
    decay = np.array([source.activities(max(t, 0.0)).sum() for t in kinetics.times_s])
    if not whole.any():
        raise EmulationError("tac: the activity is 0 at all times; nothing would ever decay")
    at = int(np.argmax(whole * decay))
    peak_Bq = float((whole * decay)[at]) * activity_Bq
    if peak_Bq > MAX_ACTIVITY_BQ:
        raise EmulationError(
            f"tac: the activity peaks at {peak_Bq / 1e6:.4g} MBq after {kinetics.times_s[at]:g} s, "
            f"above {MAX_ACTIVITY_BQ / 1e6:g} MBq, which no link carries; lower the activity below "
            f"{activity_Bq / 1e6 * MAX_ACTIVITY_BQ / peak_Bq:.4g} MBq, or the factors"
        )
