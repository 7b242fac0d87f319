"""A photon's path in the detector: which module it meets, and what it deposits there.

Modules are exact boxes of homogeneous scintillator (a pixelated module is one box, without
reflectors). Inside, there is photoelectric absorption and Klein-Nishina scatter until the photon is
absorbed or leaves; it may then meet other modules, or the object again. Fluorescence and electrons
do not leave the place of interaction.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.materials import cross_sections
from emulator.physics.photons import (
    DX,
    DY,
    DZ,
    ENERGY,
    PATH,
    Photon,
    State,
    X,
    Y,
    Z,
    scatter_compton,
)
from hw.jit import bare_kernel
from hw.physics.random_numbers import exponential, uniform
from hw.scanner.description import Scanner

CRYSTAL_CUT_KEV = 20.0
"""Below this a photon is absorbed where it is: it would not get 0.1 mm further in LYSO."""

DEPOSIT_KEV, DEPOSIT_U, DEPOSIT_V, DEPOSIT_W, DEPOSIT_PATH = range(5)
DEPOSIT_SIZE = 5

ABSORBED, LEFT, GONE = 0, 1, 2

GUESS_BINS = 512

_FAR = 1e30
_CLEAR_MM = 1e-6  # a photon that leaves a box is set this far outside, clear of rounding


class DetectorTables(NamedTuple):
    """The ring of modules as the kernel sees it.

    cos_sector, sin_sector : (sectors,) f8, direction of each sector's outward normal
    sector_guess : (GUESS_BINS + 1,) i8, sector by the pseudo-angle of a point
    ring_z_mm : (rings,) f8, centres of the rings, ascending and equally spaced
    pitch_mm, inradius_mm, half_u_mm, half_v_mm, thickness_mm : see the scanner preset
    mu_per_mm, photo_fraction : (e,) f8, element i for the scintillator at i keV
    monolithic : the position of a hit is the energy-weighted mean (True) or the largest deposit
    """

    cos_sector: npt.NDArray[np.float64]
    sin_sector: npt.NDArray[np.float64]
    sector_guess: npt.NDArray[np.int64]
    ring_z_mm: npt.NDArray[np.float64]
    pitch_mm: float
    inradius_mm: float
    half_u_mm: float
    half_v_mm: float
    thickness_mm: float
    mu_per_mm: npt.NDArray[np.float64]
    photo_fraction: npt.NDArray[np.float64]
    monolithic: bool


def detector_tables(scanner: Scanner) -> DetectorTables:
    """Return the tables of a scanner."""
    ring, module = scanner.ring, scanner.module
    half = (ring.n_rings - 1) / 2
    angle = 2 * np.pi * np.arange(ring.modules_per_ring) / ring.modules_per_ring
    material = cross_sections(module.material)
    return DetectorTables(
        cos_sector=np.cos(angle),
        sin_sector=np.sin(angle),
        sector_guess=_sector_guesses(ring.modules_per_ring),
        ring_z_mm=ring.ring_pitch_mm * (np.arange(ring.n_rings, dtype=np.float64) - half),
        pitch_mm=float(ring.ring_pitch_mm),
        inradius_mm=float(ring.inradius_mm),
        half_u_mm=module.width_mm / 2,
        half_v_mm=module.height_mm / 2,
        thickness_mm=float(module.thickness_mm),
        mu_per_mm=material.mu_per_mm,
        photo_fraction=material.photo_fraction,
        monolithic=bool(module.monolithic),
    )


def _sector_guesses(sectors: int) -> npt.NDArray[np.int64]:
    pseudo = np.minimum((np.arange(GUESS_BINS + 1) + 0.5) / GUESS_BINS * 4.0 - 2.0, 2.0)
    # the point of the diamond |x| + |y| = 1 that has this pseudo-angle (see find_module)
    y = np.where(np.abs(pseudo) <= 1.0, pseudo, np.sign(pseudo) * (2.0 - np.abs(pseudo)))
    x = np.where(np.abs(pseudo) <= 1.0, 1.0, -1.0) * (1.0 - np.abs(y))
    guess = np.rint(np.arctan2(y, x) * sectors / (2.0 * np.pi)).astype(np.int64)
    return guess % sectors


@bare_kernel
def slab(position: float, slope: float, low: float, high: float) -> tuple[float, float]:
    """Return the distances between which a ray lies within [low, high] along one axis."""
    if abs(slope) < 1e-30:
        if low <= position <= high:
            return -_FAR, _FAR
        return _FAR, -_FAR
    a = (low - position) / slope
    b = (high - position) / slope
    return min(a, b), max(a, b)


@bare_kernel
def meet_stave(photon: Photon, sector: int, tables: DetectorTables) -> tuple[float, int]:
    """Return (distance, ring) of the first module of one sector on the ray; ring -1: none."""
    c, s = tables.cos_sector[sector], tables.sin_sector[sector]
    u = c * photon[Y] - s * photon[X]
    du = c * photon[DY] - s * photon[DX]
    w = c * photon[X] + s * photon[Y] - tables.inradius_mm
    dw = c * photon[DX] + s * photon[DY]
    enter_u, leave_u = slab(u, du, -tables.half_u_mm, tables.half_u_mm)
    enter_w, leave_w = slab(w, dw, 0.0, tables.thickness_mm)
    enter = max(enter_u, enter_w, 0.0)
    leave = min(leave_u, leave_w)
    if enter >= leave:
        return _FAR, -1
    rings = len(tables.ring_z_mm)
    z = photon[Z] + photon[DZ] * enter
    ring = math.floor((z - tables.ring_z_mm[0]) / tables.pitch_mm + 0.5)
    ring = min(max(ring, 0), rings - 1)
    beside = z - tables.ring_z_mm[ring]
    if abs(beside) <= tables.half_v_mm:
        return enter, ring
    # between the rings, or beyond the last: the next face along z, if the ray reaches it in time
    if beside * photon[DZ] > 0.0:
        ring += 1 if beside > 0.0 else -1
        if ring < 0 or ring >= rings:
            return _FAR, -1
    if photon[DZ] == 0.0:
        return _FAR, -1
    face = tables.ring_z_mm[ring] - math.copysign(tables.half_v_mm, photon[DZ])
    distance = enter + (face - z) / photon[DZ]
    if distance >= leave:
        return _FAR, -1
    return distance, ring


@bare_kernel
def find_module(photon: Photon, tables: DetectorTables) -> tuple[float, int, int]:
    """Return (distance in mm, ring, sector) of the first module on the photon's ray; ring -1: none.

    From inside the bore, the ray leaves the polygon of front faces through the face of one sector.
    If that point lies on a module, no other can be nearer; only rays that hit a gap, start outside
    or come in from the ends are tested against every sector. The sector is guessed from a
    pseudo-angle (cheaper than atan2); a wrong guess only costs time, as the ray misses its face.
    """
    sectors = len(tables.cos_sector)
    x, y, dx, dy = photon[X], photon[Y], photon[DX], photon[DY]
    across = dx * dx + dy * dy
    along = x * dx + y * dy
    room = tables.inradius_mm * tables.inradius_mm - x * x - y * y
    if room > 0.0 and across > 1e-12:
        # where the ray leaves the circle within the faces; lengths are times `across`
        circle = math.sqrt(along * along + across * room) - along
        beyond = 0.5 * len(tables.ring_z_mm) * tables.pitch_mm * across
        if (
            abs(photon[Z]) * across + abs(photon[DZ]) * circle > beyond
            and photon[Z] * photon[DZ] > 0.0
        ):
            return _FAR, -1, 0  # through an end already there, and going further out
        px, py = x * across + dx * circle, y * across + dy * circle
        pseudo = py / (abs(px) + abs(py))
        if px < 0.0:
            pseudo = math.copysign(2.0, py) - pseudo
        sector = tables.sector_guess[int((pseudo + 2.0) * (GUESS_BINS / 4.0))]
        c, s = tables.cos_sector[sector], tables.sin_sector[sector]
        dw = c * dx + s * dy
        if dw > 0.0:
            distance = (tables.inradius_mm - c * x - s * y) / dw
            u = c * (y + dy * distance) - s * (x + dx * distance)
            z = photon[Z] + photon[DZ] * distance
            if abs(u) <= tables.half_u_mm:
                offset = (z - tables.ring_z_mm[0]) / tables.pitch_mm + 0.5
                ring = math.floor(offset)
                if 0 <= ring < len(tables.ring_z_mm):
                    if abs(z - tables.ring_z_mm[ring]) <= tables.half_v_mm:
                        return distance, ring, sector
                elif (offset > 0.0) == (photon[DZ] > 0.0):
                    return _FAR, -1, 0  # beyond the ends and going further out
    best, best_ring, best_sector = _FAR, -1, 0
    for sector in range(sectors):
        distance, ring = meet_stave(photon, sector, tables)
        if distance < best:
            best, best_ring, best_sector = distance, ring, sector
    return best, best_ring, best_sector


@bare_kernel
def track_crystal(
    state: State,
    photon: Photon,
    ring: int,
    sector: int,
    tables: DetectorTables,
    deposit: npt.NDArray[np.float64],
) -> int:
    """Track the photon, starting on a module's face, through that module.

    ``deposit`` (DEPOSIT_SIZE,) receives the energy deposited (keV), the place (u, v, w in mm from
    the front face's centre) and the photon's path length at its first interaction (mm).

    ``photon`` : in mm and keV, moved; ``ring`` and ``sector`` : the module's.

    Returns
    -------
    ABSORBED, LEFT (the photon is outside and may meet other modules) or GONE (through the back
    face: as modules do not overlap, there is none in the half-space behind)
    """
    ring_z = tables.ring_z_mm[ring]
    c, s = tables.cos_sector[sector], tables.sin_sector[sector]
    u = c * photon[Y] - s * photon[X]
    w = c * photon[X] + s * photon[Y] - tables.inradius_mm
    du = c * photon[DY] - s * photon[DX]
    dw = c * photon[DX] + s * photon[DY]
    # the photon lives in the module's frame (u, v, w as x, y, z) until it leaves
    photon[X], photon[Y], photon[Z] = u, photon[Z] - ring_z, w
    photon[DX], photon[DY], photon[DZ] = du, photon[DZ], dw
    total = 0.0
    largest = 0.0
    deposit[DEPOSIT_U] = deposit[DEPOSIT_V] = deposit[DEPOSIT_W] = 0.0
    fate = ABSORBED
    while True:
        x, y, z = photon[X], photon[Y], photon[Z]
        dx, dy, dz = photon[DX], photon[DY], photon[DZ]
        leave = _FAR
        if dx != 0.0:
            leave = (math.copysign(tables.half_u_mm, dx) - x) / dx
        if dy != 0.0:
            leave = min(leave, (math.copysign(tables.half_v_mm, dy) - y) / dy)
        through_back = False
        if dz > 0.0:
            back = (tables.thickness_mm - z) / dz
            through_back = back < leave
            leave = min(leave, back)
        elif dz < 0.0:
            leave = min(leave, -z / dz)
        energy = photon[ENERGY]
        below = int(energy)
        part = energy - below
        mu = tables.mu_per_mm[below] * (1.0 - part) + tables.mu_per_mm[below + 1] * part
        step = exponential(state) / mu
        if step >= leave:
            fate = GONE if through_back else LEFT
            step = leave + _CLEAR_MM
        photon[X], photon[Y], photon[Z] = x + dx * step, y + dy * step, z + dz * step
        photon[PATH] += step
        if fate != ABSORBED:
            break
        if total == 0.0:
            deposit[DEPOSIT_PATH] = photon[PATH]
        given = energy
        if uniform(state) >= tables.photo_fraction[int(energy + 0.5)]:
            given = scatter_compton(state, photon)
            if photon[ENERGY] < CRYSTAL_CUT_KEV:
                given = energy
        total += given
        if tables.monolithic:
            deposit[DEPOSIT_U] += given * photon[X]
            deposit[DEPOSIT_V] += given * photon[Y]
            deposit[DEPOSIT_W] += given * photon[Z]
        elif given > largest:
            largest = given
            deposit[DEPOSIT_U] = photon[X]
            deposit[DEPOSIT_V] = photon[Y]
            deposit[DEPOSIT_W] = photon[Z]
        if given == energy:
            break
    deposit[DEPOSIT_KEV] = total
    if tables.monolithic and total > 0.0:
        deposit[DEPOSIT_U] /= total
        deposit[DEPOSIT_V] /= total
        deposit[DEPOSIT_W] /= total
    if fate == LEFT:
        u, v, w = photon[X], photon[Y], photon[Z] + tables.inradius_mm
        photon[X], photon[Y], photon[Z] = c * w - s * u, s * w + c * u, v + ring_z
        du, dv, dw = photon[DX], photon[DY], photon[DZ]
        photon[DX], photon[DY], photon[DZ] = c * dw - s * du, s * dw + c * du, dv
    return fate
