"""Uniformity of a gamma camera's flood: NEMA NU 1-2018, 2.4 (intrinsic; here with the collimator).

The recipe, for a picture whose pixels are 6.4 mm ± 30 % (crystals are joined to come near it):

1. UFOV: the central 95 % of the width and of the height; CFOV: the central 75 % of the UFOV. A
   pixel belongs to a field if at least half of its area does.
2. Pixels of the UFOV with less than 75 % of the mean count of the CFOV become 0, and so do those
   beside them.
3. The picture is smoothed once with nine points, weights 1 2 1 / 2 4 2 / 1 2 1; pixels that are 0
   or outside have the weight 0, and the sum is divided by the weights used.
4. Integral uniformity = 100 · (max − min)/(max + min) of the pixels of a field that are not 0;
   differential uniformity = the greatest 100 · (high − low)/(high + low) of any five pixels in a
   row or column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve

from hw.arrays import F8, Mask

PIXEL_MM, PIXEL_TOLERANCE = 6.4, 0.30
UFOV, CFOV_OF_UFOV = 0.95, 0.75
LEAST_OF_MEAN = 0.75
IN_A_ROW = 5
NINE_POINTS = np.array([[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]])
_HALF = 0.5 - 1e-9


@dataclass(frozen=True)
class Uniformity:
    """Integral and differential uniformity of UFOV and CFOV, in %.

    smoothed : (rows, columns) counts after step 3, NaN outside the UFOV
    centre_counts : in the central pixel before smoothing
    pixel_mm : width and height of a pixel; within the standard's bounds or not: ``standard_pixels``
    """

    integral_ufov: float
    integral_cfov: float
    differential_ufov: float
    differential_cfov: float
    smoothed: F8
    centre_counts: float
    pixel_mm: tuple[float, float]

    @property
    def standard_pixels(self) -> bool:
        """Whether the pixels are as large as the standard wants them."""
        return all(abs(one / PIXEL_MM - 1) <= PIXEL_TOLERANCE for one in self.pixel_mm)


def flood_uniformity(counts: F8, pitch_mm: tuple[float, float]) -> Uniformity | None:
    """Return the uniformity of a picture; None where no pixel of the CFOV is left.

    Parameters
    ----------
    counts : (n_v, n_u) counts of each crystal
    pitch_mm : of the crystals, along u and v
    """
    joined_u, joined_v = (
        joined_crystals(n, pitch) for n, pitch in zip(counts.shape[::-1], pitch_mm, strict=True)
    )
    picture = _joined(counts.astype(np.float64), joined_v, joined_u)
    rows, columns = picture.shape
    ufov = np.outer(_central(rows, UFOV), _central(columns, UFOV))
    cfov = np.outer(_central(rows, UFOV * CFOV_OF_UFOV), _central(columns, UFOV * CFOV_OF_UFOV))
    used = ufov & ~beside(ufov & (picture < LEAST_OF_MEAN * picture[cfov].mean()))
    smoothed = nine_point_smoothed(picture, used)
    if not (used & cfov).any() or not picture[cfov].any():
        return None
    return Uniformity(
        integral(smoothed[used]),
        integral(smoothed[used & cfov]),
        differential(smoothed, used),
        differential(smoothed, used & cfov),
        np.where(used, smoothed, np.nan),
        _centre(picture),
        (joined_u * pitch_mm[0], joined_v * pitch_mm[1]),
    )


def joined_crystals(crystals: int, pitch_mm: float) -> int:
    """Return how many crystals to join, of those numbers that divide all of them: the one whose
    pixel comes nearest to 6.4 mm."""
    whole = [number for number in range(1, crystals + 1) if crystals % number == 0]
    return min(whole, key=lambda number: abs(number * pitch_mm - PIXEL_MM))


def _joined(counts: F8, rows: int, columns: int) -> F8:
    shape = counts.shape[0] // rows, rows, counts.shape[1] // columns, columns
    return np.asarray(counts.reshape(shape).sum(axis=(1, 3)))


def _central(pixels: int, share: float) -> Mask:
    """Return which pixels lie by half or more within the central share of their row, (pixels,)."""
    edge = np.arange(pixels + 1) - pixels / 2
    inside = np.clip(edge, -share * pixels / 2, share * pixels / 2)
    return np.asarray(np.diff(inside) >= _HALF)


def beside(pixels: Mask) -> Mask:
    """Return the pixels and those directly beside them, above and below."""
    found = pixels.copy()
    found[1:] |= pixels[:-1]
    found[:-1] |= pixels[1:]
    found[:, 1:] |= pixels[:, :-1]
    found[:, :-1] |= pixels[:, 1:]
    return found


def nine_point_smoothed(picture: F8, used: Mask) -> F8:
    """Return the picture smoothed once over the pixels that are used; 0 elsewhere."""
    total = convolve(np.where(used, picture, 0.0), NINE_POINTS, mode="constant")
    weight = convolve(used.astype(np.float64), NINE_POINTS, mode="constant")
    return np.where(used, total / np.maximum(weight, 1.0), 0.0)


def integral(values: F8) -> float:
    """Return 100 · (max − min)/(max + min) of values that are not all 0."""
    high, low = float(values.max()), float(values.min())
    return 100 * (high - low) / (high + low)


def differential(picture: F8, used: Mask) -> float:
    """Return the greatest integral uniformity of five used pixels in a row or column; 0 if a field
    has no five."""
    worst = 0.0
    for values, known in ((picture, used), (picture.T, used.T)):
        for first in range(values.shape[1] - IN_A_ROW + 1):
            five = slice(first, first + IN_A_ROW)
            whole = known[:, five].all(axis=1)
            if whole.any():
                high, low = values[whole, five].max(axis=1), values[whole, five].min(axis=1)
                worst = max(worst, float((100 * (high - low) / (high + low)).max()))
    return worst


def _centre(picture: F8) -> float:
    """Return the counts of the central pixel; of an even number, the mean of the middle ones."""
    rows, columns = picture.shape
    middle = picture[(rows - 1) // 2 : rows // 2 + 1, (columns - 1) // 2 : columns // 2 + 1]
    return float(middle.mean())
