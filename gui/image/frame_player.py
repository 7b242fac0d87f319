"""The dynamic frames below the live image: choose one, step, play, back to the live image.

A frame that is shown stays shown, with its time, until somebody goes on: also where it is no longer
among the newest ones that the imager sends.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pyqtgraph.Qt import QtCore, QtWidgets

from gui.image.frame_strip import FrameStrip, frame_words
from gui.kit import theme
from gui.kit.colour_maps import Image
from gui.kit.panels import ElidedLabel
from gui.kit.words import tr
from hw.messages.pictures import DynamicFrame

PLAY_MS = 500
"""For each frame, while they are played."""

TALL_PX, WIDE_PX = 36, 40


class FramePlayer(QtWidgets.QWidget):
    """The strip of frames, and buttons beside it where there is room.

    changed : another frame is to be shown, or the live image again
    shown : the frame that is to be shown, None for the live image
    """

    changed = QtCore.Signal()

    def __init__(self) -> None:
        super().__init__()
        self.strip = FrameStrip()
        self.shown: DynamicFrame | None = None
        self._frames: list[DynamicFrame] = []
        self._laid: tuple[DynamicFrame, tuple[int, int, int], Image] | None = None
        self.clock = QtCore.QTimer(self)
        self.clock.setInterval(PLAY_MS)
        self.clock.timeout.connect(self.play_next)
        self.words = ElidedLabel(size_px=theme.SMALL_PX)
        self.back = self._button("◀", tr("Frame before (key ,)"), lambda: self.step(-1))
        self.play = self._button("▶", tr("Play the frames, or pause (key .)"), self.toggle)
        self.ahead = self._button("▷", tr("Next frame (key /)"), lambda: self.step(1))
        self.live = self._button(tr("Live"), tr("Back to the live image (key L)"), self.go_live)
        self.controls = QtWidgets.QWidget()
        grid = QtWidgets.QGridLayout(self.controls)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        for place, button in enumerate((self.back, self.play, self.ahead, self.live)):
            grid.addWidget(button, 0, place)
        grid.addWidget(self.words, 1, 0, 1, 4)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.strip, 1)
        row.addWidget(self.controls)
        self.strip.chosen.connect(self._choose)
        self.controls.hide()
        self.hide()
        self._tell()

    def _button(self, text: str, teaches: str, act: Callable[[], None]) -> QtWidgets.QPushButton:
        button = QtWidgets.QPushButton(text)
        button.setToolTip(teaches)
        button.setAccessibleName(teaches)
        button.setFixedHeight(TALL_PX)
        button.setMinimumWidth(WIDE_PX)
        button.setFocusPolicy(QtCore.Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: act())
        return button

    def follow(self, frames: list[DynamicFrame], *, new_run: bool) -> None:
        """Take the newest frames of a run, oldest first."""
        self._frames = list(frames)
        self.setHidden(not frames)
        if new_run:
            self.clock.stop()
            self.shown = None
        elif self.shown is not None:  # a frame that is still filling goes on doing so
            mine = [one for one in frames if one.number == self.shown.number]
            self.shown = mine[0] if mine else self.shown
        self._tell()

    def image_for(self, shape: tuple[int, int, int], live: Image) -> Image:
        """Return what is to be shown on voxels of ``shape``: ``live``, or the frame chosen."""
        frame = self.shown
        if frame is None:
            return live
        if self._laid is None or self._laid[0] is not frame or self._laid[1] != shape:
            self._laid = frame, shape, _nearest(frame.array(), shape)
        return self._laid[2]

    def _place(self) -> int | None:
        numbers = [one.number for one in self._frames]
        if self.shown is None or self.shown.number not in numbers:
            return None
        return numbers.index(self.shown.number)

    def step(self, by: int) -> None:
        """Show the frame before or after; from the live image, the newest or the oldest."""
        if self._frames:
            self.clock.stop()
            self._go(by)

    def play_next(self) -> None:
        """Show the next frame; after the newest, the oldest again."""
        self._go(1)

    def _go(self, by: int) -> None:
        place = self._place()
        if place is None:
            place = 0 if by > 0 else len(self._frames) - 1
        else:
            place = (place + by) % len(self._frames)
        self._show(self._frames[place])

    def toggle(self) -> None:
        """Play the frames, or pause."""
        if self.clock.isActive():
            self.clock.stop()
        elif self._frames:
            self.clock.start()
        self._tell()

    def go_live(self) -> None:
        """Show the live image again."""
        self.clock.stop()
        self._show(None)

    def _choose(self, number: int) -> None:
        frames = [one for one in self._frames if one.number == number]
        if frames:
            self.clock.stop()
            self._show(frames[0])

    def _show(self, frame: DynamicFrame | None) -> None:
        self.shown = frame
        self._tell()
        self.changed.emit()

    def caption(self) -> str:
        """Return the time of the frame that is shown, "" for the live image."""
        return frame_words(self.shown) if self.shown is not None else ""

    def _tell(self) -> None:
        self.strip.marked = self.shown.number if self.shown is not None else None
        self.strip.update()
        self.play.setText("❚❚" if self.clock.isActive() else "▶")
        self.live.setEnabled(self.shown is not None)
        if self.shown is None:
            self.words.show_text(tr("live image"), theme.DIM)
        else:
            words = tr("frame {time}, not live", time=frame_words(self.shown))
            self.words.show_text(words, theme.WARNING)


def _nearest(values: Image, shape: tuple[int, int, int]) -> Image:
    """Return values on more or fewer voxels of the same extent: of each, the nearest one's."""
    each = [
        np.minimum(((np.arange(new) + 0.5) * old / new).astype(int), old - 1)
        for new, old in zip(shape, values.shape, strict=True)
    ]
    return np.ascontiguousarray(values[np.ix_(*each)])
