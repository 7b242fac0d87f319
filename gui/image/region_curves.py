"""The mean of each region over the dynamic frames, as curves."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtWidgets

from gui.kit import theme
from gui.kit.panels import ElidedLabel
from gui.kit.plots import CalmPlot
from gui.kit.wording import ShownUnit, short_unit
from gui.kit.words import tr
from hw.messages.pictures import DynamicFrame, ImageMessage
from hw.regions import Region, RegionError, mean_in, shares

COLOURS = (theme.NOTICE, theme.LAMP, theme.GOOD, theme.WARNING, theme.ALARM, theme.TEXT)
MOST_FRAMES = 1000
"""Of the newest frames are kept; an hour of frames of 10 s has 360."""

LEAST_S = 10.0


class Point(NamedTuple):
    """The mean of a region in a frame, in the image's unit.

    scale : of the frame's levels, by which the frame is recognised
    """

    middle_s: float
    mean: float
    scale: float


class RegionCurves(QtWidgets.QWidget):
    """Frames against detector time, s; one curve a region, at most six."""

    def __init__(self) -> None:
        super().__init__()
        self.names = ElidedLabel(size_px=theme.SMALL_PX)
        self.names.show_text(tr("no image yet"), theme.DIM)
        self.plot = CalmPlot(x_range=(0.0, LEAST_S))
        self.plot.setMinimumSize(120, 80)
        self.plot.setToolTip(tr("Mean of each region in the dynamic frames, against time in s"))
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.names)
        column.addWidget(self.plot, 1)
        self._curves = [self.plot.add_curve(theme.shade(colour), width=2) for colour in COLOURS]
        self._run = ""
        self._regions: list[Region] = []
        self._means: list[dict[int, Point]] = []
        self._each = 1.0

    def go_on_from(self, before: RegionCurves) -> None:
        """Take over another one's frames of a run."""
        self._run, self._regions, self._means = before._run, before._regions, before._means

    @property
    def means(self) -> list[list[tuple[float, float]]]:
        """Time in s and shown mean of each complete frame, a list for each region."""
        return [
            [(p.middle_s, self._each * p.mean) for p in sorted(means.values())]
            for means in self._means
        ]

    def follow(self, image: ImageMessage, regions: list[Region], unit: ShownUnit) -> None:
        """Take the newest frames of a run, and its regions."""
        if image.run != self._run or regions != self._regions:
            self._run, self._regions = image.run, list(regions)
            self._means = [{} for _ in regions]
        self._each = unit.each
        for frame in image.frames:
            self._take(frame)
        self.names.show_text(self._words(unit.name), theme.DIM)
        self._draw()

    def _take(self, frame: DynamicFrame) -> None:
        if not frame.complete:
            return
        axes = _axes(frame)
        values: npt.NDArray[np.float32] | None = None
        for region, means in zip(self._regions, self._means, strict=True):
            known = means.get(frame.number)
            if known is not None and known.scale == frame.scale:
                continue  # a frame that is made again has another scale
            values = frame.array() if values is None else values
            middle_s = 0.5 * (frame.begin_s + frame.end_s)
            means[frame.number] = Point(middle_s, _mean(region, axes, values), frame.scale)
            if len(means) > MOST_FRAMES:
                del means[min(means)]

    def _words(self, unit: str) -> str:
        """Say what the curves are or, where there is none, why."""
        if not self._regions:
            return tr("no region: R puts one at the crosshair")
        if not any(self._means):
            return tr("no curve yet: no dynamic frame is complete")
        names = ", ".join(one.name for one in self._regions[: len(COLOURS)])
        return tr(
            "mean of {names} over the frames, {short_unit}",
            names=names,
            short_unit=short_unit(unit),
        )

    def _draw(self) -> None:
        shown = self.means[: len(COLOURS)]
        shown += [[] for _ in range(len(COLOURS) - len(shown))]
        for curve, points in zip(self._curves, shown, strict=True):
            curve.setData([time_s for time_s, _ in points], [mean for _, mean in points])
        everything = [point for points in shown for point in points]
        highest = max((mean for _, mean in everything if math.isfinite(mean)), default=0.0)
        self.plot.set_x(0.0, max([LEAST_S, *(1.05 * time_s for time_s, _ in everything)]))
        self.plot.follow(highest)


def _axes(frame: DynamicFrame) -> tuple[npt.NDArray[np.float64], ...]:
    return tuple(
        np.asarray((np.arange(n) - 0.5 * (n - 1)) * size, dtype=np.float64)
        for n, size in zip(frame.shape, frame.voxel_mm, strict=True)
    )


def _mean(
    region: Region, axes: tuple[npt.NDArray[np.float64], ...], values: npt.NDArray[np.float32]
) -> float:
    """Return the mean of a frame in a region; NaN where it does not fit the frame."""
    try:
        return mean_in(shares(region, (axes[0], axes[1], axes[2]), values), values)
    except RegionError:
        return math.nan
