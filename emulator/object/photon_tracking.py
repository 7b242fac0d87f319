"""A photon's path through the object: delta tracking on the voxel grid, with multiple scatter.

Woodcock's method: the photon flies as if all matter were the densest, and a collision is kept with
probability µ(here)/µ(densest), so voxel borders need not be found. E. R. Woodcock et al., ANL-7050
(1965) 557. Each voxel has the energy dependence of its own material at its own density
(``matter_classes``). A kept collision is absorption, Compton scatter by bound electrons or coherent
scatter (``atomic_scatter``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.matter_classes import attenuation, kinds_of
from emulator.object.phantom import Phantom
from emulator.physics.atomic_scatter import (
    ScatterTables,
    scatter_bound,
    scatter_coherent,
    scatter_tables,
)
from emulator.physics.photons import DX, DY, DZ, ENERGY, PATH, SCATTERS, Photon, State, X, Y, Z
from hw.jit import bare_kernel
from hw.physics.random_numbers import exponential_and_uniform, uniform

OBJECT_CUT_KEV = 60.0
"""Photons scattered below this are dropped: they can no longer pass a 100 keV trigger. A lower
trigger lowers it in proportion."""

MIXED = 255
_BLOCK_SHIFT = 2
_BLOCK = 1 << _BLOCK_SHIFT
_FAR = 1e30


class ObjectTables(NamedTuple):
    """The object as the kernel sees it: flat arrays, indexed by unsigned numbers (numba checks
    signed ones for being negative).

    kind : (nx·ny·nz,) u1, each voxel's kind of matter, with an empty border of one voxel (kind 0)
    kind_block : u1, the kind of each block of 4³ voxels if they are all alike, else MIXED. It fits
        the nearest cache; using ``kind`` alone cost a fifth of the run time.
    steps : index steps of ``kind`` along x and y, of ``kind_block`` along x and y
    blocks : (3,) u8, number along each axis
    low_mm, high_mm : (3,) f8, the box of the grid without the border
    per_voxel : (3,) f8, voxels per mm
    majorant_per_mm : (e,) f8, largest µ of any kind at i keV
    share : (e or 1, kinds) f4 flat, µ of each kind over the majorant at i keV
    row_step : kinds, or 0 where all is of one material and ``share`` has one row for all energies
    material : (kinds,) i8, material of each kind
    fate : (e, materials, 2) f4 flat, see ``Attenuation``
    materials : number of materials
    scatter : form factors and scattering functions of the materials
    cut_keV : photons scattered below this are dropped
    """

    kind: npt.NDArray[np.uint8]
    kind_block: npt.NDArray[np.uint8]
    steps: tuple[int, int, int, int]
    blocks: npt.NDArray[np.uint64]
    low_mm: npt.NDArray[np.float64]
    high_mm: npt.NDArray[np.float64]
    per_voxel: npt.NDArray[np.float64]
    majorant_per_mm: npt.NDArray[np.float64]
    share: npt.NDArray[np.float32]
    row_step: int
    material: npt.NDArray[np.int64]
    fate: npt.NDArray[np.float32]
    materials: int
    scatter: ScatterTables
    cut_keV: float


def object_tables(
    phantom: Phantom, *, trigger_keV: float = 100.0, coherent: bool = True
) -> ObjectTables:
    """Return the tables of a phantom's matter, cropped to where there is any."""
    first, last = _filled_box(phantom.mu_per_mm)
    voxel = np.asarray(phantom.voxel_mm, dtype=np.float64)
    low = np.asarray(phantom.origin_mm) + (first - 0.5) * voxel
    kinds = kinds_of(phantom)
    by_energy = attenuation(kinds, coherent=coherent)
    kind = _bordered(kinds.voxel[tuple(slice(a, b) for a, b in zip(first, last, strict=True))])
    blocks = _blocks(kind)
    return ObjectTables(
        kind=kind.ravel(),
        kind_block=blocks.ravel(),
        steps=(*_steps(kind), *_steps(blocks)),
        blocks=np.array(blocks.shape, np.uint64),
        low_mm=low,
        high_mm=low + (last - first) * voxel,
        per_voxel=1.0 / voxel,
        majorant_per_mm=by_energy.majorant_per_mm,
        share=by_energy.share.ravel(),
        row_step=by_energy.share.shape[1] if len(by_energy.share) > 1 else 0,
        material=kinds.material,
        fate=by_energy.fate.ravel(),
        materials=len(kinds.materials),
        scatter=scatter_tables(kinds.materials),
        cut_keV=OBJECT_CUT_KEV * min(1.0, trigger_keV / 100.0),
    )


