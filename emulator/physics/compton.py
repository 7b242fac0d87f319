"""Compton scatter on a free electron at rest: exact sampling of the Klein-Nishina cross-section.

With ε = E'/E and α = E/mₑc² (O. Klein, Y. Nishina, Z. Phys. 52 (1929) 853)

    dσ/dε ∝ 1/ε + ε − (1 − cos²θ),    1 − cos θ = (1/ε − 1)/α,    1/(1 + 2α) ≤ ε ≤ 1,

varies only about twofold. It is drawn by rejection from steps of equal probability, whose edges are
tabulated in rows of 8 keV: 95 % of the proposals are accepted, so that the processor predicts the
branch well. Kahn's method (RAND AECU-3259, 1956), which accepts 60 % of two kinds of proposals,
took 1.6 times as long; the distribution is the same, as the table only proposes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.physics.random_numbers import next_word
from hw.jit import bare_kernel
from hw.physics.constants import ELECTRON_REST_KEV as ELECTRON_REST_KEV

MOST_KEV = 2007.0
"""Rows end here; a higher energy would not be drawn rightly."""

_STEPS = 32
_ROW_SHIFT = 3
_PER_REST = 1.0 / ELECTRON_REST_KEV
_TO_UNIT_32 = 2.0**-32
_LOW_32 = np.uint64(0xFFFFFFFF)
_MARGIN = 1.0005  # the density is convex up to rounding; a test looks between the points too

Array = npt.NDArray[np.float64]


def density(place: Array, energy_keV: Array | float) -> Array:
    """Return dσ/dε, not normalised, at ``place`` = (ε − ε_least)/(1 − ε_least), 0 to 1."""
    alpha = np.asarray(energy_keV) * _PER_REST
    least = 1.0 / (1.0 + 2.0 * alpha)
    kept = least + place * (1.0 - least)
    versine = (1.0 / kept - 1.0) / alpha
    return np.asarray(1.0 / kept + kept - versine * (2.0 - versine))


def _steps() -> tuple[npt.NDArray[np.float32], Array]:
    """Return the step edges by row, (rows, _STEPS + 1), and 1/(largest density · width)."""
    first = np.arange(0.0, MOST_KEV + 1, 1 << _ROW_SHIFT)[:, None]
    energies = [np.maximum(first + part, 1.0) for part in (0, (1 << _ROW_SHIFT) / 2, 8)]
    fine = np.linspace(0.0, 1.0, 257)[None, :]
    middle = density(fine, energies[1])
    below = np.cumsum((middle[:, 1:] + middle[:, :-1]) / 2, axis=1)
    below = np.pad(below / below[:, -1:], [(0, 0), (1, 0)])
    quantiles = np.linspace(0.0, 1.0, _STEPS + 1)
    edges = np.array([np.interp(quantiles, row, fine[0]) for row in below]).astype(np.float32)
    at_edges = np.max([density(edges.astype(np.float64), energy) for energy in energies], axis=0)
    most = np.maximum(at_edges[:, 1:], at_edges[:, :-1]) * np.diff(edges.astype(np.float64))
    return edges.ravel(), 1.0 / (_MARGIN * most.max(axis=1))


_EDGE, _PER_MOST = _steps()


@bare_kernel
def sample_compton(state: npt.NDArray[np.uint64], energy_keV: float) -> tuple[float, float]:
    """Return (E/E', 1 − cos θ) of a Compton scatter of a photon of 1 to MOST_KEV."""
    alpha = energy_keV * _PER_REST
    least = 1.0 / (1.0 + 2.0 * alpha)
    row = int(energy_keV) >> _ROW_SHIFT
    per_most = _PER_MOST[np.uint64(row)]
    while True:
        word = next_word(state)
        place = np.float64(np.int64(word >> np.uint64(32))) * (_STEPS * _TO_UNIT_32)
        step = int(place)
        at = row * (_STEPS + 1) + step
        low = np.float64(_EDGE[np.uint64(at)])
        width = np.float64(_EDGE[np.uint64(at + 1)]) - low
        kept = least + (1.0 - least) * (low + (place - step) * width)
        ratio = 1.0 / kept
        versine = (ratio - 1.0) / alpha
        likely = (ratio + kept - versine * (2.0 - versine)) * width * per_most
        if np.float64(np.int64(word & _LOW_32)) * _TO_UNIT_32 < likely:
            return ratio, versine
