"""¹⁷⁶Lu in the crystals: a β⁻ and a cascade of three γ from anywhere in the scintillator.

Each decay deposits its β energy on the spot. Each step of the cascade 307 → 202 → 88 keV is either
a photon, tracked from there through this and other modules, or a conversion electron that deposits
the step's energy on the spot (together with its X-ray). One module thus sees the β spectrum on top
of 0, 88, 202, 290, 307, 395, 509 or 597 keV, as found by H. Alva-Sánchez et al., Sci. Rep. 8 (2018)
17310. The 0.3 % branch to the 998 keV level is left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import (
    ABSORBED,
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_U,
    DEPOSIT_V,
    DEPOSIT_W,
    LEFT,
    track_crystal,
)
from emulator.detector.response import MADE, respond
from emulator.object.pose import to_object
from emulator.pet.pair_transport import MOST_MODULES_PER_PHOTON, Scratch, TransportTables, fly
from emulator.physics.compositions import DENSITY_G_PER_CM3
from emulator.physics.photons import ENERGY, PATH, SCATTERS, X, Y, Z, aim_isotropic
from emulator.slices import DEPOSITS, LUTETIUM, OVERFLOWED
from emulator.truth_labels import begin_photon, lutetium_number, write_label
from hw.jit import kernel
from hw.physics.beta_spectrum import energy_quantiles
from hw.physics.lutetium import (
    ABUNDANCE,
    DAUGHTER_Z,
    ENDPOINT_KEV,
    GAMMA_INTENSITY,
    GAMMA_KEV,
    HALF_LIFE_S,
)
from hw.physics.random_numbers import exponential, seed_stream, uniform
from hw.scanner.description import Scanner
from hw.wire.truth_layout import LUTETIUM_DECAY

DRAWN_GAMMA_KEV = tuple(round(energy, 1) for energy in GAMMA_KEV)
"""To 0.1 keV, the unit of an event word's energy."""

_LUTETIUM_PER_FORMULA = 1.8  # Lu1.8Y0.2SiO5, as in cross_sections.csv
_GRAMS_PER_MOL = 1.8 * 174.967 + 0.2 * 88.906 + 28.085 + 5 * 15.999
_AVOGADRO = 6.02214076e23
_BETA_BINS = 1024
_STREAM = 1 << 61  # slices of the source's own stream are far below

MOST_HITS = 1 + len(GAMMA_KEV) * MOST_MODULES_PER_PHOTON


class LutetiumTables(NamedTuple):
    """The decays in the crystals as the kernel sees them.

    rate_Hz : decays per second in the whole scanner
    beta_keV : (_BETA_BINS + 1,) f8, energies below which 0, 1/n, 2/n, ... of the β lie
    gamma_keV, gamma_intensity : (3,) f8
    """

    rate_Hz: float
    beta_keV: npt.NDArray[np.float64]
    gamma_keV: npt.NDArray[np.float64]
    gamma_intensity: npt.NDArray[np.float64]


def activity_Bq_per_mm3() -> float:
    """Return the ¹⁷⁶Lu activity of LYSO: N·ln 2/T½ = 0.265 Bq/mm³, N from the composition."""
    formulae_per_mm3 = DENSITY_G_PER_CM3["LYSO"] / 1000 / _GRAMS_PER_MOL * _AVOGADRO
    nuclei_per_mm3 = formulae_per_mm3 * _LUTETIUM_PER_FORMULA * ABUNDANCE
    return nuclei_per_mm3 * math.log(2) / HALF_LIFE_S


def lutetium_tables(scanner: Scanner) -> LutetiumTables:
    """Return the tables of a scanner."""
    module = scanner.module
    volume_mm3 = scanner.n_modules * module.width_mm * module.height_mm * module.thickness_mm
    return LutetiumTables(
        rate_Hz=activity_Bq_per_mm3() * volume_mm3,
        beta_keV=_beta_quantiles(),
        gamma_keV=np.array(DRAWN_GAMMA_KEV),
        gamma_intensity=np.array(GAMMA_INTENSITY),
    )


def _beta_quantiles() -> npt.NDArray[np.float64]:
    return energy_quantiles(ENDPOINT_KEV, DAUGHTER_Z, positron=False, n=_BETA_BINS)


