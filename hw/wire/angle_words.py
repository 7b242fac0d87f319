"""Angle words: the angle of a module that moves, sent in its own stream of event words.

The angle is that of ``hw.scanner.geometry.module_poses``: 0 at rest, positive counter-clockwise
seen from +z. A word holds it as a signed whole number of 0.001° in the 26 bits of the crystal field
(upper 12) and the energy field (lower 14), two's complement, and the time at which the module was
there; it holds until the module's next angle word.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.wire.protocol import (
    CRYSTAL_SHIFT,
    DEFINITION,
    ENERGY_SHIFT,
    KIND_SHIFT,
    TIME_MASK,
    WORD_FIELDS,
    WORD_KINDS,
)

KIND_ANGLE = WORD_KINDS["angle"]
STEPS_PER_DEGREE: int = DEFINITION["angle"]["steps_per_degree"]
ANGLE_SHIFT = ENERGY_SHIFT
ANGLE_BITS = WORD_FIELDS["crystal"].bits + WORD_FIELDS["energy"].bits
ANGLE_MASK = (1 << ANGLE_BITS) - 1
ANGLE_SIGN = 1 << (ANGLE_BITS - 1)
MOST_DEG = (ANGLE_SIGN - 1) / STEPS_PER_DEGREE
"""33554.431°: the greatest angle that fits a word, in either direction."""

if ENERGY_SHIFT + WORD_FIELDS["energy"].bits != CRYSTAL_SHIFT:
    raise ValueError("protocol.toml: crystal and energy are not neighbours, angles need them to be")


def pack_angle_words(
    *, time_ticks: npt.ArrayLike, angle_deg: npt.ArrayLike
) -> npt.NDArray[np.uint64]:
    """Return angle words, u8, of the two arrays' broadcast shape.

    Parameters
    ----------
    time_ticks : when the module was there: ticks from the start of the frame's period, < 2**30
    angle_deg : the angle, rounded to 0.001°

    Raises
    ------
    ValueError
        if a time or an angle does not fit its bits, or is not a number.
    """
    ticks = np.asarray(time_ticks, np.int64)
    degrees = np.asarray(angle_deg, np.float64)
    if ((ticks < 0) | (ticks > TIME_MASK)).any():
        raise ValueError(f"angle word: time must be in 0..{TIME_MASK} ticks")
    if not (np.abs(degrees) <= MOST_DEG).all():  # NaN fails too
        raise ValueError(f"angle word: {degrees}°: must be within ±{MOST_DEG:g}°")
    code = np.rint(degrees * STEPS_PER_DEGREE).astype(np.int64) & ANGLE_MASK
    low = np.asarray((code << ANGLE_SHIFT) | ticks, np.uint64)
    return np.asarray(low | np.uint64(KIND_ANGLE << KIND_SHIFT))
