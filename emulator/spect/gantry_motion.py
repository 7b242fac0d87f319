"""How a SPECT scanner moves during a run: the angle of every module as a function of time.

Settings: ``fixed:30`` stands at 30°; ``step:32x10s`` stands for 10 s at each of 32 angles, spread
evenly over the preset's range, and moves on at its greatest speed; ``turn:6deg/s`` goes to and fro
over the range without stopping. Columns that swivel do so in succession, each a share of the period
later than its neighbour, so that at any time they look in different directions.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from hw.scanner.description import Motion, Scanner
from hw.scanner.geometry import module_poses

INSTEAD = "fixed:30, step:32x10s or turn:6deg/s"
MOST_STEPS = 100_000

_FIXED = re.compile(r"fixed:([-+]?\d+(?:\.\d+)?)(?:deg)?")
_STEP = re.compile(r"step:(\d+)x(\d+(?:\.\d+)?)s")
_TURN = re.compile(r"turn:(\d+(?:\.\d+)?)(?:deg/s)?")


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
    if found := _FIXED.fullmatch(text):
        angle = _within(text, float(found[1]), motion)
        return SpectMotion("fixed", angle, angle, 0.0, np.zeros(scanner.n_modules))
    if found := _STEP.fullmatch(text):
        return _stepping(text, int(found[1]), float(found[2]), scanner, motion)
    if found := _TURN.fullmatch(text):
        return _turning(text, float(found[1]), scanner, motion)
    raise EmulationError(f"gantry {text!r}: write {INSTEAD}")


def _usual(motion: Motion) -> str:
    if motion.kind == "swivel":
        return f"turn:{motion.most_deg_per_s}"
    return f"fixed:{min(max(0.0, motion.least_deg), motion.most_deg)}"


def _within(text: str, angle_deg: float, motion: Motion) -> float:
    if not motion.least_deg <= angle_deg <= motion.most_deg:
        raise EmulationError(
            f"gantry {text!r}: {angle_deg:g}° is outside the preset's {motion.least_deg:g}° to "
            f"{motion.most_deg:g}°; choose an angle within"
        )
    return angle_deg


def _stepping(
    text: str, steps: int, dwell_s: float, scanner: Scanner, motion: Motion
) -> SpectMotion:
    if not 1 <= steps <= MOST_STEPS or dwell_s <= 0:
        raise EmulationError(f"gantry {text!r}: 1 to {MOST_STEPS} steps of more than 0 s")
    span = motion.most_deg - motion.least_deg
    whole_turn = span >= 360.0  # the last angle would be the first again
    step_deg = span / (steps if whole_turn else max(steps - 1, 1))
    still = np.zeros(scanner.n_modules)
    return SpectMotion(
        "step", motion.least_deg, motion.most_deg, motion.most_deg_per_s, still,
        steps=steps, step_deg=step_deg, dwell_s=dwell_s,
    )  # fmt: skip


def _turning(text: str, speed: float, scanner: Scanner, motion: Motion) -> SpectMotion:
    if not 0 < speed <= motion.most_deg_per_s:
        raise EmulationError(
            f"gantry {text!r}: the preset turns at up to {motion.most_deg_per_s:g} °/s; choose a "
            "speed above 0 and up to that"
        )
    phases = np.zeros(scanner.n_modules)
    if motion.kind == "swivel":
        phases = (np.arange(scanner.n_modules) % scanner.ring.modules_per_ring).astype(np.float64)
        phases /= scanner.ring.modules_per_ring
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
