"""The planar pictures of a SPECT run in the chosen energy window: since its start, and recent.

They are below the image, side by side. Both have the same colours, but levels of their own, as the
recent one has fewer counts. Nothing here is reconstructed or corrected.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore, QtWidgets

from gui.kit import theme
from gui.kit.panels import scrolling
from gui.kit.pictures import PERCENTILES, PicturePanel, captioned, dim
from gui.kit.wording import level_text
from gui.kit.words import mark, tr
from gui.link.daq_view import Link
from gui.projections.planar_facts import ProjectionFacts
from gui.projections.planar_view import Counts, ProjectionView
from hw.messages.pictures import Projections
from hw.messages.sort_settings import EnergyWindow

ALL_PHOTOPEAKS = mark("all photopeaks")
SIDE_PX = 210
"""Of the facts, with the bar by which they scroll."""


class ProjectionPanel(PicturePanel):
    """Two rows of pictures, the facts about them, and their display settings."""

    def __init__(self) -> None:
        super().__init__(
            tr("PROJECTIONS"),
            teaches=tr(
                "Counts of each crystal in an energy window: what the camera sees "
                "through its\ncollimator, seen from behind, without corrections. The "
                "image is made from these."
            ),
        )
        self._pictures: Projections | None = None
        self._windows: tuple[EnergyWindow, ...] = ()
        self.whole = ProjectionView(tr("Since the start"))
        self.recent = ProjectionView(tr("Lately"))
        self.facts = ProjectionFacts()
        pictures = QtWidgets.QVBoxLayout()  # a camera is as wide as high or wider
        pictures.addWidget(self.whole, 1)
        pictures.addWidget(self.recent, 1)
        row = QtWidgets.QHBoxLayout()
        row.setSpacing(8)
        row.addLayout(pictures, 1)
        row.addWidget(self._side())
        self.body.addLayout(row, 1)

    def _side(self) -> QtWidgets.QWidget:
        """Facts, which scroll on a small screen, and the controls, which never do."""
        side = QtWidgets.QWidget()
        side.setFixedWidth(SIDE_PX)
        column = QtWidgets.QVBoxLayout(side)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(scrolling(self.facts), 1)
        column.addWidget(self.bar)
        column.addLayout(self._controls())
        return side

    def _controls(self) -> QtWidgets.QLayout:
        self.window_box = QtWidgets.QComboBox()
        self.window_box.setToolTip(tr("Energy window whose singles are shown (key W: next)"))
        self.percentile_box.setToolTip(tr("Upper end: this percentile of the crystals with counts"))
        self.level.setToolTip(tr("Upper end, as a share of the percentile's level"))
        for box in (self.window_box, self.map_box, self.percentile_box):
            box.setFocusPolicy(QtCore.Qt.FocusPolicy.TabFocus)
            box.currentIndexChanged.connect(self._draw)
        self.level.valueChanged.connect(self._draw)
        return captioned(
            (tr("Window"), self.window_box),
            (tr("Colours"), self.map_box),
            (tr("0 to"), self.percentile_box),
            (tr("Level"), self.level),
        )

    def refresh(self, link: Link, *, new: bool) -> None:
        """Show new pictures if there are some, and the age of the old ones in any case."""
        if new and link.projections is not None:
            self._take(link, link.projections)
        self.facts.refresh_age(link)
        earlier = link.projections is not None and not link.projections_are_of_run
        dim((self.whole, self.recent), dimmed=earlier)

    def _take(self, link: Link, pictures: Projections) -> None:
        self._pictures = pictures
        settings = link.telemetry.settings if link.telemetry else None
        if settings is not None and settings.singles_windows != self._windows:
            self._windows = settings.singles_windows
            self._offer_windows(pictures.windows)
        self._draw()
        counts = sum(int(pictures.arrays()[0][k].sum()) for k in self._chosen())
        names = [pictures.windows[k] for k in self._chosen()]
        self.facts.refresh(link, pictures, names=names, counts=counts)

    def _offer_windows(self, names: list[str]) -> None:
        """Offer the windows that have pictures, photopeaks first."""
        kinds = {window.name: window.kind for window in self._windows}
        peaks = [name for name in names if kinds.get(name) == "photopeak"]
        rest = [name for name in names if name not in peaks]
        self.window_box.blockSignals(True)
        self.window_box.clear()
        for name in peaks + rest:
            look = theme.WINDOW_LOOKS[kinds.get(name, "photopeak")]
            self.window_box.addItem(f"{look.symbol} {name}", [name])
        if len(peaks) > 1:
            self.window_box.insertItem(len(peaks), tr(ALL_PHOTOPEAKS), peaks)
        self.window_box.blockSignals(False)

    def _chosen(self) -> list[int]:
        """Return which windows with pictures are shown together."""
        names = self.window_box.currentData() or []
        windows = self._pictures.windows if self._pictures else []
        return [k for k, name in enumerate(windows) if name in names] or [0][: len(windows)]

    def next_window(self) -> None:
        """Show the next energy window."""
        if self.window_box.count():
            self.window_box.setCurrentIndex(
                (self.window_box.currentIndex() + 1) % self.window_box.count()
            )

    def upper(self, counts: Counts) -> float:
        """Return the upper end of the colours for a picture, at least one count."""
        seen = counts[counts > 0]
        if not seen.size:
            return 1.0
        percentile = PERCENTILES[self.percentile_box.currentData()]
        return max(1.0, float(np.percentile(seen, percentile)) * self.level.value() / 100)

    def _draw(self) -> None:
        pictures = self._pictures
        if pictures is None or not pictures.windows:
            return
        table = self._tables[self.map_box.currentData()]
        chosen = self._chosen()
        whole, recent = (array[chosen].sum(axis=0, dtype=np.uint32) for array in pictures.arrays())
        upper = self.upper(whole)
        self._show(self.whole, whole, table, upper)
        lately = self.upper(recent)
        self.recent.title = tr("Last {recent_s:.0f} s", recent_s=pictures.recent_s)
        self._show(self.recent, recent, table, lately)
        labels = ("0", level_text(upper / 2), level_text(upper))
        self.bar.set_scale(table, labels, tr("counts per crystal since the start"))

    def _show(
        self,
        view: ProjectionView,
        counts: Counts,
        table: npt.NDArray[np.uint32],
        upper: float,
    ) -> None:
        assert self._pictures is not None
        level = level_text(upper)
        notes = tr("0 … {level} counts", level=level), f"0 … {level}"
        view.show_pictures(
            counts, self._pictures.pitch_mm, self._pictures.angles_deg, upper=upper, table=table,
            notes=notes,
        )  # fmt: skip
