"""The field of view of an image, and the larger grid on which it is reconstructed.

Activity outside an image's grid is measured all the same: an image reconstructed on a small grid
alone piles it up in its outer voxels. So the iterations use a grid of the same voxels that is
centred on the scanner and covers at least the preset's field, and the image is cut out of it. No
voxel is interpolated: the requested centre is rounded to half a voxel.
"""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.scanner.description import Scanner
from recon.core.grid import Image, ImageGrid, ReconError

Triple = tuple[float, float, float]

VOXEL_BOUNDS_MM, FIELD_BOUNDS_MM = (0.1, 50.0), (0.1, 2000.0)
MOST_VOXELS = 100_000_000
"""Of the grid of the iterations: 4 private images of 4 bytes each are 1.6 GB."""


class FieldOfViewError(ReconError):
    """A field of view cannot be reconstructed; the message gives it and the bound."""


@dataclass(frozen=True)
class FieldOfView:
    """The image's grid, and the centred grid of the iterations that it is cut out of."""

    image: ImageGrid
    working: ImageGrid

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """Where the image lies in the working grid."""
        away = (self.image.origin_mm - self.working.origin_mm) / np.array(self.working.voxel_mm)
        first = [round(float(step)) for step in away]
        x, y, z = (slice(a, a + n) for a, n in zip(first, self.image.shape, strict=True))
        return x, y, z

    def cut(self, image: Image) -> Image:
        """Return the part of an image on the working grid that is the field of view."""
        self.working.check(image)
        return np.ascontiguousarray(image[self.slices])

    def outside(self) -> npt.NDArray[np.bool_]:
        """Return the voxels of the working grid that are not in the image."""
        mask = np.ones(self.working.shape, dtype=np.bool_)
        mask[self.slices] = False
        return mask


def field_of_view(
    scanner: Scanner,
    *,
    voxel_mm: tuple[float, ...] = (),
    fov_mm: tuple[float, ...] = (),
    centre_mm: tuple[float, ...] = (),
    over_mm: float = 0.0,
) -> FieldOfView:
    """Return the requested field of view; what is not given is the preset's.

    Parameters
    ----------
    voxel_mm, fov_mm : one number for all axes, or three
    centre_mm : three numbers, in the scanner's frame; rounded to half a voxel
    over_mm : how far the iterations' grid reaches beyond the preset's field on each side, at most
        to the crystals

    Raises
    ------
    FieldOfViewError
        for sizes out of bounds, or a field that the scanner does not see.
    """
    own = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
    voxel = _three(voxel_mm, own.voxel_mm, "voxel_mm", VOXEL_BOUNDS_MM)
    whole = _field_mm(own)
    field = _three(fov_mm, whole, "fov_mm", FIELD_BOUNDS_MM)
    about = centre_mm or (0.0, 0.0, 0.0)
    if len(about) != 3 or not all(map(math.isfinite, about)):
        raise FieldOfViewError(f"centre_mm = {centre_mm}: needs three places x, y, z in mm")
    counts = [_steps(f, v, up=not fov_mm) for f, v in zip(field, voxel, strict=True)]
    places = [_rounded(c, v / 2) for c, v in zip(about, voxel, strict=True)]
    image = _grid(counts, voxel, places)
    return FieldOfView(image, _working(scanner, image, whole, over_mm))


def _working(scanner: Scanner, image: ImageGrid, whole: Triple, over_mm: float) -> ImageGrid:
    """Return the centred grid of the image's voxels that covers the image and the preset's field,
    and ``over_mm`` more as far as crystals see."""
    seen = (scanner.bore_mm, scanner.bore_mm, scanner.axial_mm / 2)
    reach = []
    for k in range(3):
        least = whole[k] / 2
        low = abs(image.centre_mm[k]) - _field_mm(image)[k] / 2
        if low >= max(least, seen[k]):
            raise FieldOfViewError(
                f"a field of view of {image.shape} voxels of {image.voxel_mm} mm around "
                f"{image.centre_mm} mm lies outside the scanner, which sees "
                f"{2 * max(least, seen[k]):g} mm along {'xyz'[k]}"
            )
        wider = max(least, min(least + over_mm, seen[k]))
        reach.append(max(wider, abs(image.centre_mm[k]) + _field_mm(image)[k] / 2))
    across = max(reach[:2])  # activity is looked for in the cylinder that fits into the grid
    counts = []
    for k, half in enumerate((across, across, reach[2])):
        size, place = image.voxel_mm[k], image.centre_mm[k]
        count = _steps(2 * half, size, up=True)
        shifted = round(2 * place / size) % 2  # by half a voxel
        counts.append(count + (count + image.shape[k] + shifted) % 2)
    return _grid(counts, image.voxel_mm, [0.0, 0.0, 0.0])


def _grid(counts: list[int], voxel_mm: Triple, places: list[float]) -> ImageGrid:
    if max(counts) > 1024 or math.prod(counts) > MOST_VOXELS:
        raise FieldOfViewError(
            f"the field of view and its surroundings would have {counts[0]} × {counts[1]} × "
            f"{counts[2]} voxels of {voxel_mm} mm: at most 1024 along an axis and "
            f"{MOST_VOXELS:.0e} in all; choose larger voxels"
        )
    x, y, z = counts
    return ImageGrid((x, y, z), voxel_mm, (places[0], places[1], places[2]))


def _field_mm(grid: ImageGrid) -> Triple:
    x, y, z = (n * size for n, size in zip(grid.shape, grid.voxel_mm, strict=True))
    return x, y, z


def _steps(length_mm: float, size_mm: float, *, up: bool) -> int:
    count = math.ceil(length_mm / size_mm - 1e-6) if up else round(length_mm / size_mm)
    return max(count, 1)


def _rounded(place_mm: float, step_mm: float) -> float:
    return round(place_mm / step_mm) * step_mm


def _three(
    given: tuple[float, ...], default: Triple, what: str, bounds: tuple[float, float]
) -> Triple:
    if len(given) not in (0, 1, 3) or not all(bounds[0] <= one <= bounds[1] for one in given):
        raise FieldOfViewError(
            f"{what} = {', '.join(f'{one:g}' for one in given)}: needs one size or three, in "
            f"{bounds[0]:g}..{bounds[1]:g} mm"
        )
    x, y, z = (given * 3 if len(given) == 1 else given) or default
    return x, y, z


def sizes_mm(text: str) -> tuple[float, ...]:
    """Return ``2`` or ``2,2,4`` as numbers."""
    return _numbers(text, (1, 3), "needs one number in mm, or three such as 2,2,4")


def place_mm(text: str) -> tuple[float, ...]:
    """Return ``0,30,-10`` as numbers."""
    return _numbers(text, (3,), "needs a place x,y,z in mm, such as 0,30,0")


def _numbers(text: str, counts: tuple[int, ...], words: str) -> tuple[float, ...]:
    try:
        found = tuple(float(word) for word in text.split(","))
    except ValueError:
        found = ()
    if len(found) not in counts or not all(map(math.isfinite, found)):
        raise ArgumentTypeError(f"{text!r} {words}")
    return found
