"""A parallel-hole collimator: how much of its septa a straight ray crosses.

Holes are hexagons on a triangular lattice or squares on a square one; in both, every hole lies in
the middle of a lattice cell, and the cells fill the plane. Seen along the holes, a ray is a segment
in that plane. It is followed from cell to cell; in each, the part within the hole lies between the
slabs of the hole's sides. The rest is septum, and the path in it is exact: a ray that crosses many
septa (penetration) is treated like one that crosses none.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.materials import cross_sections
from hw.jit import bare_kernel, kernel
from hw.scanner.description import Collimator, Scanner

_FAR = 1e30
_SIDES = {"hexagonal": 3, "square": 2}


class CollimatorTables(NamedTuple):
    """Every module's collimator as the kernels see it; (u, v) from the module's centre.

    sides : 3 (hexagonal holes) or 2 (square ones) pairs of parallel sides
    half_hole_mm, half_pitch_mm : half of the hole, and of the cell, from flat to flat
    offset_u_mm, offset_v_mm : the centre of one of the holes
    length_mm, gap_mm : length of the holes; distance from the collimator's back to the crystal
    half_u_mm, half_v_mm : half of the face
    mu_per_mm : (e,) f8, of the septa at i keV, including coherent scatter: scattered photons are
        the business of ``septa_playback``
    cover_per_mm : (e,) f8, the same for the crystal's cover
    cover_mm : the cover's thickness
    """

    sides: int
    half_hole_mm: float
    half_pitch_mm: float
    offset_u_mm: float
    offset_v_mm: float
    length_mm: float
    gap_mm: float
    half_u_mm: float
    half_v_mm: float
    mu_per_mm: npt.NDArray[np.float64]
    cover_per_mm: npt.NDArray[np.float64]
    cover_mm: float


def collimator_tables(scanner: Scanner) -> CollimatorTables:
    """Return the tables of a scanner that has collimators.

    Square holes as wide as the crystals are registered to them; otherwise a hole's centre is the
    module's.
    """
    collimator, module = scanner.collimator, scanner.module
    assert collimator is not None  # what makes a scanner one for SPECT
    pitch = collimator.hole_mm + collimator.septum_mm
    registered = collimator.hole == "square" and math.isclose(pitch, module.pitch_u_mm)
    return lattice_tables(collimator)._replace(
        offset_u_mm=pitch / 2 * ((module.n_u + 1) % 2) if registered else 0.0,
        offset_v_mm=pitch / 2 * ((module.n_v + 1) % 2) if registered else 0.0,
        half_u_mm=module.width_mm / 2,
        half_v_mm=module.height_mm / 2,
    )


def lattice_tables(collimator: Collimator) -> CollimatorTables:
    """Return the tables of an infinite collimator, with a hole's centre at the origin."""
    return CollimatorTables(
        sides=_SIDES[collimator.hole],
        half_hole_mm=collimator.hole_mm / 2,
        half_pitch_mm=(collimator.hole_mm + collimator.septum_mm) / 2,
        offset_u_mm=0.0,
        offset_v_mm=0.0,
        length_mm=float(collimator.length_mm),
        gap_mm=float(collimator.gap_mm),
        half_u_mm=math.inf,
        half_v_mm=math.inf,
        mu_per_mm=_whole_mu(collimator.material),
        cover_per_mm=_whole_mu("Al"),
        cover_mm=float(collimator.cover_mm),
    )


def _whole_mu(material: str) -> npt.NDArray[np.float64]:
    table = cross_sections(material)
    return table.mu_per_mm + table.coherent_per_mm


@bare_kernel
def cell_centre(u: float, v: float, tables: CollimatorTables) -> tuple[float, float]:
    """Return the centre of the cell that contains a place."""
    pitch = 2.0 * tables.half_pitch_mm
    u -= tables.offset_u_mm
    v -= tables.offset_v_mm
    if tables.sides == 2:
        cu, cv = math.floor(u / pitch + 0.5) * pitch, math.floor(v / pitch + 0.5) * pitch
        return cu + tables.offset_u_mm, cv + tables.offset_v_mm
    row_mm = pitch * 0.8660254037844386
    below = math.floor(v / row_mm)
    best, best_u, best_v = _FAR, 0.0, 0.0
    for step in range(2):  # the nearest centre is in the row below or in the one above
        row = below + step
        shift = 0.5 * pitch * row
        cu = math.floor((u - shift) / pitch + 0.5) * pitch + shift
        cv = row * row_mm
        square = (u - cu) * (u - cu) + (v - cv) * (v - cv)
        if square < best:
            best, best_u, best_v = square, cu, cv
    return best_u + tables.offset_u_mm, best_v + tables.offset_v_mm


