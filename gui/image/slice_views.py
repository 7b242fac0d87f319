"""One of three linked orthogonal views of an image, in true proportions, with its scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.image.slices import AXES, Plane, centre_mm
from gui.image.viewport import STEP, Viewport
from gui.kit import theme
from gui.kit.wording import grouped
from gui.kit.words import tr
from hw.messages.patient_position import UNKNOWN, PatientPosition, ends_of_axes

_TOP_PX, _SIDE_PX, _BOTTOM_PX = 19, 19, 15
LEAST_PX = 136
"""Of width: two beside each other are what a screen of 1024 leaves."""
LEAST_WORDS_PX = 230.0
"""So wide are the lines above and below a small cut, where the widget has the room."""


WINDOW_STEP = 1.01
"""Factor on the upper end of the window of each px that the mouse is dragged down."""
BARS_MM = (50, 20, 10, 5, 2, 1)
"""Lengths of the scale bar: the longest that leaves room for the letter in the middle."""
_BAR_WORDS_PX = 60.0
HALO, MARKS = "#10141a", "#8cc4ff"
"""Regions' outlines and names, and what is dark around them: seen on an image of any colours."""

Marks = list[tuple[str, list[tuple[float, float]]]]
"""Names and outlines (to the right, up; mm from the image's middle)."""


