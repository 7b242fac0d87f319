"""Where decays happen: a voxel drawn by its activity (alias table), then uniform within it.

Alias method: A. J. Walker, ACM TOMS 3 (1977) 253; table built after M. D. Vose, IEEE TSE 17
(1991) 972. One 64-bit random word picks slot and side, a second the place within the voxel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.phantoms import Phantom
from emulator.photons import State
from emulator.random_numbers import next_word
from hw.jit import bare_kernel, kernel

_LOW_32 = np.uint64(0xFFFFFFFF)
_10_BITS = (1 << 10) - 1
_21_BITS = (1 << 21) - 1
_TO_UNIT_21 = 1.0 / (1 << 21)


class SourceTables(NamedTuple):
    """The source as the kernel sees it.

    alias : (n, 3) u4: threshold of 2**32, voxel below it, voxel above it; voxels as ix | iy<<10
        | iz<<20
    corner_mm : (3,) f8, low corner of voxel (0, 0, 0)
    voxel_mm : (3,) f8
    """

    alias: npt.NDArray[np.uint32]
    corner_mm: npt.NDArray[np.float64]
    voxel_mm: npt.NDArray[np.float64]


def source_tables(phantom: Phantom) -> SourceTables:
    """Return the tables of a phantom's activity."""
    ix, iy, iz = np.nonzero(phantom.activity > 0)
    weight = phantom.activity[ix, iy, iz].astype(np.float64)
    packed = (ix | (iy << 10) | (iz << 20)).astype(np.uint32)
    alias = np.empty((len(weight), 3), np.uint32)
    fill_alias(weight * (len(weight) / weight.sum()), packed, alias)
    voxel = np.asarray(phantom.voxel_mm, dtype=np.float64)
    return SourceTables(alias, np.asarray(phantom.origin_mm) - voxel / 2, voxel)


@kernel
def fill_alias(
    share: npt.NDArray[np.float64],
    packed: npt.NDArray[np.uint32],
    alias: npt.NDArray[np.uint32],
) -> None:
    """Fill the alias table from shares (n,) of mean 1 and the voxels (n,) they belong to."""
    n = len(share)
    small = np.empty(n, np.int64)
    large = np.empty(n, np.int64)
    n_small = n_large = 0
    for i in range(n):
        if share[i] < 1.0:
            small[n_small] = i
            n_small += 1
        else:
            large[n_large] = i
            n_large += 1
    while n_small > 0 and n_large > 0:
        n_small -= 1
        less, more = small[n_small], large[n_large - 1]
        alias[less, 0] = np.uint32(min(share[less] * 4294967296.0, 4294967295.0))
        alias[less, 1] = packed[less]
        alias[less, 2] = packed[more]
        share[more] -= 1.0 - share[less]
        if share[more] < 1.0:
            n_large -= 1
            small[n_small] = more
            n_small += 1
    for k in range(n_large + n_small):
        i = large[k] if k < n_large else small[k - n_large]
        alias[i, 0] = np.uint32(4294967295)
        alias[i, 1] = alias[i, 2] = packed[i]


@bare_kernel
def place_decays(state: State, tables: SourceTables, places_mm: npt.NDArray[np.float64]) -> None:
    """Fill ``places_mm`` (n, 3) f8 with places of decays.

    Many at once, because the table does not fit into the near caches: the processor then waits
    for several of its entries at the same time.
    """
    for i in range(len(places_mm)):
        word = next_word(state)
        slot = np.int64(((word >> np.uint64(32)) * np.uint64(len(tables.alias))) >> np.uint64(32))
        side = 1 if (word & _LOW_32) < np.uint64(tables.alias[slot, 0]) else 2
        voxel = np.int64(tables.alias[slot, side])
        place = np.int64(next_word(state) >> np.uint64(1))
        for axis in range(3):
            index = np.float64((voxel >> (10 * axis)) & _10_BITS)
            part = np.float64((place >> (21 * axis)) & _21_BITS) * _TO_UNIT_21
            places_mm[i, axis] = tables.corner_mm[axis] + (index + part) * tables.voxel_mm[axis]
