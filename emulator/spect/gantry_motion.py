"""How a SPECT scanner moves during a run: the angle of every module as a function of time.

Settings: ``fixed:30`` stands at 30°; ``step:32x10s`` stands for 10 s at each of 32 angles, spread
evenly over the preset's range, and moves on at its greatest speed; ``turn:6deg/s`` goes to and fro
over the range without stopping. Columns that swivel do so in succession, each a share of the period
later than its neighbour, so that at any time they look in different directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from hw.scanner.description import Motion, Scanner
from hw.scanner.geometry import module_poses
from hw.scanner.orbit import Orbit, OrbitError, read_orbit


@dataclass(frozen=True)
class SpectMotion:
    """The motion of one run.

    kind : fixed (at ``first_deg``), step (``steps`` angles from ``first_deg``, ``step_deg`` apart)
        or turn (between ``first_deg`` and ``last_deg``)
    speed_deg_per_s : while it moves
    dwell_s : time at each step
    phases : (modules,) f8, share of the period by which each is ahead
    """

    kind: Literal["fixed", "step", "turn"]
    first_deg: float
    last_deg: float
    speed_deg_per_s: float
    phases: npt.NDArray[np.float64]
    steps: int = 1
    step_deg: float = 0.0
    dwell_s: float = 0.0

    def angles_deg(self, time_s: float) -> npt.NDArray[np.float64]:
        """Return each module's angle at a time since the start of the run, (modules,) f8."""
        if self.kind == "turn":
            return self._turned_deg(time_s)
        angle = self.first_deg
        if self.kind == "step":
            angle += self._stepped_deg(time_s)
        return np.full(len(self.phases), angle)

    def _turned_deg(self, time_s: float) -> npt.NDArray[np.float64]:
        span = self.last_deg - self.first_deg
        periods = time_s * self.speed_deg_per_s / (2.0 * span) + self.phases
        return np.asarray(self.first_deg + span * (1.0 - np.abs(1.0 - 2.0 * (periods % 1.0))))

    def _stepped_deg(self, time_s: float) -> float:
        move_s = self.step_deg / self.speed_deg_per_s
        done = min(math.floor(time_s / (self.dwell_s + move_s)), self.steps - 1)
        if done == self.steps - 1:
            return done * self.step_deg
        moving_s = time_s - done * (self.dwell_s + move_s) - self.dwell_s
        return done * self.step_deg + max(moving_s, 0.0) * self.speed_deg_per_s


def load_spect_motion(text: str, scanner: Scanner) -> SpectMotion | None:
    """Return the motion that a setting describes; None for a scanner that cannot move.

    Without a setting, a gantry stands at 0° (or where its range begins), but swivels turn, since a
    fixed column sees only a strip.

    Raises
    ------
    EmulationError
        for an invalid setting, or one beyond the range of the preset's motion.
    """
    motion = scanner.motion
    if motion is None:
        if text:
            raise EmulationError(
                f"gantry {text!r}: {scanner.name} has no [motion]; leave the option out"
            )
        return None
    text = text or _usual(motion)
    try:
        orbit = read_orbit(text, scanner)
    except OrbitError as error:
        raise EmulationError(f"gantry {error}") from error
    return _moving(orbit, scanner, motion)


def _moving(orbit: Orbit, scanner: Scanner, motion: Motion) -> SpectMotion:
    if orbit.kind == "step":
        return _stepping(orbit, scanner, motion)
    if orbit.kind == "turn":
        return _turning(orbit, scanner, motion)
    angle = orbit.angle_deg
    return SpectMotion("fixed", angle, angle, 0.0, np.zeros(scanner.n_modules))


def _usual(motion: Motion) -> str:
    if motion.kind == "swivel":
        return f"turn:{motion.most_deg_per_s}"
    return f"fixed:{min(max(0.0, motion.least_deg), motion.most_deg)}"


def _stepping(orbit: Orbit, scanner: Scanner, motion: Motion) -> SpectMotion:
    span = motion.most_deg - motion.least_deg
    whole_turn = span >= 360.0  # the last angle would be the first again
    step_deg = span / (orbit.steps if whole_turn else max(orbit.steps - 1, 1))
    still = np.zeros(scanner.n_modules)
    return SpectMotion(
        "step", motion.least_deg, motion.most_deg, motion.most_deg_per_s, still,
        steps=orbit.steps, step_deg=step_deg, dwell_s=orbit.dwell_s,
    )  # fmt: skip


def _turning(orbit: Orbit, scanner: Scanner, motion: Motion) -> SpectMotion:
    phases = np.zeros(scanner.n_modules)
    if motion.kind == "swivel":
        phases = (np.arange(scanner.n_modules) % scanner.ring.modules_per_ring).astype(np.float64)
        phases /= scanner.ring.modules_per_ring
    speed = orbit.speed_deg_per_s
    return SpectMotion("turn", motion.least_deg, motion.most_deg, speed, phases)


def poses_at(
    scanner: Scanner, angles_deg: npt.NDArray[np.float64], object_pose: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the cameras' poses as seen from the object, (modules, 12) f8.

    Each row is the centre of the crystal's front face in mm, then the axes u, v, w. The object's
    pose (``emulator.object.pose``; empty: at rest) is undone: x_object = Rᵀ·(x − t).
    """
    centre, axes = module_poses(scanner, angles_deg)
    if len(object_pose):
        turn, shift = object_pose[:9].reshape(3, 3), object_pose[9:]
        centre, axes = (centre - shift) @ turn, axes @ turn
    return np.concatenate([centre, axes.reshape(-1, 9)], axis=1)
