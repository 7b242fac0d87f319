"""Plots of a calibration report, as PNG and PDF, painted by Qt without a display.

Only what a report needs: panels beside each other; a panel has histograms as stepped lines,
points, lines, or one picture. ``daq.calibration.calibration_painting`` paints.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
FORMATS = (".png", ".pdf")


@dataclass(frozen=True)
class Curve:
    """A histogram: (n + 1,) edges in the panel's unit and (n,) counts."""

    label: str
    edges: Values
    counts: Values


@dataclass(frozen=True)
class Points:
    """Values over x: (n,) and (n,); a dot each, or joined by a line. Not finite: left out."""

    label: str
    x: Values
    y: Values
    line: bool = False


@dataclass(frozen=True)
class Picture:
    """A grey picture (rows, columns), row 0 at the bottom, white for its least value."""

    image: Values


@dataclass(frozen=True)
class Panel:
    """One plot: a title, what the x axis (and the y axis) is with its unit, and what is in it.

    A histogram's y axis begins at 0 and needs no name.
    """

    title: str
    axis: str
    curves: tuple[Curve | Points | Picture, ...]
    y_axis: str = field(default="")

    def limits(self) -> tuple[float, float, float, float]:
        """Return least and most x, least and most y, with some room above."""
        x, y = [np.zeros(0)], [np.zeros(0)]
        for curve in self.curves:
            of_x, of_y = _extent(curve)
            x.append(of_x[np.isfinite(of_x)])
            y.append(of_y[np.isfinite(of_y)])
        low, high = _range(np.concatenate(x))
        bottom, top = _range(np.concatenate(y))
        if any(isinstance(curve, Picture) for curve in self.curves):
            return low, high, bottom, top
        room = 0.08 * (top - bottom)
        if any(isinstance(curve, Curve) for curve in self.curves):
            return low, high, min(bottom, 0.0), top + room
        return low, high, bottom - room, top + room


def _extent(curve: Curve | Points | Picture) -> tuple[Values, Values]:
    if isinstance(curve, Curve):
        return curve.edges, np.append(curve.counts, 0.0)
    if isinstance(curve, Points):
        return curve.x.astype(float), curve.y.astype(float)
    rows, columns = curve.image.shape
    return np.array([0.0, columns]), np.array([0.0, rows])


def _range(values: Values) -> tuple[float, float]:
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def histogram(label: str, values: Values, low: float, high: float, *, bins: int = 120) -> Curve:
    """Return the histogram of values between two bounds."""
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return Curve(label, edges, counts)


def write_plots(stem: Path, panels: list[Panel]) -> list[Path]:
    """Write the panels beside each other to ``stem`` with .png and .pdf; raises OSError.

    Neither file may exist. Returns their paths.
    """
    from daq.calibration.calibration_painting import paint_pdf, paint_png, qt_application

    with qt_application():
        data = {".png": paint_png(panels), ".pdf": paint_pdf(panels)}
    paths = [stem.with_name(stem.name + suffix) for suffix in FORMATS]
    for path in paths:
        with path.open("xb") as file:
            file.write(data[path.suffix])
    return paths
