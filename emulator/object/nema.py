"""NEMA's phantoms of one cross-section: scatter phantoms, and the line in its aluminium sleeves.

Dimensions: NEMA Standards Publications NU 2-2012 (the same in NU 2-2018), sections 4 (scatter
phantom) and 5 (sensitivity), and NU 4-2008, section 4 (scatter phantoms of mouse and rat). The
lines are parallel to the scanner's axis and centred along it; no bed is modelled. Voxels are long
along the axis, as little changes in that direction; edge voxels hold the share of each material
that they cover.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom, PhantomError
from emulator.physics.materials import mu_per_mm
from hw.scanner.description import Scanner

LENGTH_MM = 700.0

SCATTER_DIAMETER_MM = 203.0
SCATTER_OFFSET_MM = 45.0
"""The line's distance from the axis; NEMA has it towards the bed, here −y."""

HOLE_MM = 6.4
TUBE_OUTER_MM = 4.8
TUBE_INNER_MM = 3.2

SLEEVES_MM = ((3.9, 6.4), (7.0, 9.5), (10.2, 12.7), (13.4, 15.9), (16.6, 19.1))
"""Inner and outer diameters of the aluminium sleeves."""

LINE_OUTER_MM = 3.2
LINE_INNER_MM = 1.0

_OVER = 8  # sub-voxels along a side, for the shares of a disc

Plane = npt.NDArray[np.float64]


class _Disc(NamedTuple):
    """A disc that replaces what is there: material ("" for air), diameter, centre along y."""

    material: str
    diameter_mm: float
    y_mm: float = 0.0


class _Rodent(NamedTuple):
    """A scatter phantom of NU 4: polyethylene with a hole, off its axis, that holds a line."""

    diameter_mm: float
    length_mm: float
    offset_mm: float
    active_mm: float


MOUSE = _Rodent(25.0, 70.0, 10.0, 60.0)
RAT = _Rodent(50.0, 150.0, 17.5, 140.0)
RODENT_HOLE_MM = 3.2
RODENT_LINE_MM = 2.0
"""Diameter of the fluid in the line's tube, which fills the hole."""


def nema_scatter(scanner: Scanner) -> Phantom:
    """Return the scatter phantom: 203 mm of polyethylene with a line source 45 mm off its axis.

    The line's tube (polyethylene, filled with water) lies in a hole of 6.4 mm.
    """
    y = -SCATTER_OFFSET_MM
    discs = [
        _Disc("polyethylene", SCATTER_DIAMETER_MM),
        _Disc("", HOLE_MM, y),
        _Disc("polyethylene", TUBE_OUTER_MM, y),
        _Disc("water", TUBE_INNER_MM, y),
    ]
    return _long("nema-scatter", discs, half_mm=104.0, voxel_mm=(1.0, 1.0, 7.0))


def nema_mouse_scatter(scanner: Scanner) -> Phantom:
    """Return NU 4's scatter phantom of a mouse: 25 × 70 mm, the line 10 mm off its axis."""
    return _rodent("nema-mouse-scatter", MOUSE, voxel_mm=(0.25, 0.25, 1.0))


def nema_rat_scatter(scanner: Scanner) -> Phantom:
    """Return NU 4's scatter phantom of a rat: 50 × 150 mm, the line 17.5 mm off its axis."""
    return _rodent("nema-rat-scatter", RAT, voxel_mm=(0.25, 0.25, 1.0))


def _rodent(name: str, size: _Rodent, *, voxel_mm: tuple[float, float, float]) -> Phantom:
    y = -size.offset_mm
    discs = [
        _Disc("polyethylene", size.diameter_mm),
        _Disc("polyethylene", RODENT_HOLE_MM, y),
        _Disc("water", RODENT_LINE_MM, y),
    ]
    phantom = _long(name, discs, half_mm=size.diameter_mm / 2 + 1, voxel_mm=voxel_mm,
                    length_mm=size.length_mm)  # fmt: skip
    phantom.activity[:, :, np.abs(phantom.axis_mm(2)) > size.active_mm / 2] = 0
    return phantom


def nema_line(scanner: Scanner, *, sleeves: int = 1, y_mm: float = 0.0) -> Phantom:
    """Return the sensitivity line source within the first ``sleeves`` (0 to 5) sleeves.

    The line is 1 mm of water in a 3.2 mm polyethylene tube, ``y_mm`` above the scanner's axis (the
    standard has it on the axis and 100 mm off it).
    """
    if not 0 <= sleeves <= len(SLEEVES_MM):
        raise PhantomError(
            f"phantom nema-line: sleeves = {sleeves}: there are {len(SLEEVES_MM)}; give 0 to "
            f"{len(SLEEVES_MM)}"
        )
    discs = [
        disc
        for inner_mm, outer_mm in reversed(SLEEVES_MM[:sleeves])
        for disc in (_Disc("aluminium", outer_mm), _Disc("", inner_mm))
    ]
    discs += [_Disc("polyethylene", LINE_OUTER_MM), _Disc("water", LINE_INNER_MM)]
    line = _long("nema-line", discs, half_mm=10.0, voxel_mm=(0.25, 0.25, 7.0))
    x, y, z = line.origin_mm
    return replace(line, origin_mm=(x, y + y_mm, z))


def _long(
    name: str,
    discs: list[_Disc],
    *,
    half_mm: float,
    voxel_mm: tuple[float, float, float],
    length_mm: float = LENGTH_MM,
) -> Phantom:
    """Return the phantom whose cross-section the discs make up; the last disc is active."""
    first_mm = -half_mm + voxel_mm[0] / 2
    count = round(2 * half_mm / voxel_mm[0])
    slices = round(length_mm / voxel_mm[2])
    materials = tuple(dict.fromkeys(disc.material for disc in discs if disc.material))
    shares = _shares(discs, materials, count, voxel_mm[0])
    mu = np.array([mu_per_mm(material) for material in materials])
    active = _disc_share(discs[-1], count, voxel_mm[0])
    return Phantom(
        name=name,
        activity=_stacked(active.astype(np.float32), slices),
        mu_per_mm=_stacked(np.tensordot(mu, shares, 1).astype(np.float32), slices),
        voxel_mm=voxel_mm,
        origin_mm=(first_mm, first_mm, -(slices - 1) / 2 * voxel_mm[2]),
        material=_stacked(shares.argmax(axis=0).astype(np.uint8), slices),
        materials=materials,
    )


def _shares(discs: list[_Disc], materials: tuple[str, ...], count: int, voxel_mm: float) -> Plane:
    """Return each material's share of the voxels, (materials, x, y)."""
    shares = np.zeros((len(materials), count, count))
    for disc in discs:
        covered = _disc_share(disc, count, voxel_mm)
        shares *= 1.0 - covered
        if disc.material:
            shares[materials.index(disc.material)] += covered
    return shares


def _disc_share(disc: _Disc, count: int, voxel_mm: float) -> Plane:
    """Return the share of each voxel that a disc covers, (x, y), on a grid centred on the axis."""
    fine = ((np.arange(count * _OVER) + 0.5) / _OVER - count / 2) * voxel_mm
    inside = np.hypot(fine[:, None], fine[None, :] - disc.y_mm) <= disc.diameter_mm / 2
    blocks = inside.reshape(count, _OVER, count, _OVER)
    return np.asarray(blocks.mean(axis=(1, 3)))


def _stacked(plane: npt.NDArray[Any], slices: int) -> npt.NDArray[Any]:
    return np.ascontiguousarray(np.repeat(plane[:, :, None], slices, axis=2))
