"""How a SPECT scanner is to move during a run: what people write, read and held against the preset.

``fixed:30`` stands at 30°; ``step:32x10s`` stands for 10 s at each of 32 angles, spread evenly over
the preset's range; ``turn:6deg/s`` goes to and fro over the range without stopping.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from hw.errors import TomoshibiError
from hw.scanner.description import Motion, Scanner

INSTEAD = "fixed:30, step:32x10s or turn:6deg/s"
MOST_STEPS = 100_000

_FIXED = re.compile(r"fixed:([-+]?\d+(?:\.\d+)?)(?:deg)?")
_STEP = re.compile(r"step:(\d+)x(\d+(?:\.\d+)?)s")
_TURN = re.compile(r"turn:(\d+(?:\.\d+)?)(?:deg/s)?")


class OrbitError(TomoshibiError, ValueError):
    """An orbit that cannot be read, or that the scanner cannot take."""


@dataclass(frozen=True)
class Orbit:
    """An orbit within the preset's motion.

    angle_deg : of fixed; steps, dwell_s : of step; speed_deg_per_s : of turn
    """

    kind: Literal["fixed", "step", "turn"]
    angle_deg: float = 0.0
    steps: int = 1
    dwell_s: float = 0.0
    speed_deg_per_s: float = 0.0


def read_orbit(text: str, scanner: Scanner) -> Orbit:
    """Return the orbit that a text describes; raises OrbitError with the bound and the remedy."""
    motion = scanner.motion
    if motion is None:
        raise OrbitError(f"{text!r}: {scanner.name} has no [motion]; leave it out")
    if found := _FIXED.fullmatch(text):
        return Orbit("fixed", angle_deg=_within(text, float(found[1]), motion))
    if found := _STEP.fullmatch(text):
        steps, dwell_s = int(found[1]), float(found[2])
        if not 1 <= steps <= MOST_STEPS or dwell_s <= 0:
            raise OrbitError(f"{text!r}: 1 to {MOST_STEPS} steps of more than 0 s")
        return Orbit("step", steps=steps, dwell_s=dwell_s)
    if found := _TURN.fullmatch(text):
        speed = float(found[1])
        if not 0 < speed <= motion.most_deg_per_s:
            raise OrbitError(
                f"{text!r}: the preset turns at up to {motion.most_deg_per_s:g} °/s; choose a "
                "speed above 0 and up to that"
            )
        return Orbit("turn", speed_deg_per_s=speed)
    raise OrbitError(f"{text!r}: write {INSTEAD}")


def _within(text: str, angle_deg: float, motion: Motion) -> float:
    if not motion.least_deg <= angle_deg <= motion.most_deg:
        raise OrbitError(
            f"{text!r}: {angle_deg:g}° is outside the preset's {motion.least_deg:g}° to "
            f"{motion.most_deg:g}°; choose an angle within"
        )
    return angle_deg
