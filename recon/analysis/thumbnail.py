"""An image as a small picture for lists: what is hottest along y, in true proportions."""

from __future__ import annotations

import math
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt

from recon.analysis.picture import Picture, read_picture
from recon.core.grid import ReconError

SIDE_PX = 48
MOST_VOXELS = 1 << 26
"""Of a file: beyond, reading it takes longer than a list is looked at."""

PERCENTILE = 99.5
Levels = npt.NDArray[np.uint8]


def thumbnail_of(picture: Picture, *, side_px: int = SIDE_PX) -> Levels:
    """Return the coronal maximum intensity projection: rows from the top, x to the right, z up.

    Levels 0 to 255 are 0 to the 99.5th percentile of what is above 0. The longer side has
    ``side_px`` pixels; each takes the maximum of the voxels that it covers, so that nothing small
    and hot is lost.
    """
    flat = picture.values.max(axis=1).T[::-1]
    extent_mm = (flat.shape[0] * picture.voxel_mm[2], flat.shape[1] * picture.voxel_mm[0])
    rows, columns = (max(1, round(side_px * size / max(extent_mm))) for size in extent_mm)
    small = _maxima(_maxima(flat, rows).T, columns).T
    seen = small[small > 0]
    upper = float(np.percentile(seen, PERCENTILE)) if seen.size else 1.0
    return np.ascontiguousarray(np.clip(small * (255.0 / upper), 0, 255).astype(np.uint8))


def _maxima(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return so many rows, each the maximum of those that it covers, or a repeat of one."""
    begins = np.arange(count) * values.shape[0] // count
    ends = np.maximum(begins + 1, (np.arange(1, count + 1) * values.shape[0]) // count)
    return np.stack(
        [values[begin:end].max(axis=0) for begin, end in zip(begins, ends, strict=True)]
    )


def thumbnail_in(path: Path) -> Levels | None:
    """Return the thumbnail of the image in a file, None where there is none to be had."""
    try:
        if math.prod(nib.load(path).shape) > MOST_VOXELS:
            return None
        return thumbnail_of(read_picture(path))
    except (ReconError, OSError, ValueError, EOFError, nib.filebasedimages.ImageFileError):
        return None
