"""What happens in each decay before photons are tracked: nuclide, place, mode, annihilation.

Many decays are drawn at once, in loops small enough for the processor to overlap iterations.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.source_sampling import (
    PLACE_REGION,
    PLACE_SCALE,
    PLACE_SIZE,
    SourceTables,
    place_decays,
)
from emulator.physics.emission import EmissionTables
from emulator.physics.photons import State
from emulator.physics.positron_range import draw_radius_mm
from hw.jit import bare_kernel
from hw.physics.random_numbers import in_disc, uniform

AT_ONCE = 32
NUCLIDE, REGION, MODE = range(3)


class Drawn(NamedTuple):
    """Decays drawn ahead.

    places : (AT_ONCE, PLACE_SIZE) f8, where the decays happen
    annihilations_mm : (AT_ONCE, 3) f8, where the β⁺, if any, annihilates
    kinds : (AT_ONCE, 3) i8, NUCLIDE, REGION and MODE
    """

    places: npt.NDArray[np.float64]
    annihilations_mm: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int64]


def new_drawn() -> Drawn:
    """Return empty arrays for the decays of one thread."""
    return Drawn(
        places=np.zeros((AT_ONCE, PLACE_SIZE)),
        annihilations_mm=np.zeros((AT_ONCE, 3)),
        kinds=np.zeros((AT_ONCE, 3), np.int64),
    )


@bare_kernel
def annihilate(
    state: State, drawn: Drawn, i: int, radii_mm: npt.NDArray[np.float64], branch: int
) -> None:
    """Set where the β⁺ of decay ``i`` annihilates: where it was born if ``radii_mm`` is empty.

    radii_mm : quantiles of the β⁺'s distance by branch, see ``draw_radius_mm``; ``branch`` : of
        decay i
    """
    places, ends = drawn.places, drawn.annihilations_mm
    radius = 0.0
    x, y, square = 0.0, 0.0, 0.0
    if len(radii_mm) > 0:
        radius = draw_radius_mm(state, radii_mm, branch) * places[i, PLACE_SCALE]
        x, y, square = in_disc(state)  # a direction as of ``aim_isotropic``
    across = radius * 2.0 * math.sqrt(1.0 - square)
    ends[i, 0] = places[i, 0] + across * x
    ends[i, 1] = places[i, 1] + across * y
    ends[i, 2] = places[i, 2] + radius * (1.0 - 2.0 * square)


@bare_kernel
def draw_decays(
    state: State,
    source: SourceTables,
    emission: EmissionTables,
    share: npt.NDArray[np.float64],
    region_share: npt.NDArray[np.float64],
    drawn: Drawn,
) -> None:
    """Draw the next AT_ONCE decays.

    share : (nuclides,) f8, cumulative shares of the nuclides in the activity, the last one 1
    region_share : (regions,) f8, see ``place_decays``
    """
    kinds = drawn.kinds
    place_decays(state, source, region_share, drawn.places)
    last = len(share) - 1
    for i in range(AT_ONCE):
        nuclide = 0
        if last > 0:
            chosen = uniform(state)
            while nuclide < last and chosen >= share[nuclide]:
                nuclide += 1
        mode = emission.first_mode[nuclide]
        chosen = uniform(state)
        while chosen >= emission.mode_share[mode]:
            mode += 1
        kinds[i, NUCLIDE], kinds[i, MODE] = nuclide, mode
    if len(region_share) > 0:
        for i in range(AT_ONCE):
            kinds[i, REGION] = int(drawn.places[i, PLACE_REGION])
    for i in range(AT_ONCE):
        branch = emission.positron[kinds[i, MODE]]
        if branch >= 0:
            annihilate(state, drawn, i, emission.radii_mm, branch)
