"""Lines of response moved from the scanner's frame into the object's, each by the pose of its time.

A pose is a translation and three angles, turned about the scanner's x, then y, then z axis, then
moved (docs/physics.md, Motion): x_scanner = R·x_object + t with R = R_z·R_y·R_x. Between rows of
the stream all six numbers are linear, before and after they are held.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel, kernel

F4 = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


@bare_kernel
def pose_at(rows: Floats, row: int, time_s: float, pose: Floats) -> None:
    """Fill ``pose`` (12,) with R by rows and t, at a time at or after ``rows[row]``."""
    share = 0.0
    after = row
    if 0 <= row < len(rows) - 1:
        after = row + 1
        share = (time_s - rows[row, 0]) / (rows[after, 0] - rows[row, 0])
    row = max(row, 0)
    after = max(after, 0)
    for k in range(3):
        pose[9 + k] = rows[row, 1 + k] + share * (rows[after, 1 + k] - rows[row, 1 + k])
    x = math.radians(rows[row, 4] + share * (rows[after, 4] - rows[row, 4]))
    y = math.radians(rows[row, 5] + share * (rows[after, 5] - rows[row, 5]))
    z = math.radians(rows[row, 6] + share * (rows[after, 6] - rows[row, 6]))
    cx, sx, cy, sy = math.cos(x), math.sin(x), math.cos(y), math.sin(y)
    cz, sz = math.cos(z), math.sin(z)
    pose[0], pose[1], pose[2] = cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx
    pose[3], pose[4], pose[5] = sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx
    pose[6], pose[7], pose[8] = -sy, cy * sx, cy * cx


@bare_kernel
def to_reference(points: F4, i: int, pose: Floats, reference: Floats) -> None:
    """Move point i in place: out of its pose, Rᵀ·(x − t), and into the reference pose."""
    x = points[i, 0] - pose[9]
    y = points[i, 1] - pose[10]
    z = points[i, 2] - pose[11]
    u = pose[0] * x + pose[3] * y + pose[6] * z
    v = pose[1] * x + pose[4] * y + pose[7] * z
    w = pose[2] * x + pose[5] * y + pose[8] * z
    for k in range(3):
        points[i, k] = (
            reference[3 * k] * u
            + reference[3 * k + 1] * v
            + reference[3 * k + 2] * w
            + reference[9 + k]
        )


@kernel
def move_lines(
    records: npt.NDArray[np.void], rows: Floats, reference: Floats, start: F4, end: F4
) -> None:
    """Move the records' lines, in place, from the scanner's frame into the reference pose's."""
    pose = np.empty(12)
    row = -1
    last = len(rows) - 1
    for i in range(len(records)):
        time_s = records[i].time_ps * 1e-12
        while row >= 0 and time_s < rows[row, 0]:
            row -= 1
        while row < last and time_s >= rows[row + 1, 0]:
            row += 1
        pose_at(rows, row, time_s, pose)
        to_reference(start, i, pose, reference)
        to_reference(end, i, pose, reference)
