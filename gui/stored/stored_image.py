"""A stored image of a run: three linked cuts, its frames, its unit, from the NIfTI file."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from pyqtgraph.Qt import QtCore, QtWidgets

from daq.folder.listing.run_images import ENDING, images_of
from gui.image.image_file import StoredImage, read_image
from gui.image.linked_views import LinkedViews
from gui.kit import theme
from gui.kit.colour_maps import Image
from gui.kit.panels import ElidedLabel
from gui.kit.pictures import PERCENTILES, PicturePanel, captioned
from gui.kit.wording import level_text, short_unit, shown_unit
from gui.kit.words import tr

PLAY_MS = 500
"""For each frame, while they are played."""

PLACES = ((0, 0, 2), (1, 0, 1), (1, 1, 1))
"""Of the three cuts: row, column, columns."""


def full_level(volume: Image, percentile: float) -> float:
    """Return the level that counts as 100 %: a percentile of what is above 0."""
    seen = volume[volume > 0]
    return float(np.percentile(seen, percentile)) if seen.size else 1.0


class StoredImagePanel(PicturePanel):
    """The selected image of the selected run. It is read in a thread; :meth:`refresh` shows it."""

    def __init__(self) -> None:
        super().__init__(tr("IMAGE"), teaches=tr("A stored image of the chosen run."))
        self._reader = ThreadPoolExecutor(1, "image")
        self._coming: Future[StoredImage] | None = None
        self.shown: StoredImage | None = None
        self._cursor = [0, 0, 0]
        self.choice = QtWidgets.QComboBox()
        self.choice.setToolTip(tr("The run's images, the newest first"))
        self.choice.currentIndexChanged.connect(self._open)
        self.frame = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal)
        self.frame.setToolTip(tr("Frame or gate"))
        self.play = QtWidgets.QPushButton("▶")
        self.play.setCheckable(True)
        self.play.setToolTip(tr("Play the frames, or pause"))
        self.play.setAccessibleName(self.play.toolTip())
        self.clock = QtCore.QTimer(self)
        self.clock.setInterval(PLAY_MS)
        self.clock.timeout.connect(self.play_next)
        self.play.toggled.connect(self._play)
        self.words = ElidedLabel(size_px=theme.BASE_PX)
        self.linked = LinkedViews()
        self.views = self.linked.by_name
        views = QtWidgets.QGridLayout()
        for (row, column, across), view in zip(PLACES, self.views.values(), strict=True):
            views.addWidget(view, row, column, 1, across)
        self.linked.moved.connect(self._move)
        self.linked.windowed.connect(self.change_level)
        self.linked.arranged.connect(self._arrange)
        views.setRowStretch(0, 58)
        views.setRowStretch(1, 42)
        for box in (self.map_box, self.percentile_box):
            box.currentIndexChanged.connect(self._draw)
        self.level.valueChanged.connect(self._draw)
        self.frame.valueChanged.connect(self._draw)
        self.body.addWidget(self.choice)
        self.body.addLayout(views, 1)
        self.body.addWidget(self.words)
        self.body.addWidget(self.bar)
        self.body.addLayout(
            captioned(
                (tr("Frame"), self.frame, self.play),
                (tr("Colours"), self.map_box),
                (tr("Window 0 to"), self.percentile_box, self.level),
            )
        )

    @property
    def path(self) -> Path | None:
        """The file of the image that is chosen, None for none; it may still be read."""
        path = self.choice.currentData()
        return path if isinstance(path, Path) else None

    def offer(self, folder: Path | None) -> None:
        """Offer the images of a run, and open the newest."""
        paths = images_of(folder) if folder is not None else []
        self.choice.blockSignals(True)
        self.choice.clear()
        for path in paths:
            self.choice.addItem(path.name.removesuffix(ENDING), path)
        self.choice.blockSignals(False)
        self._open()

    def _open(self) -> None:
        path = self.choice.currentData()
        self.shown = None
        if path is None:
            self._coming = None
            self._blank(tr("no image is stored with this run"))
            return
        self._blank(tr("reading …"))
        self._coming = self._reader.submit(read_image, path)

    def _play(self, on: bool) -> None:
        self.play.setText("❚❚" if on else "▶")
        if on:
            self.clock.start()
        else:
            self.clock.stop()

    def play_next(self) -> None:
        """Show the next frame; after the last, the first."""
        self.frame.setValue((self.frame.value() + 1) % (self.frame.maximum() + 1))

    def _blank(self, words: str) -> None:
        self.play.setChecked(False)
        self.play.setEnabled(False)
        self.words.show_text(words, theme.DIM)
        self.linked.clear()

    def refresh(self) -> None:
        """Show the image that was read, once it has been."""
        if self._coming is None or not self._coming.done():
            return
        coming, self._coming = self._coming, None
        try:
            self.shown = coming.result()
        except ValueError as error:
            self._blank(f"✗ {error}")
            return
        image = self.shown
        self.frame.setRange(0, image.volume.shape[3] - 1)
        self.frame.setEnabled(image.volume.shape[3] > 1)
        self.play.setEnabled(image.volume.shape[3] > 1)
        shape = image.volume.shape
        self._cursor = [size // 2 for size in shape[:3]]
        self.linked.set_space((shape[0], shape[1], shape[2]), image.voxel_mm)
        self.linked.name_ends(image.position)
        self._draw()

    def _arrange(self) -> None:
        """Show all three views, or one alone."""
        for name, view in self.views.items():
            view.setHidden(bool(self.linked.single) and name != self.linked.single)

    def _move(self, axis: int, index: int) -> None:
        self._cursor[axis] = index
        self._draw()

    def _draw(self) -> None:
        image = self.shown
        if image is None:
            return
        volume = np.ascontiguousarray(image.volume[..., self.frame.value()])
        percentile = PERCENTILES[self.percentile_box.currentData()]
        upper = full_level(volume, percentile) * self.level.value() / 100
        table = self._tables[self.map_box.currentData()]
        self.linked.draw(volume, self._cursor, upper, table)
        each, unit = shown_unit(image.unit)
        labels = ("0", level_text(each * upper / 2), level_text(each * upper))
        self.bar.set_scale(table, labels, unit)
        value = each * float(volume[tuple(self._cursor)])
        self.words.show_text(f"✛ {level_text(value)} {short_unit(unit)} · {image.path.name}")

    def close_reader(self) -> None:
        """End the thread."""
        self._reader.shutdown(wait=False, cancel_futures=True)
