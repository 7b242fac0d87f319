"""Event-by-event correction of rigid motion, from a stream of poses.

Each event's line is moved into the object's reference frame by the pose at its time; there neither
activity nor µ moves: lines meet the µ map where they met the matter. Gain, normalisation, live
share and randoms belong to the crystals and stay those of the record. The sensitivity of a point of
the object is the mean over time of that at the places where it was,

    s(x) = c(x) · 1/T ∫ s_0(R(t)·x + τ(t)) dt

with s_0 the scanner's without attenuation, and c the attenuation ratio of the object, taken in the
reference pose: over a full ring it hardly depends on the pose (A. Rahmim et al., IEEE Trans. Med.
Imaging 27 (2008) 1018, whose event-by-event method and time-averaged sensitivity this is).

A pose is a rotation by three angles, about the scanner's x, then y, then z axis, followed by a
translation (docs/emulator/physics.md, Motion): x_scanner = R·x_object + t with R = R_z·R_y·R_x.
All six numbers are interpolated linearly between rows of the stream, and constant before and after.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F4, F8, Records
from hw.jit import bare_kernel, kernel
from recon.core.correction_record import Corrections
from recon.core.csv_tables import read_table
from recon.core.event_location import LocatedEvents
from recon.core.frames import TimeSelection
from recon.core.grid import Image, ImageGrid, ReconError
from recon.lines.model import LineModel


@bare_kernel
def pose_at(rows: F8, row: int, time_s: float, pose: F8) -> None:
    """Fill ``pose`` (12,) with R by rows and t, for a time at or after ``rows[row]``."""
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
def to_reference(points: F4, i: int, pose: F8, reference: F8) -> None:
    """Move point i in place from its pose, Rᵀ·(x − t), to the reference pose."""
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
def move_lines(records: npt.NDArray[np.void], rows: F8, reference: F8, start: F4, end: F4) -> None:
    """Move the records' lines, in place, from the scanner's frame into the reference pose's.

    Parameters
    ----------
    records : (n,) ``COINCIDENCE``
    rows : (poses, columns), the stream by time in s, see ``pose_at``
    reference : (12,), rotation by rows and shift in mm
    start, end : (n, 3) f4, mm, ends of the lines; changed in place
    """
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


COLUMNS = ("t_s", "x_mm", "y_mm", "z_mm", "rx_deg", "ry_deg", "rz_deg")
POSES_SAMPLED = 48
FARTHEST_MM, MOST_DEG = 10_000.0, 3600.0
GAP_STEPS = 10.0
_SAME_MM, _SAME_DEG = 0.05, 0.05
"""Poses that differ by less are one for the sensitivity, which changes over centimetres."""

NO_MOVE: F8 = np.array([1.0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0])


POSES_MISSING = 0.01
"""Share of a run's time without poses beyond which the image says so."""


class MotionError(ReconError):
    """A pose stream cannot be used; the message gives file, line and what is wrong."""


