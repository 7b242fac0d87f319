"""Colour maps of nuclear medicine as look-up tables for display.

The default is inverted grey: black is hot, as on film.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg
from pyqtgraph.Qt import QtCore, QtGui, QtWidgets

from gui.kit import theme
from gui.kit.wording import short_unit
from gui.kit.words import mark, tr

LEVELS = 256


def _packed(rgb: npt.NDArray[np.float64]) -> npt.NDArray[np.uint32]:
    channels = np.clip(np.rint(rgb * 255), 0, 255).astype(np.uint32)
    return (0xFF << 24 | channels[:, 0] << 16 | channels[:, 1] << 8 | channels[:, 2]).astype(
        np.uint32
    )


def _grey(*, inverted: bool) -> npt.NDArray[np.float64]:
    ramp = np.linspace(0, 1, LEVELS)
    return np.repeat((1 - ramp if inverted else ramp)[:, None], 3, axis=1)


def _hot_metal() -> npt.NDArray[np.float64]:
    """Red, then green, then blue rise in turn: the DICOM palette HOT_IRON (PS3.6, Annex B)."""
    index = np.arange(LEVELS)
    red, green, blue = index / 127.0, (index - 128) / 127.0, (index - 192) / 63.0
    return np.clip(np.stack([red, green, blue], axis=1), 0, 1)


def _named(name: str) -> npt.NDArray[np.float64]:
    return np.asarray(
        pg.colormap.get(name).getLookupTable(nPts=LEVELS, alpha=False, mode="float"), dtype=float
    )[:, :3]


def colour_tables() -> dict[str, npt.NDArray[np.uint32]]:
    """Return name to table, shape (256,), uint32 0xAARRGGBB; the first is the default."""
    return {
        mark("Inverted grey"): _packed(_grey(inverted=True)),
        mark("Grey"): _packed(_grey(inverted=False)),
        mark("Hot metal"): _packed(_hot_metal()),
        "Inferno": _packed(_named("inferno")),
        "Viridis": _packed(_named("viridis")),
    }


Image = npt.NDArray[np.float32]


def to_levels(values: Image, upper: float) -> npt.NDArray[np.uint8]:
    """Return values as display levels 0..255 of the window 0..``upper``; NaN becomes 0."""
    scaled = np.nan_to_num(values * np.float32(255.0 / upper) if upper > 0 else values * 0)
    return np.clip(scaled, 0, 255).astype(np.uint8)


def mixed(
    pixels: npt.NDArray[np.uint32], beneath: npt.NDArray[np.uint32], share: float
) -> npt.NDArray[np.uint32]:
    """Return two pictures mixed, RGB32: ``share`` (0..1) of the first, the rest of the second."""
    mixture = np.full(pixels.shape, 0xFF << 24, dtype=np.uint32)
    for shift in (16, 8, 0):
        over, under = ((part >> shift & 0xFF).astype(np.float32) for part in (pixels, beneath))
        channel = share * over + (1 - share) * under
        mixture |= np.rint(channel).astype(np.uint32) << np.uint32(shift)
    return mixture


class ColourBar(QtWidgets.QWidget):
    """The window 0..upper as a bar, with its levels and the image's unit."""

    def __init__(self) -> None:
        super().__init__()
        self._labels: tuple[str, str, str] = ("", "", "")
        self._unit = ""
        self._table: npt.NDArray[np.uint32] = np.zeros((256, 1), dtype=np.uint32)
        self.setFixedHeight(45)
        self.setAccessibleName(tr("Colours"))

    def set_scale(
        self, table: npt.NDArray[np.uint32], labels: tuple[str, str, str], unit: str
    ) -> None:
        """Show the table, labelled at 0, half and the upper level."""
        self._table = np.ascontiguousarray(table[None, :])
        self._labels, self._unit = labels, unit
        self.setAccessibleName(
            tr("Colours from 0 to {upper} {unit}", upper=labels[2], unit=short_unit(unit))
        )
        self.setToolTip(tr("Values in {unit}", unit=unit))
        self.update()

    def paintEvent(self, _event: QtGui.QPaintEvent) -> None:
        """Draw the bar and its labels."""
        if not self._unit:
            return
        painter = QtGui.QPainter(self)
        picture = QtGui.QImage(self._table.data, 256, 1, 4 * 256, QtGui.QImage.Format.Format_RGB32)
        bar = QtCore.QRectF(0, 1, self.width() - 1, 12)
        painter.drawImage(bar, picture)
        painter.setPen(QtGui.QColor(theme.FAINT))
        painter.drawRect(bar)
        painter.setPen(QtGui.QColor(theme.DIM))
        painter.setFont(theme.font(theme.SMALL_PX))
        words = QtCore.QRectF(0, 15, self.width(), 16)
        flags = QtCore.Qt.AlignmentFlag
        painter.drawText(words, flags.AlignLeft, self._labels[0])
        painter.drawText(words, flags.AlignHCenter, self._labels[1])
        painter.drawText(words, flags.AlignRight, self._labels[2])
        words.moveTop(29)
        room = int(words.width())
        unit = painter.fontMetrics().elidedText(
            self._unit, QtCore.Qt.TextElideMode.ElideRight, room
        )
        painter.drawText(words, flags.AlignHCenter, unit)
        painter.end()
