"""Plots of the figures of past QCs over the days."""

from __future__ import annotations

from daq.calibration.plots import Panel, Points
from daq.folder.quality.qc_trend import Trend


def trend_panels(trend: Trend) -> list[Panel]:
    """Return a plot for each followed figure, over the days."""
    axis = "days before the newest"
    panels = []
    for name, values in trend.values.items():
        title, _, unit = name.partition(", ")
        panels.append(Panel(title, axis, (Points(title, trend.days, values),), unit or "number"))
    return panels
