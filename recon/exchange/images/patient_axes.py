"""Our images in the patient axes of DICOM and STIR, LPS: x runs left, y to the back, z to the head.

Planes are axial in the scanner's frame: columns run along −x, rows along −y, planes up z. For a
patient head first and supine these are left, back and head; for other positions the same voxels
have other directions (:func:`directions`), and nothing is resampled. An unknown position is taken
as head first, supine.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.messages.patient_position import AXES, PatientPosition
from recon.core.grid import ImageGrid

NOT_FOR_DIAGNOSIS = "RESEARCH ONLY. Not a medical device; not for diagnosis."

_LPS = {"L": (1, 0, 0), "P": (0, 1, 0), "S": (0, 0, 1), "R": (-1, 0, 0), "A": (0, -1, 0),
        "I": (0, 0, -1)}  # fmt: skip

_HOW = {
    "S": ("40199007", "supine"),
    "P": ("1240000", "prone"),
    "DR": ("102535000", "right lateral decubitus"),
    "DL": ("102536004", "left lateral decubitus"),
}
_FIRST = {"H": ("102540008", "headfirst"), "F": ("102541007", "feet-first")}
_RECUMBENT = ("102538003", "recumbent")

Code = tuple[str, str]


def directions(position: PatientPosition) -> F8:
    """Return (3, 3): columns are the LPS directions of −x, −y and z of the scanner's frame."""
    return np.array([_LPS[letter] for letter in AXES[position]], dtype=np.float64).T


def patient_angle_deg(ours_deg: float, position: PatientPosition) -> float:
    """Return DICOM's angle about the patient of a direction in the scanner's x-y plane."""
    angle = math.radians(ours_deg)
    left, back, _ = directions(position) @ np.array([-math.cos(angle), -math.sin(angle), 0.0])
    return round(math.degrees(math.atan2(left, back)), 6) % 360.0


def orientation_codes(position: PatientPosition) -> tuple[Code, Code, Code] | None:
    """Return SNOMED CT codes and meanings of orientation, its modifier, and relation to the gantry
    (PS3.16 CID 19, 20, 21); None if not known."""
    if position == "unknown":
        return None
    return _RECUMBENT, _HOW[position[2:]], _FIRST[position[0]]


def lps_planes(volume: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return [z, y, x] of an image [x, y, z]: planes up z, rows along −y, columns along −x; [k, j,
    i] is voxel [nx − 1 − i, ny − 1 − j, k]."""
    return np.ascontiguousarray(volume[::-1, ::-1, :].transpose(2, 1, 0))


def headward(position: PatientPosition) -> bool:
    """Return whether +z points to the patient's head."""
    return bool(directions(position)[2, 2] > 0)


def headward_planes(
    volume: npt.NDArray[np.float32], position: PatientPosition
) -> npt.NDArray[np.float32]:
    """Return :func:`lps_planes`, in order towards the head whoever lies how: feet first, planes and
    columns are the other way round."""
    planes = lps_planes(volume)
    return planes if headward(position) else np.ascontiguousarray(planes[::-1, :, ::-1])


def headward_place(
    grid: ImageGrid, position: PatientPosition
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return orientation (6) and LPS centre of the first voxel of :func:`headward_planes`."""
    along = directions(position)[:, :2].T
    if headward(position):
        return tuple(along.reshape(-1)), first_voxel_mm(grid, 0, position)
    corner = np.array(first_voxel_mm(grid, grid.shape[2] - 1, position))
    corner += along[0] * (grid.shape[0] - 1) * grid.voxel_mm[0]
    along = np.array([-along[0], along[1]]).reshape(-1)
    return tuple(float(v) + 0.0 for v in along), tuple(float(v) + 0.0 for v in corner)  # no -0


def first_voxel_mm(
    grid: ImageGrid, plane: int = 0, position: PatientPosition = "HFS"
) -> tuple[float, float, float]:
    """Return the LPS centre of the first voxel of a plane; for HFS (−x_last, −y_last, z)."""
    nx, ny, _ = grid.shape
    x, y, z = (float(value) for value in grid.origin_mm)
    size_x, size_y, size_z = grid.voxel_mm
    ours = -(x + (nx - 1) * size_x), -(y + (ny - 1) * size_y), z + plane * size_z
    first, second, third = (float(value) + 0.0 for value in directions(position) @ np.array(ours))
    return first, second, third
