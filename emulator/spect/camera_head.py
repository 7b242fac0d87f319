"""A photon in a camera's crystal and in what lies behind it, with fluorescence and backscatter.

Crystal and backing (light guide) are boxes along the module's axes: u, v, and w outward from the
crystal's front face. In both, the photon is absorbed or scatters after Klein and Nishina; from the
backing it may return. Photoelectric absorption in the crystal emits a K X-ray with the element's
yield, which is tracked like any photon: near the front face some escape. What leaves through the
front or the sides meets lead and is lost.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import (
    CRYSTAL_CUT_KEV,
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_SIZE,
    DEPOSIT_U,
    DEPOSIT_V,
    DEPOSIT_W,
)
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
    aim_isotropic,
    scatter_compton,
)
from hw.jit import bare_kernel
from hw.physics.random_numbers import exponential, uniform
from hw.scanner.description import Scanner

_FAR = 1e30
_STEP_CLEAR_MM = 1e-9
MOST_CROSSINGS = 16  # between crystal and backing

LARGEST = DEPOSIT_SIZE
FROM_BACKING = DEPOSIT_SIZE + 1
HEAD_DEPOSIT_SIZE = DEPOSIT_SIZE + 2
"""A deposit, the largest of its parts, and how often the photon came back from the backing."""

FLUORESCENCE: dict[str, tuple[tuple[float, float, float], ...]] = {
    "NaI": ((0.600, 33.169, 28.51), (0.135, 33.169, 32.41)),  # iodine
    "CZT": (
        (0.359, 31.814, 27.38),  # tellurium
        (0.080, 31.814, 31.10),
        (0.229, 26.711, 23.11),  # cadmium
        (0.049, 26.711, 26.17),
    ),
}
"""K X-rays of a material: (photons per photoelectric absorption, K edge in keV, mean energy in keV)
of Kα and Kβ. The element's share of the absorption at 140 keV times the K shell's, 1 − 1/jump,
times its yield times the line's share: xraylib 4.3.0 (T. Schoonjans et al., Spectrochim. Acta B 66
(2011) 776; yields after M. O. Krause, J. Phys. Chem. Ref. Data 8 (1979) 307)."""


class HeadTables(NamedTuple):
    """A camera's crystal and backing as the kernels see them.

    half_u_mm, half_v_mm, thickness_mm, backing_mm : the boxes; backing_mm 0 for no backing
    mu_per_mm, photo_fraction : (e,) f8, of the crystal at i keV
    backing_mu_per_mm, backing_photo : (e,) f8, of the backing
    line_edge_keV, line_keV, line_chance : (lines,) f8, K X-rays: edge above which they occur,
        energy, cumulative probability per absorption
    monolithic : the position is the energy-weighted mean (True) or the largest deposit
    """

    half_u_mm: float
    half_v_mm: float
    thickness_mm: float
    backing_mm: float
    mu_per_mm: npt.NDArray[np.float64]
    photo_fraction: npt.NDArray[np.float64]
    backing_mu_per_mm: npt.NDArray[np.float64]
    backing_photo: npt.NDArray[np.float64]
    line_edge_keV: npt.NDArray[np.float64]
    line_keV: npt.NDArray[np.float64]
    line_chance: npt.NDArray[np.float64]
    monolithic: bool


def head_tables(scanner: Scanner) -> HeadTables:
    """Return the tables of a scanner's modules."""
    module, backing = scanner.module, scanner.backing
    crystal = cross_sections(module.material)
    behind = cross_sections(backing.material if backing is not None else "air")
    lines = np.array(FLUORESCENCE.get(module.material, ()), np.float64).reshape(-1, 3)
    return HeadTables(
        half_u_mm=module.width_mm / 2,
        half_v_mm=module.height_mm / 2,
        thickness_mm=float(module.thickness_mm),
        backing_mm=0.0 if backing is None else float(backing.thickness_mm),
        mu_per_mm=crystal.mu_per_mm,
        photo_fraction=crystal.photo_fraction,
        backing_mu_per_mm=behind.mu_per_mm,
        backing_photo=behind.photo_fraction,
        line_edge_keV=lines[:, 1].copy(),
        line_keV=lines[:, 2].copy(),
        line_chance=np.cumsum(lines[:, 0]),
        monolithic=bool(module.monolithic),
    )


@bare_kernel
def way_out(photon: Photon, low_mm: float, high_mm: float, head: HeadTables) -> float:
    """Return the distance at which the photon leaves the box low ≤ w ≤ high."""
    leave = _FAR
    if photon[DX] != 0.0:
        leave = (math.copysign(head.half_u_mm, photon[DX]) - photon[X]) / photon[DX]
    if photon[DY] != 0.0:
        leave = min(leave, (math.copysign(head.half_v_mm, photon[DY]) - photon[Y]) / photon[DY])
    if photon[DZ] > 0.0:
        leave = min(leave, (high_mm - photon[Z]) / photon[DZ])
    elif photon[DZ] < 0.0:
        leave = min(leave, (low_mm - photon[Z]) / photon[DZ])
    return leave