@bare_kernel
def septa_share(
    u: float, v: float, du: float, dv: float, most: float, tables: CollimatorTables
) -> float:
    """Return the share of the segment from (u, v) to (u + du, v + dv) that lies in septa.

    Once the share exceeds ``most``, it may stop and return the part found so far.

    u, v, du, dv : mm, in the collimator's plane
    """
    cu, cv = cell_centre(u, v, tables)
    u -= cu
    v -= cv
    half, hole = tables.half_pitch_mm, tables.half_hole_mm
    # places and slopes along the normals of the sides: at 0°, 60°, 120°, or 0° and 90°
    s0, d0 = u, du
    if tables.sides == 3:
        s1, d1 = 0.5 * u + 0.8660254037844386 * v, 0.5 * du + 0.8660254037844386 * dv
        s2, d2 = s1 - s0, d1 - d0
    else:
        s1, d1 = v, dv
        s2, d2 = 0.0, 0.0
    i0 = 1.0 / d0 if d0 != 0.0 else _FAR
    i1 = 1.0 / d1 if d1 != 0.0 else _FAR
    i2 = 1.0 / d2 if d2 != 0.0 else _FAR
    along, septa = 0.0, 0.0
    while True:
        e0 = (math.copysign(half, i0) - s0) * i0
        e1 = (math.copysign(half, i1) - s1) * i1
        e2 = (math.copysign(half, i2) - s2) * i2
        leave = min(e0, e1, e2, 1.0)
        h0, h1, h2 = hole * abs(i0), hole * abs(i1), hole * abs(i2)
        enter_hole = max(-s0 * i0 - h0, -s1 * i1 - h1, -s2 * i2 - h2, along)
        leave_hole = min(-s0 * i0 + h0, -s1 * i1 + h1, -s2 * i2 + h2, leave)
        septa += max(leave - along, 0.0) - max(leave_hole - enter_hole, 0.0)
        if leave >= 1.0 or septa > most:
            return septa
        along = max(leave, along)
        if e0 <= e1 and e0 <= e2:
            step = math.copysign(2.0 * half, i0)
            s0 -= step
            if tables.sides == 3:
                s1 -= 0.5 * step
                s2 += 0.5 * step
        elif e1 <= e2:
            step = math.copysign(2.0 * half, i1)
            s1 -= step
            if tables.sides == 3:
                s0 -= 0.5 * step
                s2 -= 0.5 * step
        else:
            step = math.copysign(2.0 * half, i2)
            s2 -= step
            s1 -= 0.5 * step
            s0 += 0.5 * step


@kernel
def least_septa_mm(
    across_mm: npt.NDArray[np.float64],
    places_mm: npt.NDArray[np.float64],
    azimuths_rad: npt.NDArray[np.float64],
    tables: CollimatorTables,
) -> npt.NDArray[np.float64]:
    """Return the shortest path in septa, seen along the holes, of segments of given lengths.

    Parameters
    ----------
    across_mm : (n,) f8, lengths of the segments
    places_mm : (k, 2) f8, where they start; azimuths_rad : (a,) f8, their directions

    Returns
    -------
    (n,) f8, mm
    """
    least = np.empty(len(across_mm))
    for i in range(len(across_mm)):
        best = _FAR
        for azimuth in azimuths_rad:
            du, dv = across_mm[i] * math.cos(azimuth), across_mm[i] * math.sin(azimuth)
            for k in range(len(places_mm)):
                share = septa_share(places_mm[k, 0], places_mm[k, 1], du, dv, 1.0, tables)
                best = min(best, share * across_mm[i])
        least[i] = best
    return least