def _steps(grid: npt.NDArray[np.uint8]) -> tuple[int, int]:
    return grid.shape[1] * grid.shape[2], grid.shape[2]


def _filled_box(mu: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    filled = np.argwhere(mu > 0)
    if len(filled) == 0:
        return np.zeros(3, np.int64), np.zeros(3, np.int64)
    return filled.min(axis=0), filled.max(axis=0) + 1


def _bordered(kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the grid with an empty border, padded to whole blocks."""
    widths = [(1, 1 + (-n - 2) % _BLOCK) for n in kind.shape]
    return np.pad(kind, widths)


def _blocks(kind: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    nx, ny, nz = (n // _BLOCK for n in kind.shape)
    split = kind.reshape(nx, _BLOCK, ny, _BLOCK, nz, _BLOCK)
    least, most = split.min(axis=(1, 3, 5)), split.max(axis=(1, 3, 5))
    return np.ascontiguousarray(np.where(least == most, least, np.uint8(MIXED)))


@bare_kernel
def box_crossing(
    photon: Photon, low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[float, float]:
    """Return the distances (mm, from 0 on) between which the photon's ray is inside the box."""
    enter, leave = 0.0, _FAR
    for axis in range(3):
        slope = photon[DX + axis]
        if slope == 0.0:
            slope = 1e-30
        inverse = 1.0 / slope
        a = (low[axis] - photon[X + axis]) * inverse
        b = (high[axis] - photon[X + axis]) * inverse
        enter = max(enter, min(a, b))
        leave = min(leave, max(a, b))
    return enter, leave


@bare_kernel
def track_object(state: State, photon: Photon, tables: ObjectTables) -> bool:
    """Track the photon through the object; True if it leaves, False if it is absorbed.

    A photon that leaves is left at its last scatter (or where it started), on the straight line
    of its further path.
    """
    low, high, per_voxel = tables.low_mm, tables.high_mm, tables.per_voxel
    px, py, pz = photon[X], photon[Y], photon[Z]
    travelled = 0.0
    if (
        not (low[0] <= px <= high[0])
        or not (low[1] <= py <= high[1])
        or not (low[2] <= pz <= high[2])
    ):
        travelled, leave = box_crossing(photon, low, high)
        if travelled >= leave:
            return True
    sx, sy, sz = per_voxel[0], per_voxel[1], per_voxel[2]
    across, down, blocks_across, blocks_down = tables.steps
    while True:
        # voxel coordinates along the ray; the border of one voxel absorbs rounding at the faces
        x = (px - low[0]) * sx + 1.0
        y = (py - low[1]) * sy + 1.0
        z = (pz - low[2]) * sz + 1.0
        vx, vy, vz = photon[DX] * sx, photon[DY] * sy, photon[DZ] * sz
        energy_bin = int(photon[ENERGY] + 0.5)
        free_path_mm = 1.0 / tables.majorant_per_mm[np.uint64(energy_bin)]
        row = energy_bin * tables.row_step
        while True:
            path, chance = exponential_and_uniform(state)
            travelled += path * free_path_mm
            ix, iy, iz = int(x + vx * travelled), int(y + vy * travelled), int(z + vz * travelled)
            bx, by, bz = ix >> _BLOCK_SHIFT, iy >> _BLOCK_SHIFT, iz >> _BLOCK_SHIFT
            # as unsigned numbers, so that what is below 0 is too large
            if (
                (np.uint64(bx) >= tables.blocks[0])
                | (np.uint64(by) >= tables.blocks[1])
                | (np.uint64(bz) >= tables.blocks[2])
            ):
                photon[X], photon[Y], photon[Z] = px, py, pz
                return True
            kind = tables.kind_block[np.uint64(bx * blocks_across + by * blocks_down + bz)]
            if kind == MIXED:
                kind = tables.kind[np.uint64(ix * across + iy * down + iz)]
            kept = tables.share[np.uint64(row + kind)]
            if chance < kept:
                break
        px += photon[DX] * travelled
        py += photon[DY] * travelled
        pz += photon[DZ] * travelled
        photon[PATH] += travelled
        travelled = 0.0
        material = np.int64(tables.material[kind])
        fate = uniform(state)
        ends = 2 * (energy_bin * tables.materials + material)
        if fate < tables.fate[np.uint64(ends)]:
            return False
        photon[SCATTERS] += 1.0
        if fate < tables.fate[np.uint64(ends + 1)]:
            scatter_coherent(state, photon, tables.scatter, material)
            continue
        scatter_bound(state, photon, tables.scatter, material)
        if photon[ENERGY] < tables.cut_keV:
            return False
