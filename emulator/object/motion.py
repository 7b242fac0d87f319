"""Rigid motion of the object: its position and orientation as a function of time.

A pose maps the object's frame, in which the phantom's grid lies, to the scanner's: x' = R·x + t.
Photons are made and tracked in the object's frame; ``to_scanner`` takes them to the modules and
``to_object`` back. Activity and matter move together. A slice of a run has a single pose, that at
its middle: within one period (5.24 ms), breathing of 10 mm moves the object by less than 0.1 mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy  # its submodule spatial is imported where it is first used

from emulator.config import EmulationError
from emulator.object.phantom import Phantom
from emulator.object.pose import STILL, Pose, make_pose, to_object, to_scanner
from emulator.object.settings_text import EXAMPLES_OF_MOTION, read_numbers, read_table
from hw.scanner.description import Scanner

__all__ = [
    "STILL",
    "ObjectMotion",
    "Pose",
    "check_motion",
    "load_motion",
    "make_pose",
    "to_object",
    "to_scanner",
]

COLUMNS = ("t_s", "x_mm", "y_mm", "z_mm", "rx_deg", "ry_deg", "rz_deg")
_HEAD_CUT = 2.0  # standard deviations: heads are held, and what is checked must have a bound


class ObjectMotion(Protocol):
    """A motion of the object."""

    def pose_of(self, time_s: float) -> Pose:
        """Return the pose at a time since the start of the run, (12,) f8."""

    def extremes(self) -> list[Pose]:
        """Return the poses that reach furthest, to check them against the bore."""


@dataclass(frozen=True)
class PoseTable:
    """Poses at given times: linear in between (angles too), constant before and after.

    rows : (n, 7) f8, columns as in COLUMNS; two rows with the same time make a jump
    """

    rows: npt.NDArray[np.float64]

    def pose_of(self, time_s: float) -> Pose:
        """Return the pose at a time."""
        t = self.rows[:, 0]
        after = int(np.searchsorted(t, time_s, side="right"))
        if after in (0, len(t)):
            return _pose_of_row(self.rows[min(after, len(t) - 1)])
        low, high = self.rows[after - 1], self.rows[after]
        return _pose_of_row(low + (high - low) * (time_s - low[0]) / (high[0] - low[0]))

    def extremes(self) -> list[Pose]:
        """Return the poses of all rows; in between, a point moves almost on a straight line."""
        return [_pose_of_row(row) for row in self.rows]


def _pose_of_row(row: npt.NDArray[np.float64]) -> Pose:
    return make_pose(row[1:4], row[4:7])


@dataclass(frozen=True)
class Breathing:
    """Breathing: the object moves along z by −amplitude · sin⁴(πt/period), exhaled at t = 0.

    A. E. Lujan et al., Med. Phys. 26 (1999) 715: z = z₀ − b·cos²ⁿ(πt/τ − φ) with n = 2; here
    φ = π/2. Half of the time, the object is within amplitude/4 of its exhaled position.
    """

    period_s: float = 4.0
    amplitude_mm: float = 10.0

    def pose_of(self, time_s: float) -> Pose:
        """Return the pose at a time."""
        z = -self.amplitude_mm * math.sin(math.pi * time_s / self.period_s) ** 4
        return make_pose((0.0, 0.0, z), (0.0, 0.0, 0.0))

    def extremes(self) -> list[Pose]:
        """Return the exhaled and the inhaled pose."""
        return [self.pose_of(0.0), self.pose_of(self.period_s / 2)]


@dataclass(frozen=True)
class HeadSteps:
    """A head that lies still except for an occasional step to another pose.

    Each stretch of ``interval_s`` has one step, at a random time within it. Each pose is drawn anew
    about the rest position, every axis normally distributed and cut at 2 σ; the first is the rest
    position. Sizes are as reported for heads in head holders: some mm and degrees within an hour
    (M. V. Green et al., J. Nucl. Med. 35 (1994) 1538).
    """

    seed: int
    interval_s: float = 60.0
    translation_mm: float = 1.5
    rotation_deg: float = 1.0

    def pose_of(self, time_s: float) -> Pose:
        """Return the pose at a time."""
        stretch = math.floor(time_s / self.interval_s)
        if stretch < 0:
            return self._pose_after(-1)
        stepped = time_s - stretch * self.interval_s >= self._random(stretch).random() * (
            self.interval_s
        )
        return self._pose_after(stretch if stepped else stretch - 1)

    def _pose_after(self, stretch: int) -> Pose:
        if stretch < 0:
            return make_pose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
        random = self._random(stretch)
        random.random()  # that was the time of the step
        drawn = np.clip(random.standard_normal(6), -_HEAD_CUT, _HEAD_CUT)
        return make_pose(drawn[:3] * self.translation_mm, drawn[3:] * self.rotation_deg)

    def _random(self, stretch: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, stretch))

    def extremes(self) -> list[Pose]:
        """Return the poses at the corners of the range that can be drawn."""
        signs = [np.array([(k >> axis & 1) * 2 - 1 for axis in range(6)]) for k in range(64)]
        far = (self.translation_mm * _HEAD_CUT, self.rotation_deg * _HEAD_CUT)
        return [make_pose(s[:3] * far[0], s[3:] * far[1]) for s in signs]


def load_motion(text: str, *, seed: int = 1) -> ObjectMotion | None:
    """Return the motion that a setting describes; None for empty text.

    Parameters
    ----------
    text : ``breathing``, ``head``, each with options as in ``breathing:period_s=5``, or the path
        of a CSV file with the columns COLUMNS
    seed : seed of the random steps of ``head``

    Raises
    ------
    EmulationError
        for anything else, naming file, line and remedy.
    """
    if not text:
        return None
    kind, _, options = text.partition(":")
    if kind == "breathing":
        known = {"period_s": 4.0, "amplitude_mm": 10.0}
        return Breathing(**read_numbers("motion", text, options, known))
    if kind == "head":
        known = {"interval_s": 60.0, "translation_mm": 1.5, "rotation_deg": 1.0}
        return HeadSteps(seed, **read_numbers("motion", text, options, known))
    return PoseTable(read_table("motion", Path(text), COLUMNS, EXAMPLES_OF_MOTION))


def check_motion(motion: ObjectMotion, phantom: Phantom, scanner: Scanner) -> None:
    """Refuse a motion that carries activity or matter out of the bore.

    Raises
    ------
    EmulationError
        naming how far it reaches and the bore's radius.
    """
    corners = _hull(phantom)
    reach = max(
        float(np.hypot(*_moved(corners, pose)[:, :2].T).max()) for pose in motion.extremes()
    )
    if reach >= scanner.bore_mm:
        raise EmulationError(
            f"motion: carries the phantom {phantom.name} to {reach:.1f} mm from the axis, the "
            f"bore of {scanner.name} ends at {scanner.bore_mm:g} mm; use smaller "
            "translations or rotations, or a smaller phantom"
        )


def _moved(points_mm: npt.NDArray[np.float64], pose: Pose) -> npt.NDArray[np.float64]:
    return points_mm @ pose[:9].reshape(3, 3).T + pose[9:]


def _hull(phantom: Phantom) -> npt.NDArray[np.float64]:
    """Return the corners (n, 3) f8 of the convex hull of all non-empty voxels, in mm."""
    filled = (phantom.activity > 0) | (phantom.mu_per_mm > 0)
    iy, iz = np.nonzero(filled.any(axis=0))
    rows = filled[:, iy, iz]
    first, last = rows.argmax(axis=0), len(rows) - 1 - rows[::-1].argmax(axis=0)
    ends = np.concatenate([np.stack([first, iy, iz], 1), np.stack([last, iy, iz], 1)])
    corner = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    points = (ends[:, None, :] + corner).reshape(-1, 3) * phantom.voxel_mm + phantom.origin_mm
    return np.asarray(points[scipy.spatial.ConvexHull(points).vertices])