@dataclass(frozen=True)
class PoseStream:
    """Poses of the object at times since the run's start.

    rows : (n, 7) f8, columns as in ``COLUMNS``, in order of time; two rows at one time are a step
    reference : (12,) f8, R by rows and t: the pose in which the image is made
    """

    rows: F8
    reference: F8 = field(default_factory=lambda: NO_MOVE)

    def __post_init__(self) -> None:
        if self.rows.ndim != 2 or self.rows.shape[1] != len(COLUMNS) or not len(self.rows):
            raise MotionError(f"poses of shape {self.rows.shape}: rows of {', '.join(COLUMNS)}")
        if not np.isfinite(self.rows).all():
            raise MotionError("poses: some numbers are not finite")
        if (np.diff(self.rows[:, 0]) < 0).any():
            raise MotionError("poses: their times must not decrease")
        farthest_mm, most_deg = np.abs(self.rows[:, 1:4]).max(), np.abs(self.rows[:, 4:]).max()
        if farthest_mm > FARTHEST_MM or most_deg > MOST_DEG:
            raise MotionError(
                f"poses reach {farthest_mm:g} mm and {most_deg:g}°: at most {FARTHEST_MM:g} mm and "
                f"{MOST_DEG:g}°; are the columns in mm and degrees?"
            )

    @classmethod
    def load(cls, path: Path, *, reference_s: float | None = None) -> PoseStream:
        """Return the stream of a CSV file with the columns ``COLUMNS``.

        reference_s : make the image in the pose at this time; None: in the all-zero pose
        """
        stream = cls(read_table(path, COLUMNS))
        if reference_s is None:
            return stream
        if not math.isfinite(reference_s):
            raise MotionError(f"the poses' reference time is {reference_s} s: must be finite")
        return cls(stream.rows, stream.pose(reference_s))

    def held_s(self, duration_s: float) -> float:
        """Return how much of a run (s) lies outside the stream, where the nearest pose is used."""
        first, last = np.clip(self.rows[[0, -1], 0], 0.0, duration_s)
        return float(duration_s - (last - first))

    def gap_s(self) -> float:
        """Return the longest gap (s), far beyond the usual step, in which the object moved.

        0 if there is none. Poses within gaps are interpolated linearly.
        """
        step_s, moved = np.diff(self.rows[:, 0]), np.abs(np.diff(self.rows[:, 1:], axis=0))
        if not (step_s > 0).any():
            return 0.0
        usual_s = float(np.median(step_s[step_s > 0]))
        size = np.array([_SAME_MM] * 3 + [_SAME_DEG] * 3)
        gaps_s = step_s[(moved > size).any(axis=1) & (step_s > GAP_STEPS * usual_s)]
        return float(gaps_s.max(initial=0.0))

    def pose(self, time_s: float) -> F8:
        """Return R by rows and t at a time, (12,)."""
        found = np.empty(12)
        row = int(np.searchsorted(self.rows[:, 0], time_s, side="right")) - 1
        pose_at(self.rows, row, time_s, found)
        return found

    def move(self, records: Records, located: LocatedEvents) -> None:
        """Move the records' lines, in place, into the reference pose."""
        move_lines(
            np.require(records, requirements=["C", "W"]),
            self.rows,
            self.reference,
            located.lors.start,
            located.lors.end,
        )

    def sampled(self, selection: TimeSelection) -> tuple[F8, F8]:
        """Return the poses during a selection (n, 12), and the share of its time in each (n,)."""
        length = np.diff(selection.intervals_s, axis=1)[:, 0]
        total = float(length.sum())
        at = (np.arange(POSES_SAMPLED) + 0.5) / POSES_SAMPLED * total
        before = np.concatenate([[0.0], np.cumsum(length)])
        interval = (np.searchsorted(before, at, side="right") - 1).clip(0, len(length) - 1)
        times = selection.intervals_s[interval, 0] + at - before[interval]
        six = np.stack([np.interp(times, self.rows[:, 0], self.rows[:, k]) for k in range(1, 7)], 1)
        size = np.array([_SAME_MM] * 3 + [_SAME_DEG] * 3)
        _, first, count = np.unique(
            np.rint(six / size), axis=0, return_index=True, return_counts=True
        )
        poses = np.stack([self.pose(float(times[one])) for one in first])
        return poses, count / count.sum()

    @property
    def at_zero(self) -> bool:
        """Whether the image is made in the pose of all zeros."""
        return bool(np.allclose(self.reference, NO_MOVE, atol=1e-9))

    def from_zero(self, image: Image, grid: ImageGrid) -> Image:
        """Return an image of the object in the pose of all zeros as it is in the reference pose."""
        moved = moved_image(image, grid, _inverse(self.reference))
        return np.ascontiguousarray(moved, dtype=np.float32)

    def mean_over(self, image: Image, grid: ImageGrid, selection: TimeSelection) -> Image:
        """Return a scanner image averaged over the object's poses during a selection."""
        total = np.zeros(grid.shape)
        back = _inverse(self.reference)
        for pose, share in zip(*self.sampled(selection), strict=True):
            total += share * moved_image(image, grid, _product(pose, back))
        return total.astype(np.float32)


@dataclass(frozen=True)
class MovingLineModel(LineModel):
    """A line model for a moving object: lines are located in the reference pose."""

    poses: PoseStream = field(default_factory=lambda: PoseStream(np.zeros((1, 7))))

    def locate(self, records: Records) -> LocatedEvents:
        """Return where the records' lines run in the reference pose, and their gains."""
        located = super().locate(records)
        self.poses.move(records, located)
        return located


def moved_image(image: Image, grid: ImageGrid, pose: F8) -> npt.NDArray[np.float64]:
    """Return image(R·x + t) for every voxel centre x (trilinear, its edge value outside)."""
    size = np.array(grid.voxel_mm)
    rotation, shift = pose[:9].reshape(3, 3), pose[9:]
    matrix = rotation * size[None, :] / size[:, None]
    offset = (rotation @ grid.origin_mm + shift - grid.origin_mm) / size
    return np.asarray(ndimage.affine_transform(image, matrix, offset, order=1, mode="nearest"))


def _inverse(pose: F8) -> F8:
    rotation = pose[:9].reshape(3, 3).T
    return np.concatenate([rotation.ravel(), -rotation @ pose[9:]])


def _product(first: F8, second: F8) -> F8:
    """Return the pose that moves by ``second``, then by ``first``."""
    one, two = first[:9].reshape(3, 3), second[:9].reshape(3, 3)
    return np.concatenate([(one @ two).ravel(), one @ second[9:] + first[9:]])


def motion_notes(poses: PoseStream | None, duration_s: float, done: Corrections) -> list[str]:
    """Record motion, and say where poses are missing."""
    if poses is None:
        done.leave("motion", "no poses given")
        return []
    how = "each event's line moved into the reference pose"
    done.apply("motion", how, poses=len(poses.rows))
    notes = []
    held_s, gap_s = poses.held_s(duration_s), poses.gap_s()
    if held_s > POSES_MISSING * duration_s:
        notes.append(
            f"no pose is known for {held_s:.6g} s of {duration_s:.6g} s: the nearest one was taken"
        )
    if gap_s > 0:
        notes.append(
            f"the poses have a gap of {gap_s:.6g} s in which the object moved: a straight line was "
            "taken"
        )
    return notes