@kernel
def add_lutetium(
    lutetium: LutetiumTables,
    tables: TransportTables,
    slice_ps: float,
    seed: int,
    slice_index: int,
    scratch: Scratch,
    hits: npt.NDArray[np.void],
    n_hits: int,
    missed: npt.NDArray[np.int64],
    tally: npt.NDArray[np.int64],
) -> int:
    """Add one slice's decays in the crystals to ``hits`` from ``n_hits`` on, in order of decay.

    Parameters as for ``emulate_slice``; LUTETIUM and DEPOSITS of ``tally`` are added to.

    Returns
    -------
    new number of hits
    """
    state, photon, deposit = scratch.state, scratch.photon, scratch.deposit
    labels, emitted = scratch.labels, scratch.emitted
    detector = tables.detector
    seed_stream(state, np.uint64(seed), np.uint64(slice_index + _STREAM))
    sectors = len(detector.cos_sector)
    modules = sectors * len(detector.ring_z_mm)
    mean_gap_ps = 1e12 / lutetium.rate_Hz
    time_ps = exponential(state) * mean_gap_ps
    while time_ps < slice_ps:
        if n_hits + MOST_HITS > len(hits):
            tally[OVERFLOWED] = 1
            return n_hits
        tally[LUTETIUM] += 1
        emitted[0].decay = lutetium_number(slice_index, tally[LUTETIUM] - 1)
        emitted[0].kind = LUTETIUM_DECAY
        module = int(uniform(state) * modules)
        ring, sector = module // sectors, module % sectors
        c, s = detector.cos_sector[sector], detector.sin_sector[sector]
        u = (2.0 * uniform(state) - 1.0) * detector.half_u_mm
        v = (2.0 * uniform(state) - 1.0) * detector.half_v_mm
        w = uniform(state) * detector.thickness_mm
        place = uniform(state) * _BETA_BINS
        below = int(place)
        part = place - below
        total = lutetium.beta_keV[below] * (1.0 - part) + lutetium.beta_keV[below + 1] * part
        largest = total
        at_u, at_v, at_w = total * u, total * v, total * w  # of a monolithic block: weighted sums
        if not detector.monolithic:
            at_u, at_v, at_w = u, v, w
        for step in range(len(lutetium.gamma_keV)):
            given = lutetium.gamma_keV[step]
            emitted[0].photon = 2 + step
            fate = ABSORBED
            if uniform(state) < lutetium.gamma_intensity[step]:
                photon[X] = c * (w + detector.inradius_mm) - s * u
                photon[Y] = s * (w + detector.inradius_mm) + c * u
                photon[Z] = v + detector.ring_z_mm[ring]
                photon[ENERGY], photon[PATH], photon[SCATTERS] = given, 0.0, 0.0
                aim_isotropic(state, photon)
                fate = track_crystal(state, photon, ring, sector, detector, deposit)
                given = deposit[DEPOSIT_KEV]
            else:
                deposit[DEPOSIT_U], deposit[DEPOSIT_V], deposit[DEPOSIT_W] = u, v, w
            total += given
            if detector.monolithic:
                at_u += given * deposit[DEPOSIT_U]
                at_v += given * deposit[DEPOSIT_V]
                at_w += given * deposit[DEPOSIT_W]
            elif given > largest:
                largest = given
                at_u, at_v, at_w = deposit[DEPOSIT_U], deposit[DEPOSIT_V], deposit[DEPOSIT_W]
            if fate == LEFT:
                if len(tables.pose) > 0:
                    to_object(photon, tables.pose)
                n_hits = fly(
                    state, photon, time_ps, tables, deposit, hits, n_hits, missed, tally,
                    labels, emitted,
                )  # fmt: skip
        scale = 1.0 / total if detector.monolithic else 1.0
        deposit[DEPOSIT_KEV], deposit[DEPOSIT_PATH] = total, 0.0
        deposit[DEPOSIT_U], deposit[DEPOSIT_V] = at_u * scale, at_v * scale
        deposit[DEPOSIT_W] = at_w * scale
        tally[DEPOSITS] += 1
        fate = respond(state, deposit, module, time_ps, tables.response, hits, n_hits)
        if fate == MADE:
            if len(labels) > 0:
                x = c * (w + detector.inradius_mm) - s * u
                y = s * (w + detector.inradius_mm) + c * u
                begin_photon(emitted[0], time_ps, x, y, v + detector.ring_z_mm[ring], total)
                emitted[0].photon = 0
                write_label(labels[n_hits], emitted[0], total, 0.0, 0)
            n_hits += 1
        else:
            missed[module, fate] += 1
        time_ps += exponential(state) * mean_gap_ps
    return n_hits
