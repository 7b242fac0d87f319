"""What angle words say, read back from their bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.wire.angle_words import ANGLE_MASK, ANGLE_SHIFT, ANGLE_SIGN, STEPS_PER_DEGREE


def angle_steps(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
    """Return the angles of angle words in steps of 0.001°, i4."""
    code = ((words >> np.uint64(ANGLE_SHIFT)) & np.uint64(ANGLE_MASK)).astype(np.int64)
    return ((code ^ ANGLE_SIGN) - ANGLE_SIGN).astype(np.int32)


def angles_deg(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Return the angles of angle words in degrees, f8."""
    return angle_steps(words) / STEPS_PER_DEGREE
