"""One of three linked orthogonal views of the live image, in true proportions, with its scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.image.slices import AXES, Plane, centre_mm, cut
from gui.kit import theme
from gui.kit.colour_maps import Image, to_levels
from gui.kit.wording import grouped
from hw.messages.patient_position import UNKNOWN, PatientPosition, ends_of_axes

_TOP_PX, _SIDE_PX, _BOTTOM_PX = 19, 19, 15
LEAST_WORDS_PX = 230.0
"""So wide are the lines above and below a small cut, where the widget has the room."""


class SliceView(QtWidgets.QWidget):
    """One plane: the cut, its position, the axes' names, a crosshair and a scale bar.

    ``moved`` gives the axis and index that the user chose: click or drag to move the crosshair,
    wheel or slider to scroll through the cuts.
    """

    moved = QtCore.Signal(int, int)

    def __init__(self, plane: Plane) -> None:
        super().__init__()
        self.plane = plane
        self._shape: tuple[int, int, int] = (1, 1, 1)
        self._voxel_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self._cursor = [0, 0, 0]
        self._pixels: npt.NDArray[np.uint32] = np.zeros((1, 1), dtype=np.uint32)
        self._picture: QtGui.QImage | None = None
        self.dimmed = False
        self.setMinimumSize(150, 110)
        self.setCursor(QtCore.Qt.CursorShape.CrossCursor)
        self.ends = ends_of_axes(UNKNOWN)
        self._say_what(UNKNOWN)

    def set_space(self, shape: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> None:
        """Set the image's shape and voxel size in mm."""
        self._shape, self._voxel_mm = shape, voxel_mm

    def show_cut(
        self, image: Image, cursor: list[int], upper: float, table: npt.NDArray[np.uint32]
    ) -> None:
        """Draw the cut through ``cursor`` in the window 0..``upper``."""
        self._cursor = list(cursor)
        levels = to_levels(cut(image, self.plane, cursor[self.plane.through]), upper)
        self._pixels = table[levels]
        rows, columns = self._pixels.shape
        self._picture = QtGui.QImage(
            self._pixels.data, columns, rows, 4 * columns, QtGui.QImage.Format.Format_RGB32
        )
        self.update()

    def clear(self) -> None:
        """Show that there is no image."""
        self._picture = None
        self.update()

    def extent_mm(self) -> tuple[float, float]:
        """Return the cut's width and height in mm."""
        right, up = self.plane.right, self.plane.up
        return (
            self._shape[right] * self._voxel_mm[right],
            self._shape[up] * self._voxel_mm[up],
        )

    def scale_px_mm(self) -> float:
        """Return the scale at which the whole cut fits, in px/mm."""
        width_mm, height_mm = self.extent_mm()
        fitting = min(
            (self.width() - 2 * _SIDE_PX) / width_mm,
            (self.height() - _TOP_PX - _BOTTOM_PX) / height_mm,
        )
        return max(0.05, fitting)

    def frame(self) -> QtCore.QRectF:
        """Return where in the widget the cut is drawn, in px."""
        width_mm, height_mm = self.extent_mm()
        scale_px_mm = self.scale_px_mm()
        width, height = width_mm * scale_px_mm, height_mm * scale_px_mm
        room = self.height() - _TOP_PX - _BOTTOM_PX
        return QtCore.QRectF(
            (self.width() - width) / 2, _TOP_PX + (room - height) / 2, width, height
        )

    def place_of(self, right: int, up: int) -> QtCore.QPointF:
        """Return the point in px at which the voxel (right, up) of the cut is centred."""
        frame = self.frame()
        columns, rows = self._shape[self.plane.right], self._shape[self.plane.up]
        return QtCore.QPointF(
            frame.left() + (right + 0.5) / columns * frame.width(),
            frame.bottom() - (up + 0.5) / rows * frame.height(),
        )

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the cut, the crosshair and the text around them."""
        painter = QtGui.QPainter(self)
        frame = self.frame()
        if self._picture is None:
            painter.setPen(QtGui.QColor(theme.FAINT))
            painter.drawText(
                self.rect(), QtCore.Qt.AlignmentFlag.AlignCenter, f"{self.plane.name}\nno image yet"
            )
        else:
            self._paint_picture(painter, frame)
            self._paint_crosshair(painter, frame)
            self._paint_words(painter, frame)
        painter.end()

    def _paint_picture(self, painter: QtGui.QPainter, frame: QtCore.QRectF) -> None:
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        painter.setOpacity(0.3 if self.dimmed else 1.0)
        painter.drawImage(frame, self._picture)
        painter.setOpacity(1.0)
        painter.setPen(QtGui.QColor(theme.LINE))
        painter.drawRect(frame)

    def _paint_crosshair(self, painter: QtGui.QPainter, frame: QtCore.QRectF) -> None:
        centre = self.place_of(self._cursor[self.plane.right], self._cursor[self.plane.up])
        gap = 9.0
        colour = QtGui.QColor("#2f8fd8")
        colour.setAlpha(190)
        painter.setPen(QtGui.QPen(colour, 1))
        x, y = round(centre.x()), round(centre.y())
        for start, end in (
            ((frame.left(), y), (x - gap, y)),
            ((x + gap, y), (frame.right(), y)),
            ((x, frame.top()), (x, y - gap)),
            ((x, y + gap), (x, frame.bottom())),
        ):
            painter.drawLine(QtCore.QPointF(*start), QtCore.QPointF(*end))

    def _paint_words(self, painter: QtGui.QPainter, frame: QtCore.QRectF) -> None:
        flags = QtCore.Qt.AlignmentFlag
        painter.setFont(theme.font(theme.SMALL_PX, bold=True))
        painter.setPen(QtGui.QColor(theme.TEXT))
        width = max(frame.width(), min(self.width() - 4.0, LEAST_WORDS_PX))
        left = min(max(2.0, frame.center().x() - width / 2), max(2.0, self.width() - 2.0 - width))
        top = QtCore.QRectF(left, frame.top() - _TOP_PX, width, _TOP_PX - 3)
        painter.drawText(top, flags.AlignLeft | flags.AlignVCenter, self.plane.name)
        painter.setFont(theme.font(theme.SMALL_PX))
        painter.setPen(QtGui.QColor(theme.DIM))
        painter.drawText(top, flags.AlignRight | flags.AlignVCenter, self.place_text())
        (left_end, right_end), (low_end, high_end) = self._ends_shown()
        painter.setPen(QtGui.QColor(theme.TEXT if self._known else theme.DIM))
        painter.setFont(theme.font(theme.SMALL_PX, bold=self._known))
        above = top.translated(frame.center().x() - top.center().x(), 0.0)
        painter.drawText(above, flags.AlignCenter, high_end)
        side = QtCore.QRectF(frame.right() + 2, frame.top(), _SIDE_PX - 2, frame.height())
        painter.drawText(side, flags.AlignLeft | flags.AlignVCenter, right_end)
        side.moveLeft(frame.left() - _SIDE_PX)
        painter.drawText(side, flags.AlignRight | flags.AlignVCenter, left_end)
        below = QtCore.QRectF(left, frame.bottom() + 1, width, _BOTTOM_PX)
        beneath = below.translated(frame.center().x() - below.center().x(), 0.0)
        painter.drawText(beneath, flags.AlignHCenter | flags.AlignTop, low_end)
        self._paint_scale_bar(painter, below)

    def _ends_shown(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return what is at the left and right, and at the bottom and top."""
        return self.ends[AXES[self.plane.right]], self.ends[AXES[self.plane.up]]

    @property
    def _known(self) -> bool:
        return self.ends != ends_of_axes(UNKNOWN)

    def name_ends(self, position: PatientPosition) -> None:
        """Name the ends of the axes as the patient lies."""
        ends = ends_of_axes(position)
        if ends != self.ends:
            self.ends = ends
            self._say_what(position)
            self.update()

    def _say_what(self, position: PatientPosition) -> None:
        how = "not known here" if position == UNKNOWN else f"{position}, as the run was told"
        self.setToolTip(
            f"{self.plane.name} cut in the scanner's frame (the patient's position is {how}).\n"
            "Click or drag: move the crosshair. Wheel: next cut."
        )

    def _paint_scale_bar(self, painter: QtGui.QPainter, below: QtCore.QRectF) -> None:
        length = 50.0 * self.scale_px_mm()
        y = below.top() + 7
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.DIM), 2))
        painter.drawLine(
            QtCore.QPointF(below.left() + 1, y), QtCore.QPointF(below.left() + length, y)
        )
        painter.setFont(theme.font(10))
        painter.drawText(QtCore.QPointF(below.left() + length + 4, y + 4), "50 mm")

    def place_text(self) -> str:
        """Return the cut's position, e.g. ``z = −12 mm``."""
        axis = self.plane.through
        place = centre_mm(self._cursor[axis], self._shape[axis], self._voxel_mm[axis])
        return f"{AXES[axis]} = {grouped(place, digits=0)} mm"

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Move the crosshair to the click."""
        self._pick(event.position())

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Drag the crosshair."""
        self._pick(event.position())

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        """Scroll through the cuts."""
        steps = 1 if event.angleDelta().y() > 0 else -1
        self._move(self.plane.through, self._cursor[self.plane.through] + steps)
        event.accept()

    def _pick(self, point: QtCore.QPointF) -> None:
        frame = self.frame()
        across = (point.x() - frame.left()) / frame.width()
        upward = (frame.bottom() - point.y()) / frame.height()
        self._move(self.plane.right, int(across * self._shape[self.plane.right]))
        self._move(self.plane.up, int(upward * self._shape[self.plane.up]))

    def _move(self, axis: int, index: int) -> None:
        if self._picture is not None:
            self.moved.emit(axis, max(0, min(self._shape[axis] - 1, index)))
