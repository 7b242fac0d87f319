"""Pile-up: further light in a module while it integrates the signal of an accepted trigger.

A module integrates light for T (``integration_ns`` of the preset) after each accepted trigger. A
hit that comes Δt later in the same module, with scintillation light decaying as exp(−t/τ), has the
share (1 − exp(−(T − Δt)/τ)) / (1 − exp(−T/τ)) of its read-out energy within the gate (the
denominator is a lone hit's share, which the read-out energy already includes). Position and depth
are the light's centre of gravity if the light is shared among sensors (monolithic blocks, raw
positions), else those of the crystal that gave most light. The time remains the first hit's. The
digitizer modelled here does not notice pile-up and sets no flag.

For Poisson triggers of rate n, the share 1 − exp(−n·T) of the accepted ones is piled up (G. F.
Knoll, "Radiation Detection and Measurement", 4th ed., section 17.VII).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from hw.jit import bare_kernel

PILE_ENERGY, PILE_U, PILE_V, PILE_DEPTH, PILE_LARGEST = range(5)
PILE_COLUMNS = 5


@bare_kernel
def light_share(gap_ps: int, integration_ps: int, decay_ps: float) -> float:
    """Return the share of its read-out energy that a hit ``gap_ps`` after a trigger adds.

    decay_ps : τ of the light; 0 if all of the signal comes at once
    """
    if decay_ps <= 0.0:
        return 1.0
    whole = 1.0 - math.exp(-integration_ps / decay_ps)
    return (1.0 - math.exp(-(integration_ps - gap_ps) / decay_ps)) / whole


@bare_kernel
def begin_pile(
    pile: npt.NDArray[np.float64], energy: float, crystal: int, doi: int, row: int, shared: bool
) -> None:
    """Set ``pile`` (PILE_COLUMNS,) f8 to the first hit; ``row``: number of crystals along u.

    energy : keV; ``crystal`` : in the module; ``doi`` : depth bin
    shared : the place is the centre of gravity, else that of the largest hit
    """
    weight = energy if shared else 1.0
    pile[PILE_ENERGY] = energy
    pile[PILE_U] = weight * (crystal % row)
    pile[PILE_V] = weight * (crystal // row)
    pile[PILE_DEPTH] = weight * doi
    pile[PILE_LARGEST] = energy


@bare_kernel
def add_light(
    pile: npt.NDArray[np.float64], energy: float, crystal: int, doi: int, row: int, shared: bool
) -> None:
    """Add one hit's light.

    energy : the part of it within the gate
    shared : the place becomes the centre of gravity, else that of the largest
    """
    pile[PILE_ENERGY] += energy
    if shared:
        pile[PILE_U] += energy * (crystal % row)
        pile[PILE_V] += energy * (crystal // row)
        pile[PILE_DEPTH] += energy * doi
    elif energy > pile[PILE_LARGEST]:
        pile[PILE_U], pile[PILE_V] = crystal % row, crystal // row
        pile[PILE_DEPTH] = doi
        pile[PILE_LARGEST] = energy


@bare_kernel
def piled_place(pile: npt.NDArray[np.float64], row: int, shared: bool) -> tuple[int, int]:
    """Return (crystal field, depth bin) of the pile."""
    weight = pile[PILE_ENERGY] if shared else 1.0
    if weight <= 0.0:
        weight = 1.0
    u = int(pile[PILE_U] / weight + 0.5)
    v = int(pile[PILE_V] / weight + 0.5)
    return u + row * v, int(pile[PILE_DEPTH] / weight + 0.5)
