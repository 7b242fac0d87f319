"""¹⁷⁶Lu in the crystals: β⁻ and a cascade of three γ from places all over the scintillator.

Each decay deposits its β energy where it happens. Each step of the cascade 307 → 202 → 88 keV is
either a photon, flown from there through this and other modules, or a conversion electron that
deposits the step's energy on the spot (its X-ray with it). So one module sees the β spectrum on
top of 0, 88, 202, 290, 307, 395, 509 or 597 keV, as H. Alva-Sánchez et al., Sci. Rep. 8 (2018)
17310, found. The branch of 0.3 % to the 998 keV level is left out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import loggamma

from emulator.crystal_tracking import (
    ABSORBED,
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_U,
    DEPOSIT_V,
    DEPOSIT_W,
    LEFT,
    track_crystal,
)
from emulator.materials import DENSITY_G_PER_CM3
from emulator.photons import ELECTRON_REST_KEV, ENERGY, PATH, X, Y, Z, aim_isotropic
from emulator.random_numbers import exponential, seed_stream, uniform
from emulator.response import MADE, respond
from emulator.transport import (
    DEPOSITS,
    LUTETIUM,
    MOST_MODULES_PER_PHOTON,
    OVERFLOWED,
    Scratch,
    TransportTables,
    fly,
)
from hw.jit import kernel
from hw.scanner import Scanner

ENDPOINT_KEV = 593.0  # Alva-Sánchez et al. 2018; the mean energy they give is 182 keV
HALF_LIFE_S = 3.76e10 * 365.2422 * 86400.0  # ICRP 107, Alva-Sánchez et al. 2018
ABUNDANCE = 0.02599  # J. Meija et al., Pure Appl. Chem. 88 (2016) 293: of natural lutetium
GAMMA_KEV = (306.8, 201.8, 88.3)  # Nuclear Data Sheets for A = 176 (M. S. Basunia, 2006)
GAMMA_INTENSITY = (0.936, 0.780, 0.145)  # the same; the rest is conversion electrons

_DAUGHTER_Z, _MASS_NUMBER = 72, 176
_FINE_STRUCTURE = 1 / 137.035999  # CODATA 2018
_LUTETIUM_PER_FORMULA = 1.8  # Lu1.8Y0.2SiO5, as in cross_sections.csv
_GRAMS_PER_MOL = 1.8 * 174.967 + 0.2 * 88.906 + 28.085 + 5 * 15.999
_AVOGADRO = 6.02214076e23
_BETA_BINS = 1024
_STREAM = 1 << 61  # slices of the source's own stream are far below

MOST_HITS = 1 + len(GAMMA_KEV) * MOST_MODULES_PER_PHOTON


class LutetiumTables(NamedTuple):
    """The decays in the crystals as the kernel sees them.

    rate_Hz : of the whole scanner
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
        gamma_keV=np.array(GAMMA_KEV),
        gamma_intensity=np.array(GAMMA_INTENSITY),
    )


def beta_spectrum(energy_keV: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the β spectrum of ¹⁷⁶Lu, not normalised: F(Z, W)·p·W·(Q − T)², the allowed shape.

    F is Fermi's function of a point charge, 2(1 + γ)·(2pR)^(2γ−2)·e^(πη)·|Γ(γ + iη)/Γ(2γ + 1)|²
    with γ = √(1 − (αZ)²), η = αZW/p (E. J. Konopinski, "The Theory of Beta Radioactivity", 1966);
    constants are left out. The decay is first forbidden and not unique, for which the allowed
    shape is the usual approximation: its mean, 182 keV, is the one published.
    """
    w = 1.0 + energy_keV / ELECTRON_REST_KEV
    p = np.sqrt(w * w - 1.0)
    gamma = math.sqrt(1.0 - (_FINE_STRUCTURE * _DAUGHTER_Z) ** 2)
    eta = _FINE_STRUCTURE * _DAUGHTER_Z * w / p
    log_fermi = 2 * loggamma(gamma + 1j * eta).real + np.pi * eta + (2 * gamma - 2) * np.log(p)
    return np.asarray(np.exp(log_fermi) * p * w * (ENDPOINT_KEV - energy_keV) ** 2)


def _beta_quantiles() -> npt.NDArray[np.float64]:
    edges = np.linspace(0.0, ENDPOINT_KEV, 6001)
    below = np.concatenate([[0.0], np.cumsum(beta_spectrum((edges[1:] + edges[:-1]) / 2))])
    return np.interp(np.linspace(0.0, 1.0, _BETA_BINS + 1), below / below[-1], edges)


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
    """Add one slice's decays in the crystals to ``hits`` from ``n_hits`` on, in order of decays.

    Parameters are those of ``emulate_slice``; ``tally`` gets LUTETIUM and DEPOSITS added.

    Returns
    -------
    new number of hits
    """
    state, photon, deposit = scratch.state, scratch.photon, scratch.deposit
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
            fate = ABSORBED
            if uniform(state) < lutetium.gamma_intensity[step]:
                photon[X] = c * (w + detector.inradius_mm) - s * u
                photon[Y] = s * (w + detector.inradius_mm) + c * u
                photon[Z] = v + detector.ring_z_mm[ring]
                photon[ENERGY], photon[PATH] = given, 0.0
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
                n_hits = fly(state, photon, time_ps, tables, deposit, hits, n_hits, missed, tally)
        scale = 1.0 / total if detector.monolithic else 1.0
        deposit[DEPOSIT_KEV], deposit[DEPOSIT_PATH] = total, 0.0
        deposit[DEPOSIT_U], deposit[DEPOSIT_V] = at_u * scale, at_v * scale
        deposit[DEPOSIT_W] = at_w * scale
        tally[DEPOSITS] += 1
        fate = respond(state, deposit, module, time_ps, tables.response, hits, n_hits)
        if fate == MADE:
            n_hits += 1
        else:
            missed[module, fate] += 1
        time_ps += exponential(state) * mean_gap_ps
    return n_hits
