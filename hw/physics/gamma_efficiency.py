"""Block efficiency for photons above 511 keV, up to 2 MeV, over that for 511 keV.

A γ of higher energy is counted where it leaves an energy within the window: by Compton scatter with
the rest escaping, or in full where the window reaches there. More of them than of 511 keV come from
a neighbouring block in which they scattered first. Photons are followed as for
:mod:`hw.physics.block_efficiency`, from a few directions within 45° of the normal; by place in the
block the ratio is taken as even. Pair production is left out.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import msgspec
import numpy as np

from hw.arrays import F8
from hw.physics.block_efficiency import MARGIN_MM, energy_tables, stopped_mm2, with_neighbours
from hw.physics.block_tracking import counts_from
from hw.physics.constants import ELECTRON_REST_KEV
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry

MOST_KEV = 2000
NODES_KEV = np.array(
    [
        *(ELECTRON_REST_KEV, 535, 560, 580, 600, 620, 640, 660, 680, 700, 725, 750, 780, 820, 880),
        *(960, 1050, 1150, 1250, 1400, 1550, 1700, 1850, MOST_KEV),
    ]
)
"""Closer where the full energy leaves the window."""

PHOTONS = 6000
"""Per direction and energy: a node is then known to 1 %."""

MARGIN_FACTOR = 2.0
"""Photons of higher energy turn further and are still counted, so the beam is wider."""

_SLOPES = (0.1, 0.35, 0.6)
_DIRECTIONS = [(a, b) for a, b in itertools.product(_SLOPES, _SLOPES) if a * a + b * b <= 0.5]


def relative_efficiency(
    scanner: Scanner, geometry: Geometry, *, lld_keV: float, uld_keV: float
) -> F8:
    """Return η(E)/η(511 keV) at ``NODES_KEV``; its first value is 1."""
    key = msgspec.msgpack.encode([scanner.module, scanner.ring, scanner.response])
    return _kept(_Hashed(scanner, geometry, key), lld_keV, uld_keV)


class _Hashed:
    """A scanner and its geometry as a key of the cache."""

    def __init__(self, scanner: Scanner, geometry: Geometry, key: bytes) -> None:
        self.scanner, self.geometry = scanner, geometry
        self._key = key + geometry.module_centre_mm.tobytes() + geometry.module_axes.tobytes()

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Hashed) and self._key == other._key


@functools.lru_cache(maxsize=8)
def _kept(of: _Hashed, lld_keV: float, uld_keV: float) -> F8:
    """Follow photons of every node's energy."""
    block, geometry = of.scanner.module, of.geometry
    size = np.array([block.width_mm, block.height_mm, block.thickness_mm])
    tables = energy_tables(of.scanner, lld_keV, uld_keV, MOST_KEV)
    chosen = with_neighbours(of.scanner, geometry)
    about = (geometry.module_centre_mm[chosen], geometry.module_axes[chosen], size)
    counted = np.zeros(len(NODES_KEV))
    depths, spectrum = np.zeros(3), np.zeros(MOST_KEV + 1)
    for i, energy in enumerate(NODES_KEV):
        slab = 0.0
        for seed, (du, dv) in enumerate(_DIRECTIONS):
            sides = np.zeros(1), np.zeros(1)
            counts_from(
                du, dv, float(energy), *about, MARGIN_FACTOR * MARGIN_MM, *tables,
                block.monolithic, 0.0, PHOTONS, seed, *sides, depths, spectrum,
            )  # fmt: skip
            counted[i] += float(sides[0].sum())
            slab += stopped_mm2(du, dv, size, tables[0][int(energy + 0.5)])
        counted[i] /= slab
    return counted / counted[0]