@bare_kernel
def advance(photon: Photon, distance_mm: float) -> None:
    """Move the photon along its path."""
    photon[X] += photon[DX] * distance_mm
    photon[Y] += photon[DY] * distance_mm
    photon[Z] += photon[DZ] * distance_mm
    photon[PATH] += distance_mm


@bare_kernel
def between(table: npt.NDArray[np.float64], energy_keV: float) -> float:
    """Return a table's value at an energy, interpolated linearly between whole keV."""
    below = int(energy_keV)
    part = energy_keV - below
    return table[below] * (1.0 - part) + table[below + 1] * part


@bare_kernel
def add_deposit(
    photon: Photon, given_keV: float, monolithic: bool, deposit: npt.NDArray[np.float64]
) -> None:
    """Add energy deposited where the photon is; for monolithic crystals sum the weighted place."""
    if deposit[DEPOSIT_KEV] == 0.0:
        deposit[DEPOSIT_PATH] = photon[PATH]
    deposit[DEPOSIT_KEV] += given_keV
    if monolithic:
        deposit[DEPOSIT_U] += given_keV * photon[X]
        deposit[DEPOSIT_V] += given_keV * photon[Y]
        deposit[DEPOSIT_W] += given_keV * photon[Z]
    elif given_keV > deposit[LARGEST]:
        deposit[LARGEST] = given_keV
        deposit[DEPOSIT_U] = photon[X]
        deposit[DEPOSIT_V] = photon[Y]
        deposit[DEPOSIT_W] = photon[Z]


@bare_kernel
def fluoresce(state: State, photon: Photon, head: HeadTables) -> float:
    """Absorb the photon; return the energy deposited. A K X-ray, if any, replaces the photon."""
    energy = photon[ENERGY]
    chosen = uniform(state)
    for line in range(len(head.line_keV)):
        if chosen < head.line_chance[line]:
            if energy <= head.line_edge_keV[line]:
                return energy
            photon[ENERGY] = head.line_keV[line]
            aim_isotropic(state, photon)
            return energy - photon[ENERGY]
    return energy


@bare_kernel
def track_head(
    state: State, photon: Photon, head: HeadTables, deposit: npt.NDArray[np.float64]
) -> None:
    """Track a photon from the crystal's front face (u, v, w as X, Y, Z) to its end.

    ``deposit`` (HEAD_DEPOSIT_SIZE,) receives energy, place, path to the first interaction, and how
    often the photon came back from the backing.
    """
    for i in range(HEAD_DEPOSIT_SIZE):
        deposit[i] = 0.0
    in_crystal, crossings = True, 0
    low, high = 0.0, head.thickness_mm
    while crossings < MOST_CROSSINGS:
        leave = way_out(photon, low, high, head)
        energy = photon[ENERGY]
        mu = between(head.mu_per_mm if in_crystal else head.backing_mu_per_mm, energy)
        step = exponential(state) / mu
        if step >= leave:
            advance(photon, leave)
            inner = abs(photon[Z] - head.thickness_mm) < _STEP_CLEAR_MM
            crosses = inner and (photon[DZ] > 0.0) == in_crystal and head.backing_mm > 0.0
            if not crosses:
                break
            photon[Z] = head.thickness_mm
            in_crystal = not in_crystal
            crossings += 1
            low = 0.0 if in_crystal else head.thickness_mm
            high = low + (head.thickness_mm if in_crystal else head.backing_mm)
            deposit[FROM_BACKING] += in_crystal
            continue
        advance(photon, step)
        photo = head.photo_fraction if in_crystal else head.backing_photo
        absorbed = uniform(state) < photo[int(energy + 0.5)]
        if not in_crystal:
            if absorbed:
                break
            scatter_compton(state, photon)
            if photon[ENERGY] < CRYSTAL_CUT_KEV:
                break
            continue
        given = energy
        if absorbed:
            given = fluoresce(state, photon, head)
        else:
            given = scatter_compton(state, photon)
            if photon[ENERGY] < CRYSTAL_CUT_KEV:
                given = energy
        add_deposit(photon, given, head.monolithic, deposit)
        if given == energy:
            break
    if head.monolithic and deposit[DEPOSIT_KEV] > 0.0:
        for i in range(DEPOSIT_U, DEPOSIT_W + 1):
            deposit[i] /= deposit[DEPOSIT_KEV]
