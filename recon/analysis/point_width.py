"""The width of a point source by the method of NEMA NU 2.

NEMA Standards Publication NU 2-2018, section 3.4: the response function along an axis is the sum of
all profiles parallel to it within two FWHM of the source in both directions across. Its maximum is
that of a parabola through the highest value and its two neighbours; FWHM and FWTM are the distances
between the linearly interpolated points where the function falls to a half and a tenth of it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from recon.analysis.picture import AnalysisError, Picture, Triple

_PASSES = 5
_SEARCH = 2  # voxels by which the maximum of summed profiles may lie beside the image's


@dataclass(frozen=True)
class PointWidths:
    """Position of a point source in the image, and its widths along x, y and z, all mm."""

    place_mm: Triple
    fwhm_mm: Triple
    fwtm_mm: Triple


def point_widths(picture: Picture, *, near_mm: Triple | None = None) -> PointWidths:
    """Return the widths of the point source at the image's maximum, or near a given point.

    near_mm : look for the maximum within 10 mm of this point

    Raises
    ------
    AnalysisError
        if there is no source, or it lies too near the image's edge.
    """
    peak = _peak(picture, near_mm)
    fwhm = [2.0 * size for size in picture.voxel_mm]
    for _ in range(_PASSES):  # the profiles summed depend on the widths that they give
        fwhm = [_width(picture, peak, axis, fwhm, part=0.5)[0] for axis in range(3)]
    tenth = [_width(picture, peak, axis, fwhm, part=0.1)[0] for axis in range(3)]
    middle = [_width(picture, peak, axis, fwhm, part=0.5)[1] for axis in range(3)]
    return PointWidths(
        (middle[0], middle[1], middle[2]),
        (fwhm[0], fwhm[1], fwhm[2]),
        (tenth[0], tenth[1], tenth[2]),
    )


def _peak(picture: Picture, near_mm: Triple | None) -> tuple[int, int, int]:
    values = picture.values
    if near_mm is not None:
        x, y, z = np.ix_(*(picture.axis_mm(axis) for axis in range(3)))
        away = (x - near_mm[0]) ** 2 + (y - near_mm[1]) ** 2 + (z - near_mm[2]) ** 2
        values = np.where(away <= 10.0**2, values, -np.inf)
    i, j, k = (int(n) for n in np.unravel_index(int(values.argmax()), values.shape))
    if not picture.values[i, j, k] > 0 or not np.isfinite(values[i, j, k]):
        place = "" if near_mm is None else f" within 10 mm of {near_mm}"
        raise AnalysisError(f"{picture.name}: there is no point source{place}")
    return i, j, k


def _width(
    picture: Picture, peak: tuple[int, int, int], axis: int, fwhm: list[float], *, part: float
) -> tuple[float, float]:
    """Return width and midpoint (mm) of the response along an axis at ``part`` of its maximum."""
    response = response_function(picture, peak, axis, fwhm)
    first = max(0, peak[axis] - _SEARCH)  # another source may lie on the same profiles
    top = first + int(response[first : peak[axis] + _SEARCH + 1].argmax())
    if not 0 < top < len(response) - 1:
        raise _too_near(picture, axis)
    found = peak_width(response, top, part=part)
    if found is None:
        raise _too_near(picture, axis)
    width, middle = found
    step = picture.voxel_mm[axis]
    return width * step, float(picture.origin_mm[axis] + middle * step)


def _too_near(picture: Picture, axis: int) -> AnalysisError:
    return AnalysisError(
        f"{picture.name}: along {'xyz'[axis]} the source does not fall off within the image; it "
        "needs a larger image, or no background"
    )


def response_function(
    picture: Picture, peak: tuple[int, int, int], axis: int, fwhm_mm: list[float]
) -> F8:
    """Return the sum of the profiles along ``axis`` that pass within two FWHM of ``peak``."""
    block: list[slice] = []
    for k in range(3):
        reach = round(2.0 * fwhm_mm[k] / picture.voxel_mm[k])
        near = slice(max(0, peak[k] - reach), peak[k] + reach + 1)
        block.append(slice(None) if k == axis else near)
    across = tuple(k for k in range(3) if k != axis)
    return np.asarray(picture.values[tuple(block)].sum(axis=across))


def peak_width(response: F8, top: int, *, part: float) -> tuple[float, float] | None:
    """Return width and midpoint (fractional indices) at ``part`` of the maximum of a peak.

    top : index of the highest value, not at an end; None if a side does not fall so far
    """
    level = part * parabola_maximum(response[top - 1 : top + 2])
    low = crossing(response[: top + 1][::-1], level)
    high = crossing(response[top:], level)
    return None if low is None or high is None else (low + high, top + (high - low) / 2)


def parabola_maximum(three: F8) -> float:
    """Return the maximum of the parabola through three values, the middle one highest."""
    left, top, right = (float(value) for value in three)
    bend = left - 2 * top + right
    return top if bend >= 0 else top - (right - left) ** 2 / (8 * bend)


def crossing(falling: F8, level: float) -> float | None:
    """Return where values, highest first, fall to ``level`` (fractional index); None if nowhere."""
    below = np.flatnonzero(falling < level)
    if not len(below) or below[0] == 0:
        return None
    i = int(below[0])
    return i - 1 + float((falling[i - 1] - level) / (falling[i - 1] - falling[i]))
