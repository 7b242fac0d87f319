"""Whether the points found in a positron camera's list stayed where they are.

The image of a whole list shows a source that moves as a smear, whose hottest voxels are no places
of it. Of a source at rest, the lines that pass near it are the same share of all lines at any time
(the camera's own rate may vary). Near a point that a source only passes, they come in bursts.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F8
from recon.core.events import Lors
from recon.exchange.errors import ExchangeError

NEAR_MM = 10.0
LINES_A_SLICE = 25
FEWEST_SLICES = 8
MOST_UNEVEN = 5.0
"""χ² per slice. At rest it would be 1 ± √(2 / slices), and is 2.1 for the measured particles, whose
lines come in short bursts; a made pair at 42 and at 600 turns a minute has 50 and 12."""


def unevenness(lors: Lors, point_mm: F8) -> float:
    """Return χ² per slice of the lines near a point, slices of equally many lines of the list; 0
    for too few to tell.

    Parameters
    ----------
    lors : the list's lines in order of time
    point_mm : (3,) in their frame
    """
    start, end = (np.asarray(one, np.float64) for one in (lors.start, lors.end))
    along = (end - start) / np.linalg.norm(end - start, axis=1, keepdims=True)
    offset = point_mm - start
    apart = np.linalg.norm(offset - (offset * along).sum(axis=1, keepdims=True) * along, axis=1)
    near = np.flatnonzero(apart <= NEAR_MM)
    slices = len(near) // LINES_A_SLICE
    if slices < FEWEST_SLICES:
        return 0.0
    counts, _ = np.histogram(near, bins=slices, range=(0, len(apart)))
    expected = len(near) / slices
    return float(((counts - expected) ** 2).sum() / expected / (slices - 1))


def check_at_rest(lors: Lors, points_mm: F8) -> None:
    """Raise ExchangeError if one of the points is not the place of a source at rest."""
    for point in points_mm:
        found = unevenness(lors, point)
        if found > MOST_UNEVEN:
            raise ExchangeError(
                f"the sources move: the lines near a hottest point come in bursts (χ² {found:.0f} "
                f"per slice of time, at most {MOST_UNEVEN:g} at rest), so points of the whole list "
                "are no places of them. Take a part in which they move little: --start and --length"
            )
