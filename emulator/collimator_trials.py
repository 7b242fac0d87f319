"""What is missing of a collimator's physics: photons that scatter in its septa, and its X-rays.

``spect_sight`` takes a photon through a collimator along its straight line or not at all. Here each
photon is followed through holes and septa, scatters there (Klein-Nishina, coherent by lead's or
tungsten's form factor), may become a K X-ray, and is then flown on: slow, for trials only.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from emulator.atomic_scatter import ScatterTables, scatter_bound, scatter_coherent, scatter_tables
from emulator.camera_head import HEAD_DEPOSIT_SIZE, HeadTables, between, track_head
from emulator.collimator import CollimatorTables
from emulator.crystal_tracking import DEPOSIT_KEV
from emulator.instrument import Instrument
from emulator.materials import cross_sections
from emulator.photons import DX, DY, DZ, ENERGY, PATH, PHOTON_SIZE, X, Y, Z, aim_isotropic
from emulator.random_numbers import exponential, seed_stream, uniform
from emulator.spect_analog import in_hole
from hw.jit import kernel

K_LINES = {"Pb": (0.760, 88.005, 74.2, 85.3, 0.209), "W": (0.767, 69.525, 58.8, 67.5, 0.204)}
"""K X-rays per absorption, edge, Kα and Kβ in keV, share of Kβ: xraylib 4.3.0."""

LEAST_KEV = 40.0
CROSSED, SCATTERED, FLUORESCED = range(3)


def energies_behind(
    instrument: Instrument,
    energy_keV: float,
    *,
    photons: int,
    cone_deg: float = 60.0,
    distance_mm: float = 100.0,
    seed: int = 1,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], float]:
    """Return deposits of a point source's photons, and what became of them in the collimator.

    The source stands before the middle of the camera's face; photons are emitted into a cone.

    Returns
    -------
    (n,) f8 deposits in keV; (n,) i8 CROSSED (straight), SCATTERED or FLUORESCED; how many photons
    to all sides there were
    """
    spect, collimator = instrument.spect, instrument.scanner.collimator
    assert spect is not None and collimator is not None
    table = cross_sections(collimator.material)
    least_cosine = math.cos(math.radians(cone_deg))
    seen, how = np.empty(photons), np.empty(photons, np.int64)
    found = follow_through(
        spect.collimator, spect.head, scatter_tables((collimator.material,)), table.mu_per_mm,
        table.photo_fraction, table.coherent_per_mm, np.array(K_LINES[collimator.material]),
        energy_keV, distance_mm, least_cosine, photons, seed, seen, how,
    )  # fmt: skip
    return seen[:found], how[:found], photons / ((1.0 - least_cosine) / 2.0)


@kernel
def follow_through(
    collimator: CollimatorTables,
    head: HeadTables,
    scatter: ScatterTables,
    mu_per_mm: npt.NDArray[np.float64],
    photo_fraction: npt.NDArray[np.float64],
    coherent_per_mm: npt.NDArray[np.float64],
    k_lines: npt.NDArray[np.float64],
    energy_keV: float,
    distance_mm: float,
    least_cosine: float,
    photons: int,
    seed: int,
    seen: npt.NDArray[np.float64],
    how: npt.NDArray[np.int64],
) -> int:
    """Follow photons from a point to the crystal; fill deposits (keV) and their kind."""
    state, photon = np.zeros(2, np.uint64), np.zeros(PHOTON_SIZE)
    deposit = np.zeros(HEAD_DEPOSIT_SIZE)
    seed_stream(state, np.uint64(seed), np.uint64(0))
    length, pitch, found = collimator.length_mm, 2.0 * collimator.half_pitch_mm, 0
    for _ in range(photons):
        cosine = 1.0 - uniform(state) * (1.0 - least_cosine)
        sine, azimuth = math.sqrt(1.0 - cosine * cosine), 2.0 * math.pi * uniform(state)
        photon[DX], photon[DY] = sine * math.cos(azimuth), sine * math.sin(azimuth)
        # w from the collimator's face; the source anywhere before a cell of the lattice
        photon[X] = pitch * uniform(state) + distance_mm * photon[DX] / cosine
        photon[Y] = pitch * uniform(state) + distance_mm * photon[DY] / cosine
        photon[DZ], photon[Z], photon[ENERGY], photon[PATH] = cosine, 0.0, energy_keV, 0.0
        kind = CROSSED
        while photon[ENERGY] >= LEAST_KEV:
            mu = between(mu_per_mm, photon[ENERGY])
            coherent = between(coherent_per_mm, photon[ENERGY])
            whole = mu + coherent
            inside = True
            while True:
                step = exponential(state) / whole
                photon[X] += photon[DX] * step
                photon[Y] += photon[DY] * step
                photon[Z] += photon[DZ] * step
                if not 0.0 <= photon[Z] <= length:
                    inside = False
                    break
                if not in_hole(photon[X], photon[Y], collimator):
                    break
            if not inside:
                break
            chosen = uniform(state) * whole
            if chosen < coherent:
                scatter_coherent(state, photon, scatter, 0)
            elif chosen < coherent + mu * photo_fraction[int(photon[ENERGY] + 0.5)]:
                if photon[ENERGY] < k_lines[1] or uniform(state) >= k_lines[0]:
                    photon[ENERGY] = 0.0
                    break
                photon[ENERGY] = k_lines[3] if uniform(state) < k_lines[4] else k_lines[2]
                aim_isotropic(state, photon)
                kind = FLUORESCED
                continue
            else:
                scatter_bound(state, photon, scatter, 0)
            kind = max(kind, SCATTERED)
        if photon[ENERGY] < LEAST_KEV or photon[Z] < length:
            continue
        back = (length + collimator.gap_mm - photon[Z]) / photon[DZ]
        photon[X] += photon[DX] * back
        photon[Y] += photon[DY] * back
        photon[Z] = 0.0
        if abs(photon[X]) > head.half_u_mm or abs(photon[Y]) > head.half_v_mm:
            continue
        cover = between(collimator.cover_per_mm, photon[ENERGY]) * collimator.cover_mm / photon[DZ]
        if exponential(state) < cover:
            continue
        track_head(state, photon, head, deposit)
        if deposit[DEPOSIT_KEV] > 0.0:
            seen[found], how[found] = deposit[DEPOSIT_KEV], kind
            found += 1
    return found
