"""The corners of crystals."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry


def crystal_corners_mm(
    scanner: Scanner, geometry: Geometry, crystal: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """Return the corners of crystals, shape (k, 8, 3): 4 of the entrance face, then 4 of the back.

    Both faces run counter-clockwise seen against w (from outside the ring), from (−u, −v). The size
    is the crystal's pitch (with reflectors), not its bare face.
    """
    crystal = np.atleast_1d(np.asarray(crystal))
    block = scanner.module
    u, v = block.pitch_u_mm / 2, block.pitch_v_mm / 2
    face = np.array([[-u, -v], [u, -v], [u, v], [-u, v]])
    local = np.concatenate([np.c_[face, np.zeros(4)], np.c_[face, np.full(4, block.thickness_mm)]])
    axes = geometry.module_axes[geometry.crystal_module[crystal]]
    corners: npt.NDArray[np.float64] = geometry.crystal_front_mm[crystal][:, None, :] + local @ axes
    return corners
