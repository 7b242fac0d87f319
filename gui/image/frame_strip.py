"""The dynamic frames beside the live image: a row of small transaxial cuts, oldest first.

All frames share one scale, from 0 to the brightest of them, so that uptake and washout are visible
as such. They are cut at the crosshair of the large views; a click chooses one
(:mod:`gui.image.frame_player`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.image.slices import TRANSAXIAL, cut
from gui.kit import theme
from gui.kit.colour_maps import to_levels
from gui.kit.wording import grouped
from gui.kit.words import tr
from hw.messages.pictures import DynamicFrame

HEIGHT_PX, CAPTION_PX, GAP_PX = 84, 15, 6
MOST, LEAST_SIDE_PX = 7, 60
"""So many frames, of a width for their times; fewer where there is less room."""
SHOWN_PERCENTILE = 99.8


class FrameStrip(QtWidgets.QWidget):
    """The newest frames; hidden while there are none.

    chosen : the number of a frame that was clicked
    marked : the number of the frame that is shown large, None for none
    """

    chosen = QtCore.Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self._frames: list[DynamicFrame] = []
        self._pictures: list[tuple[QtGui.QImage, npt.NDArray[np.uint32], str]] = []
        self.marked: int | None = None
        self.setFixedHeight(HEIGHT_PX)
        self.setToolTip(
            tr(
                "Short dynamic frames, oldest first; the last one is filling. All on one "
                "scale, cut\nat the height of the crosshair, on coarser voxels than the "
                "image above. Click one to see it large."
            )
        )
        self.hide()

    @property
    def captions(self) -> list[str]:
        """The captions below the frames."""
        return [caption for _, _, caption in self._pictures]

    def show_frames(
        self, frames: list[DynamicFrame], place: float, table: npt.NDArray[np.uint32]
    ) -> None:
        """Show frames cut at ``place``, a fraction 0..1 of the way along z, in these colours."""
        self._frames = frames[-self._room :]
        if self.isHidden() == bool(self._frames):
            self.setHidden(not self._frames)
        if not self._frames:
            return
        images = [frame.array() for frame in self._frames]
        cuts = [cut(image, TRANSAXIAL, _index(place, image.shape[2])) for image in images]
        upper = max(float(np.percentile(one, SHOWN_PERCENTILE)) for one in cuts)
        self._pictures = [
            self._picture(one, upper, table, frame)
            for one, frame in zip(cuts, self._frames, strict=True)
        ]
        self.update()

    @staticmethod
    def _picture(
        values: npt.NDArray[np.float32],
        upper: float,
        table: npt.NDArray[np.uint32],
        frame: DynamicFrame,
    ) -> tuple[QtGui.QImage, npt.NDArray[np.uint32], str]:
        pixels = table[to_levels(values, upper)]
        rows, columns = pixels.shape
        picture = QtGui.QImage(
            pixels.data, columns, rows, 4 * columns, QtGui.QImage.Format.Format_RGB32
        )
        return picture, pixels, frame_words(frame)

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Choose the frame that is clicked."""
        place = int(event.position().x() // (self._side + GAP_PX))
        if 0 <= place < len(self._frames):
            self.chosen.emit(self._frames[place].number)

    @property
    def _room(self) -> int:
        return max(1, min(MOST, (self.width() + GAP_PX) // (LEAST_SIDE_PX + GAP_PX)))

    @property
    def _side(self) -> int:
        return min(HEIGHT_PX - CAPTION_PX, (self.width() + GAP_PX) // self._room - GAP_PX)

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the frames, each with its time below."""
        painter = QtGui.QPainter(self)
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        painter.setFont(theme.font(theme.SMALL_PX))
        side = self._side
        for number, (picture, _, caption) in enumerate(self._pictures):
            left = number * (side + GAP_PX)
            ratio = picture.height() / max(picture.width(), 1)
            frame = QtCore.QRectF(left, 0, side, side * min(ratio, 1.0))
            painter.drawImage(frame, picture)
            last = number == len(self._pictures) - 1 and not self._frames[-1].complete
            marked = self._frames[number].number == self.marked
            edge = theme.WARNING if marked else theme.NOTICE if last else theme.LINE
            painter.setPen(QtGui.QPen(QtGui.QColor(edge), 3 if marked else 1))
            painter.drawRect(frame)
            painter.setPen(QtGui.QColor(theme.TEXT if last else theme.DIM))
            words = QtCore.QRectF(left - GAP_PX / 2, side + 1, side + GAP_PX, CAPTION_PX)
            centre = QtCore.Qt.AlignmentFlag.AlignHCenter | QtCore.Qt.AlignmentFlag.AlignTop
            painter.drawText(words, centre, caption)
        painter.end()


def frame_words(frame: DynamicFrame) -> str:
    """Return a frame's time."""
    return f"{grouped(frame.begin_s)}–{grouped(frame.end_s)} s"


def _index(place: float, size: int) -> int:
    return int(np.clip(round(place * size - 0.5), 0, size - 1))
