"""Positron range: drawing the distance from the place of a decay to that of the annihilation.

The distribution is that of the decay's branch in water (:mod:`hw.physics.positron_range`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.physics.photons import State
from hw.jit import bare_kernel
from hw.physics.random_numbers import uniform

RANGE_BINS = 1024


@bare_kernel
def draw_radius_mm(state: State, radii_mm: npt.NDArray[np.float64], branch: int) -> float:
    """Draw a distance from decay to annihilation in water.

    ``radii_mm`` : (branches, RANGE_BINS + 1) f8, its quantiles, of ``radius_quantiles_mm``
    """
    place = uniform(state) * RANGE_BINS
    below = int(place)
    inner = radii_mm[branch, below]
    return inner + (radii_mm[branch, below + 1] - inner) * (place - below)
