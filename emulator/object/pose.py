"""One pose of the object in the scanner: transforms between the two frames."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.physics.photons import DX, DY, DZ, Photon, X, Y, Z
from hw.jit import bare_kernel

Pose = npt.NDArray[np.float64]
"""(12,) f8: rotation R by rows, then translation t in mm: x_scanner = R·x_object + t. Of length 0:
nothing moves."""

STILL: Pose = np.zeros(0)


def make_pose(translation_mm: npt.ArrayLike, rotation_deg: npt.ArrayLike) -> Pose:
    """Return the pose (12,) f8: rotation about the scanner's x, then y, then z axis, then a shift.

    R = R_z·R_y·R_x, each positive by the right-hand rule about the centre of the scanner.
    """
    angle = np.radians(np.asarray(rotation_deg, np.float64))
    (cx, cy, cz), (sx, sy, sz) = np.cos(angle), np.sin(angle)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    rotation = (about_z @ about_y @ about_x).ravel()
    return np.concatenate([rotation, np.asarray(translation_mm, np.float64)])


@bare_kernel
def to_scanner(photon: Photon, pose: Pose) -> None:
    """Transform position and direction from object to scanner frame: R·x + t and R·d."""
    x, y, z = photon[X], photon[Y], photon[Z]
    photon[X] = pose[0] * x + pose[1] * y + pose[2] * z + pose[9]
    photon[Y] = pose[3] * x + pose[4] * y + pose[5] * z + pose[10]
    photon[Z] = pose[6] * x + pose[7] * y + pose[8] * z + pose[11]
    x, y, z = photon[DX], photon[DY], photon[DZ]
    photon[DX] = pose[0] * x + pose[1] * y + pose[2] * z
    photon[DY] = pose[3] * x + pose[4] * y + pose[5] * z
    photon[DZ] = pose[6] * x + pose[7] * y + pose[8] * z


@bare_kernel
def to_object(photon: Photon, pose: Pose) -> None:
    """Transform position and direction from scanner to object frame: Rᵀ·(x − t) and Rᵀ·d."""
    x, y, z = photon[X] - pose[9], photon[Y] - pose[10], photon[Z] - pose[11]
    photon[X] = pose[0] * x + pose[3] * y + pose[6] * z
    photon[Y] = pose[1] * x + pose[4] * y + pose[7] * z
    photon[Z] = pose[2] * x + pose[5] * y + pose[8] * z
    x, y, z = photon[DX], photon[DY], photon[DZ]
    photon[DX] = pose[0] * x + pose[3] * y + pose[6] * z
    photon[DY] = pose[1] * x + pose[4] * y + pose[7] * z
    photon[DZ] = pose[2] * x + pose[5] * y + pose[8] * z