class SliceView(QtWidgets.QWidget):
    """One plane: the cut, its position, the axes' names, a crosshair and a scale bar.

    ``moved`` emits the axis and index that the user chose: click or drag to move the crosshair,
    turn the wheel or move the slider to scroll through the cuts. ``looked`` says that another part
    of the image is shown, for all views: Ctrl and wheel to magnify, drag with the middle button or
    with Shift to move it. ``windowed`` emits the factor by which the upper end of the window should
    change: drag upwards with the right button for a brighter image. ``enlarged`` is emitted by a
    double click.
    """

    moved = QtCore.Signal(int, int)
    looked = QtCore.Signal()
    windowed = QtCore.Signal(float)
    enlarged = QtCore.Signal()

    def __init__(self, plane: Plane, viewport: Viewport | None = None) -> None:
        super().__init__()
        self.plane = plane
        self.viewport = viewport or Viewport()
        self.through_all = False
        self.marks: Marks = []
        self._dragged: QtCore.QPointF | None = None
        self._shape: tuple[int, int, int] = (1, 1, 1)
        self._voxel_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
        self._cursor = [0, 0, 0]
        self._pixels: npt.NDArray[np.uint32] = np.zeros((1, 1), dtype=np.uint32)
        self._picture: QtGui.QImage | None = None
        self.dimmed = False
        self.setAccessibleName(tr(plane.name))
        self.setMinimumSize(LEAST_PX, 110)
        self.setCursor(QtCore.Qt.CursorShape.CrossCursor)
        self.ends = ends_of_axes(UNKNOWN)
        self._say_what(UNKNOWN)

    def set_space(self, shape: tuple[int, int, int], voxel_mm: tuple[float, float, float]) -> None:
        """Set the image's shape and voxel size in mm."""
        self._shape, self._voxel_mm = shape, voxel_mm

    def show_pixels(
        self, pixels: npt.NDArray[np.uint32], cursor: list[int], *, through_all: bool = False
    ) -> None:
        """Draw a cut through ``cursor``, or the maximum of all cuts: RGB32, rows from the top."""
        self._cursor, self.through_all = list(cursor), through_all
        self._pixels = pixels
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
        """Return the scale, in px/mm: at a zoom of 1 the whole cut fits."""
        width_mm, height_mm = self.extent_mm()
        fitting = min(
            (self.width() - 2 * _SIDE_PX) / width_mm,
            (self.height() - _TOP_PX - _BOTTOM_PX) / height_mm,
        )
        return max(0.05, fitting) * self.viewport.zoom

    def room(self) -> QtCore.QRectF:
        """Return where in the widget there is room for the cut, in px."""
        return QtCore.QRectF(
            _SIDE_PX, _TOP_PX, self.width() - 2 * _SIDE_PX, self.height() - _TOP_PX - _BOTTOM_PX
        )

    def frame(self) -> QtCore.QRectF:
        """Return where the whole cut lies, in px; magnified, it extends beyond the room."""
        width_mm, height_mm = self.extent_mm()
        scale_px_mm = self.scale_px_mm()
        middle = self.room().center()
        shown_mm = self.viewport.middle_mm
        return QtCore.QRectF(
            middle.x() - (width_mm / 2 + shown_mm[self.plane.right]) * scale_px_mm,
            middle.y() - (height_mm / 2 - shown_mm[self.plane.up]) * scale_px_mm,
            width_mm * scale_px_mm,
            height_mm * scale_px_mm,
        )

    def at_mm(self, right_mm: float, up_mm: float) -> QtCore.QPointF:
        """Return the point in px of a place in mm from the image's middle."""
        frame, scale_px_mm = self.frame(), self.scale_px_mm()
        centre = frame.center()
        return QtCore.QPointF(centre.x() + right_mm * scale_px_mm, centre.y() - up_mm * scale_px_mm)

    def mm_at(self, point: QtCore.QPointF) -> dict[int, float]:
        """Return the place in mm, along the two axes of the cut, of a point in px."""
        centre, scale_px_mm = self.frame().center(), self.scale_px_mm()
        return {
            self.plane.right: (point.x() - centre.x()) / scale_px_mm,
            self.plane.up: (centre.y() - point.y()) / scale_px_mm,
        }

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
                self.rect(),
                QtCore.Qt.AlignmentFlag.AlignCenter,
                tr("{name}\nno image yet", name=tr(self.plane.name)),
            )
        else:
            seen = frame.intersected(self.room())
            painter.setClipRect(seen.adjusted(-1, -1, 1, 1))
            self._paint_picture(painter, frame)
            self._paint_marks(painter)
            self._paint_crosshair(painter, frame)
            painter.setClipping(False)
            self._paint_words(painter, seen)
        painter.end()

    def _paint_picture(self, painter: QtGui.QPainter, frame: QtCore.QRectF) -> None:
        painter.setRenderHint(QtGui.QPainter.RenderHint.SmoothPixmapTransform)
        painter.setOpacity(0.3 if self.dimmed else 1.0)
        painter.drawImage(frame, self._picture)
        painter.setOpacity(1.0)
        painter.setPen(QtGui.QColor(theme.LINE))
        painter.drawRect(frame.intersected(self.room()))

    def _paint_marks(self, painter: QtGui.QPainter) -> None:
        """Draw the outlines of regions, each with its name."""
        painter.setRenderHint(QtGui.QPainter.RenderHint.Antialiasing)
        font = theme.font(theme.SMALL_PX, bold=True)
        edge = QtGui.QPen(QtGui.QColor(HALO), 4)
        edge.setJoinStyle(QtCore.Qt.PenJoinStyle.RoundJoin)
        for name, points_mm in self.marks:
            outline, words = QtGui.QPainterPath(), QtGui.QPainterPath()
            outline.addPolygon(QtGui.QPolygonF([self.at_mm(*point) for point in points_mm]))
            outline.closeSubpath()
            corner = outline.boundingRect().topRight()
            words.addText(corner + QtCore.QPointF(4, 10), font, name)
            for path in (outline, words):
                painter.strokePath(path, edge)
            painter.strokePath(outline, QtGui.QPen(QtGui.QColor(MARKS), 1.5))
            painter.fillPath(words, QtGui.QColor(MARKS))

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
        painter.drawText(top, flags.AlignLeft | flags.AlignVCenter, tr(self.plane.name))
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
        self._paint_scale_bar(painter, below, below.width() / 2 - _BAR_WORDS_PX)

    def _ends_shown(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Return what is at the left and right, and at the bottom and top."""
        return self.ends[AXES[self.plane.right]], self.ends[AXES[self.plane.up]]

    @property
    def _known(self) -> bool:
        return self.ends != ends_of_axes(UNKNOWN)

    def name_ends(self, position: PatientPosition) -> None:
        """Label the ends of the axes for the patient's position."""
        ends = ends_of_axes(position)
        if ends != self.ends:
            self.ends = ends
            self._say_what(position)
            self.update()

    def _say_what(self, position: PatientPosition) -> None:
        how = (
            tr("not known here")
            if position == UNKNOWN
            else tr("{position}, as the run was told", position=position)
        )
        self.setToolTip(
            tr(
                "{name} cut in the scanner's frame (the patient's position is {how}).\n"
                "Click or drag: crosshair. Wheel: next cut, with Ctrl: magnify. Right "
                "button, up or\ndown: window. Middle button or Shift: move the image. "
                "Double click: this view alone.",
                name=tr(self.plane.name),
                how=how,
            )
        )

    def _paint_scale_bar(
        self, painter: QtGui.QPainter, below: QtCore.QRectF, most_px: float
    ) -> None:
        most_mm = most_px / self.scale_px_mm()
        length_mm = next((one for one in BARS_MM if one <= most_mm), BARS_MM[-1])
        length = length_mm * self.scale_px_mm()
        y = below.top() + 7
        painter.setPen(QtGui.QPen(QtGui.QColor(theme.DIM), 2))
        painter.drawLine(
            QtCore.QPointF(below.left() + 1, y), QtCore.QPointF(below.left() + length, y)
        )
        painter.setFont(theme.font(10))
        painter.drawText(QtCore.QPointF(below.left() + length + 4, y + 4), f"{length_mm} mm")

    def place_text(self) -> str:
        """Return the cut's position, e.g. ``z = −12 mm``, and how it is magnified."""
        zoom = f" · {self.viewport.zoom:.1f} ×" if self.viewport.zoom > 1 else ""
        if self.through_all:
            return tr("MIP along {value}{zoom}", value=AXES[self.plane.through], zoom=zoom)
        axis = self.plane.through
        place = centre_mm(self._cursor[axis], self._shape[axis], self._voxel_mm[axis])
        return f"{AXES[axis]} = {grouped(place, digits=0)} mm{zoom}"

    def mousePressEvent(self, event: QtGui.QMouseEvent) -> None:
        """Move the crosshair to the click, or begin to drag."""
        self._dragged = event.position()
        if _points(event):
            self._pick(event.position())

    def mouseMoveEvent(self, event: QtGui.QMouseEvent) -> None:
        """Drag the crosshair, the image or its window."""
        place, before = event.position(), self._dragged or event.position()
        self._dragged = place
        if _points(event):
            self._pick(place)
        elif event.buttons() & QtCore.Qt.MouseButton.RightButton:
            self.windowed.emit(WINDOW_STEP ** (place.y() - before.y()))
        else:
            self._drag(place - before)

    def mouseReleaseEvent(self, _event: QtGui.QMouseEvent) -> None:
        """End a drag."""
        self._dragged = None

    def mouseDoubleClickEvent(self, _event: QtGui.QMouseEvent) -> None:
        """Ask for this view alone, or for all again."""
        self.enlarged.emit()

    def wheelEvent(self, event: QtGui.QWheelEvent) -> None:
        """Scroll through the cuts; with Ctrl, magnify."""
        up = event.angleDelta().y() > 0
        if event.modifiers() & QtCore.Qt.KeyboardModifier.ControlModifier:
            self.viewport.magnify(STEP if up else 1 / STEP, self.mm_at(event.position()))
            self.looked.emit()
        else:
            steps = 1 if up else -1
            self._move(self.plane.through, self._cursor[self.plane.through] + steps)
        event.accept()

    def _drag(self, by: QtCore.QPointF) -> None:
        scale_px_mm = self.scale_px_mm()
        self.viewport.shift(self.plane.right, -by.x() / scale_px_mm)
        self.viewport.shift(self.plane.up, by.y() / scale_px_mm)
        self.looked.emit()

    def _pick(self, point: QtCore.QPointF) -> None:
        frame = self.frame()
        across = (point.x() - frame.left()) / frame.width()
        upward = (frame.bottom() - point.y()) / frame.height()
        self._move(self.plane.right, int(across * self._shape[self.plane.right]))
        self._move(self.plane.up, int(upward * self._shape[self.plane.up]))

    def _move(self, axis: int, index: int) -> None:
        if self._picture is not None:
            self.moved.emit(axis, max(0, min(self._shape[axis] - 1, index)))


def _points(event: QtGui.QMouseEvent) -> bool:
    """Whether the left button is down, without Shift."""
    shift = event.modifiers() & QtCore.Qt.KeyboardModifier.ShiftModifier
    return bool(event.buttons() & QtCore.Qt.MouseButton.LeftButton) and not shift
