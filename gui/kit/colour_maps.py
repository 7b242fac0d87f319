"""Colour maps of nuclear medicine as look-up tables for display.

The default is inverted grey: black is hot, as on film.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyqtgraph as pg

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
        "Inverted grey": _packed(_grey(inverted=True)),
        "Grey": _packed(_grey(inverted=False)),
        "Hot metal": _packed(_hot_metal()),
        "Inferno": _packed(_named("inferno")),
        "Viridis": _packed(_named("viridis")),
    }
