"""Where decays happen: a voxel drawn by its activity (alias table), then a point within it.

If regions have their own activities over time, a region is drawn by its activity first, then one of
its voxels by the region's alias table. The place comes with a scale for the positron range there.

Alias method: A. J. Walker, ACM TOMS 3 (1977) 253; table built after M. D. Vose, IEEE TSE 17
(1991) 972. One 64-bit random word picks slot and side, a second the place within the voxel.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom
from emulator.physics.materials import cross_sections
from emulator.physics.photons import State
from hw.jit import bare_kernel, kernel
from hw.physics.positron_range import range_scale
from hw.physics.random_numbers import next_word, uniform

_LOW_32 = np.uint64(0xFFFFFFFF)
_10_BITS = (1 << 10) - 1
_21_BITS = (1 << 21) - 1
_TO_UNIT_21 = 1.0 / (1 << 21)


PLACE_SIZE = 5
PLACE_SCALE, PLACE_REGION = 3, 4
"""Columns of a place after x, y, z: range of positrons over that in water, region."""

_SCALE_STEPS = 50  # of 0.02: ranges up to MOST_SCALE fit 8 bits
_8_BITS = (1 << 8) - 1


class SourceTables(NamedTuple):
    """The source as the kernel sees it.

    alias : (n, 4) u4: threshold of 2**32, voxel below it, voxel above it; voxels as
        ix | iy<<10 | iz<<20; then the scales of positron range there in 1/_SCALE_STEPS,
        below | above<<8
    first_slot : (tables + 1,) i8, where each region's table begins in ``alias``; a single table
        where regions do not matter
    corner_mm : (3,) f8, low corner of voxel (0, 0, 0)
    voxel_mm : (3,) f8
    """

    alias: npt.NDArray[np.uint32]
    first_slot: npt.NDArray[np.int64]
    corner_mm: npt.NDArray[np.float64]
    voxel_mm: npt.NDArray[np.float64]


def source_tables(phantom: Phantom, *, by_region: bool = False) -> SourceTables:
    """Return the tables of a phantom's activity.

    by_region : make one table for each of ``region_names``, for ``place_decays`` to draw from
    """
    active = phantom.activity > 0
    parts = [active]
    if by_region and phantom.region is not None:
        parts = [active & (phantom.region == k) for k in range(len(phantom.region_names))]
    tables = [_alias_of(phantom, part) for part in parts]
    voxel = np.asarray(phantom.voxel_mm, dtype=np.float64)
    return SourceTables(
        alias=np.concatenate(tables),
        first_slot=np.concatenate([[0], np.cumsum([len(table) for table in tables])]),
        corner_mm=np.asarray(phantom.origin_mm) - voxel / 2,
        voxel_mm=voxel,
    )


def _alias_of(phantom: Phantom, part: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
    """Return the alias table (n, 4) u4 of the voxels in ``part`` (x, y, z)."""
    ix, iy, iz = np.nonzero(part)
    alias = np.empty((len(ix), 4), np.uint32)
    if len(ix) == 0:
        return alias
    weight = phantom.activity[ix, iy, iz].astype(np.float64)
    voxels = (ix | (iy << 10) | (iz << 20)).astype(np.uint32)
    scale = range_scale(phantom.mu_per_mm[ix, iy, iz], cross_sections("water").mu_per_mm[511])
    steps = np.rint(scale * _SCALE_STEPS).astype(np.uint32)
    fill_alias(weight * (len(weight) / weight.sum()), voxels, steps, alias)
    return alias


@kernel
def fill_alias(
    share: npt.NDArray[np.float64],
    packed: npt.NDArray[np.uint32],
    steps: npt.NDArray[np.uint32],
    alias: npt.NDArray[np.uint32],
) -> None:
    """Fill the alias table from shares (n,) of mean 1, their voxels (n,) and scales (n,)."""
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
        alias[less, 3] = steps[less] | (steps[more] << np.uint32(8))
        share[more] -= 1.0 - share[less]
        if share[more] < 1.0:
            n_large -= 1
            small[n_small] = more
            n_small += 1
    for k in range(n_large + n_small):
        i = large[k] if k < n_large else small[k - n_large]
        alias[i, 0] = np.uint32(4294967295)
        alias[i, 1] = alias[i, 2] = packed[i]
        alias[i, 3] = steps[i] | (steps[i] << np.uint32(8))


@bare_kernel
def draw_region(state: State, region_share: npt.NDArray[np.float64]) -> int:
    """Return a region drawn by its share; ``region_share`` as in ``place_decays``."""
    chosen = uniform(state)
    region = 0
    while chosen >= region_share[region]:
        region += 1
    return region


@bare_kernel
def place_decays(
    state: State,
    tables: SourceTables,
    region_share: npt.NDArray[np.float64],
    places: npt.NDArray[np.float64],
) -> None:
    """Fill ``places`` (n, PLACE_SIZE) f8 with places of decays; one region needs no number.

    Many at once, because the table does not fit the near caches: the processor can then wait
    for several of its entries at the same time.

    region_share : (regions,) f8, cumulative shares of the activity, the last one 1; empty if the
        source has one table for all regions
    """
    many = len(region_share) > 1
    first, slots = tables.first_slot[0], np.uint64(tables.first_slot[1] - tables.first_slot[0])
    for i in range(len(places)):
        if many:
            region = draw_region(state, region_share)
            first = tables.first_slot[region]
            slots = np.uint64(tables.first_slot[region + 1] - first)
            places[i, PLACE_REGION] = region
        word = next_word(state)
        slot = first + np.int64(((word >> np.uint64(32)) * slots) >> np.uint64(32))
        # 1 below the threshold, else 2: by the sign, for a branch here would be mispredicted
        side = 2 + ((np.int64(word & _LOW_32) - np.int64(tables.alias[slot, 0])) >> np.int64(63))
        voxel = np.int64(tables.alias[slot, side])
        steps = np.int64(tables.alias[slot, 3]) >> (8 * side - 8)
        place = np.int64(next_word(state) >> np.uint64(1))
        for axis in range(3):
            index = np.float64((voxel >> (10 * axis)) & _10_BITS)
            part = np.float64((place >> (21 * axis)) & _21_BITS) * _TO_UNIT_21
            places[i, axis] = tables.corner_mm[axis] + (index + part) * tables.voxel_mm[axis]
        places[i, PLACE_SCALE] = np.float64(steps & _8_BITS) * (1.0 / _SCALE_STEPS)
