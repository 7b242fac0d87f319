"""The planar pictures of one energy window: every module's, side by side, in true proportions.

Seen from behind the modules: u (counter-clockwise around the axis) runs to the right, v (+z) up,
so that neighbours on the ring are neighbours on the screen. A pixel is a crystal, unsmoothed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.colour_maps import to_levels
from gui.kit.wording import MINUS, grouped
from gui.kit.words import tr

Counts = npt.NDArray[np.uint32]
Angles = list[float | None]

_TITLE_PX, _CAPTION_PX, _BOTTOM_PX, _GAP_PX = 18, 13, 15, 6
_NARROW_PX = 60


class ProjectionView(QtWidgets.QWidget):
    """Pictures (modules, n_v, n_u) in one window 0..upper, with the angle of each."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title
        self.dimmed = False
        self._counts: Counts = np.zeros((0, 1, 1), np.uint32)
        self._pitch_mm = (1.0, 1.0)
        self._angles: Angles = []
        self._pixels: npt.NDArray[np.uint32] = np.zeros((0, 1, 1), np.uint32)
        self._notes: tuple[str, ...] = ()
        self.setAccessibleName(title)
        self.setMinimumSize(104, 104)
        self.setMouseTracking(True)

    def show_pictures(
        self,
        counts: Counts,
        pitch_mm: tuple[float, float],
        angles: Angles,
        *,
        upper: float,
        table: npt.NDArray[np.uint32],
        notes: tuple[str, ...],
    ) -> None:
        """Draw the counts of every module, with a note to the right of the title.

        Parameters
        ----------
        counts : (modules, n_v, n_u), counts of each crystal
        pitch_mm : of the crystals along u and v, mm
        angles : of each module in degrees, None where it has not reported one
        upper : counts at which the colours end; they begin at 0
        table : (256,) uint32 0xAARRGGBB, colours from 0 to ``upper``
        notes : texts to the right of the title, the longest first; the first that fits is shown
        """
        self._counts, self._pitch_mm, self._angles = counts, pitch_mm, angles
        from_above = counts[:, ::-1, :].astype(np.float32)
        self._pixels = np.ascontiguousarray(table[to_levels(from_above, upper)])
        self._notes = notes
        self.update()

    @property
    def modules(self) -> int:
        """The number of pictures."""
        return len(self._counts)

    def face_mm(self) -> tuple[float, float]:
        """Return a picture's width and height in mm."""
        _, rows, columns = self._counts.shape
        return columns * self._pitch_mm[0], rows * self._pitch_mm[1]

    def _room(self) -> QtCore.QRectF:
        height = self.height() - _TITLE_PX - _BOTTOM_PX
        return QtCore.QRectF(1, _TITLE_PX, max(10, self.width() - 3), max(10, height))

    def layout_of(self) -> tuple[int, float]:
        """Return the number of pictures in a row, and the largest scale that fits, in px/mm."""
        width_mm, height_mm = self.face_mm()
        room, best = self._room(), (1, 0.0)
        for columns in range(1, max(1, self.modules) + 1):
            rows = math.ceil(max(1, self.modules) / columns)
            across = (room.width() - (columns - 1) * _GAP_PX) / columns / width_mm
            upward = (room.height() / rows - self._caption_px() - _GAP_PX) / height_mm
            if min(across, upward) > best[1]:
                best = columns, min(across, upward)
        return best[0], max(0.02, best[1])

    def _caption_px(self) -> int:
        """Return the height of the lines above a picture: its number, its angle."""
        return _CAPTION_PX * ((self.modules > 1) + bool(self._angles))

    def frame(self, module: int) -> QtCore.QRectF:
        """Return the place of a module's picture, in px."""
        columns, scale = self.layout_of()
        width, height = (scale * extent for extent in self.face_mm())
        rows = math.ceil(self.modules / columns)
        row, column = divmod(module, columns)
        room, caption = self._room(), self._caption_px()
        whole = columns * width + (columns - 1) * _GAP_PX, rows * (height + caption + _GAP_PX)
        left = room.left() + (room.width() - whole[0]) / 2 + column * (width + _GAP_PX)
        top = room.top() + (room.height() - whole[1]) / 2 + row * (height + caption + _GAP_PX)
        return QtCore.QRectF(left, top + caption, width, height)

    def caption(self, module: int) -> list[str]:
        """Return the lines above a picture: its number if there are several, its angle."""
        lines = [f"{module}"] if self.modules > 1 else []
        if module < len(self._angles):
            narrow = self.frame(module).width() < _NARROW_PX
            lines.append(angle_text(self._angles[module], digits=0 if narrow else 1))
        return lines

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the pictures and the text around them."""
        painter = QtGui.QPainter(self)
        self._paint_title(painter)
        if not self.modules:
            painter.setPen(QtGui.QColor(theme.FAINT))
            painter.drawText(self.rect(), QtCore.Qt.AlignmentFlag.AlignCenter, tr("no counts yet"))
        painter.setFont(theme.font(10))
        for module in range(self.modules):
            self._paint_picture(painter, module)
        if self.modules:
            self._paint_scale_bar(painter)
        painter.end()

    def _paint_title(self, painter: QtGui.QPainter) -> None:
        flags = QtCore.Qt.AlignmentFlag
        line = QtCore.QRectF(0, 0, self.width(), _TITLE_PX - 3)
        painter.setFont(theme.font(theme.SMALL_PX, bold=True))
        painter.setPen(QtGui.QColor(theme.TEXT))
        painter.drawText(line, flags.AlignLeft | flags.AlignVCenter, self.title)
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.setPen(QtGui.QColor(theme.DIM))
        painter.drawText(line, flags.AlignRight | flags.AlignVCenter, self.shown_note())

    def shown_note(self) -> str:
        """Return as much of the note as there is room for beside the title."""
        taken_px = _width_px(self.title, theme.font(theme.SMALL_PX, bold=True)) + _GAP_PX
        return fitting(self._notes, theme.font(theme.SMALL_PX), self.width() - taken_px)

    def _paint_picture(self, painter: QtGui.QPainter, module: int) -> None:
        frame, pixels = self.frame(module), self._pixels[module]
        rows, columns = pixels.shape
        kind = QtGui.QImage.Format.Format_RGB32
        picture = QtGui.QImage(pixels.data, columns, rows, 4 * columns, kind)
        painter.setOpacity(0.3 if self.dimmed else 1.0)
        painter.drawImage(frame, picture)
        painter.setOpacity(1.0)
        painter.setPen(QtGui.QColor(theme.FAINT))
        painter.drawRect(frame)
        painter.setPen(QtGui.QColor(theme.DIM))
        lines = self.caption(module)
        words = QtCore.QRectF(frame.left() - 3, frame.top(), frame.width() + 6, _CAPTION_PX)
        for place, line in enumerate(lines):
            words.moveTop(frame.top() - (len(lines) - place) * _CAPTION_PX)
            painter.drawText(words, QtCore.Qt.AlignmentFlag.AlignCenter, line)

    def _paint_scale_bar(self, painter: QtGui.QPainter) -> None:
        _, scale = self.layout_of()
        frame = self.frame(0)
        y = self.height() - _BOTTOM_PX + 7
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.DIM), 2))
        left, words = self.shown_directions(frame.left(), 50 * scale)
        end = left + 50 * scale
        painter.drawLine(QtCore.QPointF(left + 1, y), QtCore.QPointF(end, y))
        painter.drawText(QtCore.QPointF(end + 5, y + 4), words)

    def shown_directions(self, left_px: float, bar_px: float) -> tuple[float, str]:
        """Return where the scale's bar begins, and as much of its words as there is room for."""
        texts = (tr("50 mm   u →  z ↑  from behind"), "50 mm   u →  z ↑", "50 mm")
        room_px = self.width() - left_px - bar_px - 5
        if fitting(texts[:1], theme.font(10), room_px):
            return left_px, texts[0]
        return 0.0, fitting(texts, theme.font(10), self.width() - bar_px - 5)

    def describe(self, point: QtCore.QPointF) -> str:
        """Describe the crystal under a point and its counts; "" outside the pictures."""
        for module in range(self.modules):
            frame = self.frame(module)
            if frame.contains(point):
                _, rows, columns = self._counts.shape
                u = min(columns - 1, int((point.x() - frame.left()) / frame.width() * columns))
                v = min(rows - 1, int((frame.bottom() - point.y()) / frame.height() * rows))
                counts = int(self._counts[module, v, u])
                return tr(
                    "module {module}, crystal ({u}, {v}): {grouped} counts",
                    module=module,
                    u=u,
                    v=v,
                    grouped=grouped(counts),
                )
        return ""

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Show the counts under the pointer."""
        words = self.describe(event.position())
        QtWidgets.QToolTip.showText(event.globalPosition().toPoint(), words, self)


def fitting(texts: Iterable[str], font: QtGui.QFont, room_px: float) -> str:
    """Return the first of several texts, the longest first, that is not wider; "" if none is."""
    return next((text for text in texts if _width_px(text, font) <= room_px), "")


def _width_px(text: str, font: QtGui.QFont) -> float:
    return float(QtGui.QFontMetricsF(font).horizontalAdvance(text))


def angle_text(angle_deg: float | None, *, digits: int = 1) -> str:
    """Return an angle with its sign; a question mark if the module has not reported it."""
    if angle_deg is None:
        return "?°"
    return f"{round(angle_deg, digits) + 0.0:.{digits}f}°".replace("-", MINUS)
