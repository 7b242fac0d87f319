"""How the followed figures of the QCs went over the days, as numbers and as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daq.folder.quality.qc_history import QcHistory
from daq.folder.quality.qc_result import QcResult
from hw.arrays import F8

DAY_S = 86_400.0


@dataclass(frozen=True)
class Trend:
    """Followed figures of n runs, the oldest first.

    days : (n,) days before the newest run, ≤ 0
    values : by the figure's name with its unit, (n,), NaN where a run lacks it
    """

    results: tuple[QcResult, ...]
    days: F8
    values: dict[str, F8]


def trend_of(history: QcHistory) -> Trend:
    """Return the figures of each run; of several QCs of one run, those of the last."""
    latest = {result.run: result for result in history.results.values()}
    results = tuple(latest.values())
    names = dict.fromkeys(name for result in results for name in result.trend)
    values = {
        name: np.array([result.trend.get(name, np.nan) for result in results]) for name in names
    }
    newest = max((one.measured_at for one in results), default=None)
    days = [(one.measured_at - newest).total_seconds() / DAY_S for one in results if newest]
    return Trend(results, np.array(days, dtype=np.float64), values)


def trend_rows(trend: Trend) -> list[list[str]]:
    """Return a row for each run: when, run, verdict, and its followed figures."""
    rows = []
    for number, result in enumerate(trend.results):
        when = f"{result.measured_at.astimezone():%Y-%m-%d %H:%M}"
        values = [_cell(column[number]) for column in trend.values.values()]
        rows.append([when, result.run, result.verdict, *values])
    return rows


def trend_head(trend: Trend) -> list[str]:
    """Return the names of the columns of :func:`trend_rows`."""
    return ["measured", "run", "verdict", *trend.values]


def _cell(value: float) -> str:
    return f"{value:.4g}" if np.isfinite(value) else "–"
