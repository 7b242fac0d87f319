"""Plots of a calibration report as PNG and PDF, drawn by matplotlib without a display.

Only what a report needs: panels side by side, each with histograms as stepped lines, points, lines,
or one picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = npt.NDArray[Any]
FORMATS = ("png", "pdf")
PANEL_INCHES, DPI = (4.6, 3.4), 120
MOST_IN_A_ROW = 3
MANY_POINTS = 400
COLOURS = ("#9aa5b1", "#d9480f", "#1864ab", "#2b8a3e", "#862e9c")
"""The first is for the state before; the order remains distinguishable in grey."""


@dataclass(frozen=True)
class Curve:
    """A histogram: (n + 1,) edges in the panel's unit and (n,) counts."""

    label: str
    edges: Values
    counts: Values

    def draw(self, axes: Axes, colour: str) -> None:
        """Draw it as steps."""
        axes.stairs(self.counts, self.edges, baseline=None, color=colour, lw=1.4, label=self.label)


@dataclass(frozen=True)
class Points:
    """Values over x: (n,) and (n,), as dots or joined by a line. Those not finite are left out."""

    label: str
    x: Values
    y: Values
    line: bool = False

    def draw(self, axes: Axes, colour: str) -> None:
        """Draw a line, or dots: smaller where there are many."""
        good = np.isfinite(self.x) & np.isfinite(self.y)
        x, y = self.x[good], self.y[good]
        if self.line:
            axes.plot(x, y, color=colour, lw=1.4, label=self.label)
            return
        many = len(x) > MANY_POINTS
        axes.plot(x, y, ".", ms=2 if many else 6, color=colour, label=self.label, zorder=3,
                  rasterized=many)  # fmt: skip


@dataclass(frozen=True)
class Picture:
    """A grey picture (rows, columns), row 0 at the bottom, white for its minimum."""

    image: Values

    def draw(self, axes: Axes, colour: str) -> None:
        """Draw it with one unit of the axes per pixel."""
        rows, columns = self.image.shape
        grey = np.nan_to_num(self.image.astype(np.float64))
        axes.imshow(grey, cmap="gray_r", origin="lower", extent=(0, columns, 0, rows),
                    interpolation="nearest", aspect="equal")  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """One plot: a title, the axes' names with units, and its content.

    A histogram's y axis begins at 0 and has no name.
    """

    title: str
    axis: str
    curves: tuple[Curve | Points | Picture, ...]
    y_axis: str = ""

    def draw(self, axes: Axes) -> None:
        """Draw the panel into its axes."""
        colours = COLOURS if len(self.curves) > 1 else COLOURS[2:3]
        for number, curve in enumerate(self.curves):
            curve.draw(axes, colours[number % len(colours)])
        axes.set_title(self.title, size=10)
        axes.set_xlabel(self.axis)
        axes.set_ylabel(self.y_axis or ("counts" if isinstance(self.curves[0], Curve) else ""))
        axes.tick_params(labelsize=8)
        if isinstance(self.curves[0], Picture):
            return
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02, y=0.08)
        if isinstance(self.curves[0], Curve):
            axes.set_ylim(bottom=0)
        if len(self.curves) > 1:
            axes.legend(frameon=False, fontsize=8)


def histogram(label: str, values: Values, low: float, high: float, *, bins: int = 120) -> Curve:
    """Return the histogram of values from ``low`` to ``high`` in equal ``bins``.

    Parameters
    ----------
    label : of the curve
    values : any shape, in the unit of ``low`` and ``high``
    low, high : the range; values outside it are left out
    bins : number of equal bins
    """
    counts, edges = np.histogram(values, bins=bins, range=(low, high))
    return Curve(label, edges, counts)


def plot_bytes(panels: list[Panel], form: str = "png") -> bytes:
    """Return the panels side by side as a PNG or PDF."""
    buffer = io.BytesIO()
    _figure(panels).savefig(buffer, format=form)
    return buffer.getvalue()


def write_plots(stem: Path, panels: list[Panel]) -> list[Path]:
    """Write the panels to ``stem`` with .png and .pdf; raises OSError.

    Neither file may exist. Returns their paths.
    """
    paths = [stem.with_name(f"{stem.name}.{form}") for form in FORMATS]
    for path, form in zip(paths, FORMATS, strict=True):
        data = plot_bytes(panels, form)
        with path.open("xb") as file:
            file.write(data)
    return paths


def _figure(panels: list[Panel]) -> Figure:
    from matplotlib.figure import Figure  # without pyplot: no display, no state

    rows = -(-len(panels) // MOST_IN_A_ROW)
    columns = -(-len(panels) // rows)
    size = (PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, axes in zip(panels, places, strict=False):
        panel.draw(axes)
    for axes in places[len(panels) :]:
        axes.set_axis_off()
    return figure
