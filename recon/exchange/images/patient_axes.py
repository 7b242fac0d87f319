"""Our images in the patient axes of DICOM and STIR, LPS: x runs left, y to the back, z to the head.

The scanner's frame is taken as RAS (:mod:`recon.exchange.images.nifti`: head first, supine), so x
and y change sign and direction.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from recon.core.grid import ImageGrid

NOT_FOR_DIAGNOSIS = "RESEARCH ONLY. Not a medical device; not for diagnosis."


def lps_planes(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return [z, y, x] of an image [x, y, z]: planes from the lowest z up, rows to the back,
    columns to the left; [k, j, i] is voxel [nx − 1 − i, ny − 1 − j, k]."""
    return np.ascontiguousarray(volume[::-1, ::-1, :].transpose(2, 1, 0))


def first_voxel_mm(grid: ImageGrid, plane: int = 0) -> tuple[float, float, float]:
    """Return the LPS centre of the first voxel of a plane: (−x_last, −y_last, z)."""
    nx, ny, _ = grid.shape
    x, y, z = (float(value) for value in grid.origin_mm)
    size_x, size_y, size_z = grid.voxel_mm
    return -(x + (nx - 1) * size_x), -(y + (ny - 1) * size_y), z + plane * size_z
