"""What module and digitizer make of a deposit: crystal, depth bin, energy and time as read out.

Energy is blurred with FWHM ∝ √E, position and depth with the preset's FWHM (reflected at the
block's faces, so that no light is lost), time with CTR/√2. Each crystal has a gain error and a
time skew, the truth that a calibration has to find.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.crystal_tracking import (
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_U,
    DEPOSIT_V,
    DEPOSIT_W,
)
from emulator.random_numbers import normal
from hw.jit import bare_kernel
from hw.scanner import Scanner

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
LIGHT_MM_PER_PS = 0.299792458
TRIGGER_LATENCY_PS = 20_000
"""From the light's arrival to the time stamp, the same for all modules; keeps blurred times ≥ 0."""

MODULE_SHARE = 0.5
"""Share of the variance of gain and skew that all crystals of a module have in common."""

ENERGY_SATURATED_DKEV = 16383
_HOPELESS = 0.35  # deposits below this share of the trigger level are > 7 σ under it

HIT = np.dtype(
    [("time_ps", "<i8"), ("module", "<u2"), ("crystal", "<u2"), ("energy", "<u2"), ("doi", "<u2")]
)
"""A trigger before dead time: time from the slice's start, crystal in module, 0.1 keV, DOI bin."""


class ResponseTables(NamedTuple):
    """The response as the kernel sees it.

    gain : (n_crystals,) f4, read-out energy over true energy
    skew_ps : (n_crystals,) f4, added to the time stamp
    energy_sigma : keV at 1 keV; σ(E) = energy_sigma · √E
    """

    gain: npt.NDArray[np.float32]
    skew_ps: npt.NDArray[np.float32]
    energy_sigma: float
    time_sigma_ps: float
    position_sigma_mm: float
    doi_sigma_mm: float
    trigger_keV: float
    n_u: int
    n_v: int
    doi_bins: int
    width_mm: float
    height_mm: float
    thickness_mm: float


def response_tables(scanner: Scanner, *, seed: int, trigger_keV: float) -> ResponseTables:
    """Return the tables of a scanner; gain and skew are drawn once for a seed.

    Half of the variance of gain and skew belongs to the module (its sensor and clock), half to
    the crystal.
    """
    module, response = scanner.module, scanner.response
    random = np.random.Generator(np.random.PCG64([seed, 0x7275]))
    gain = 1.0 + response.gain_spread * _spread(random, scanner)
    return ResponseTables(
        gain=np.maximum(gain, 0.1).astype(np.float32),
        skew_ps=(response.skew_spread_ps * _spread(random, scanner)).astype(np.float32),
        energy_sigma=response.energy_fwhm_511 * math.sqrt(511.0) / FWHM_PER_SIGMA,
        time_sigma_ps=response.ctr_fwhm_ps / math.sqrt(2.0) / FWHM_PER_SIGMA,
        position_sigma_mm=response.position_fwhm_mm / FWHM_PER_SIGMA,
        doi_sigma_mm=response.doi_fwhm_mm / FWHM_PER_SIGMA,
        trigger_keV=float(trigger_keV),
        n_u=module.n_u,
        n_v=module.n_v,
        doi_bins=module.doi_bins,
        width_mm=float(module.width_mm),
        height_mm=float(module.height_mm),
        thickness_mm=float(module.thickness_mm),
    )


def _spread(random: np.random.Generator, scanner: Scanner) -> npt.NDArray[np.float64]:
    """Return unit-variance offsets per crystal (n_crystals,), cut at 4 σ."""
    modules = random.standard_normal(scanner.n_modules).repeat(scanner.crystals_per_module)
    crystals = random.standard_normal(scanner.n_crystals)
    return np.clip(
        math.sqrt(MODULE_SHARE) * modules + math.sqrt(1 - MODULE_SHARE) * crystals, -4.0, 4.0
    )


@bare_kernel
def bin_reflected(position: float, extent: float, bins: int) -> int:
    """Return the bin of a position in [0, extent), reflected at the ends where it lies outside."""
    if position < 0.0:
        position = -position
    if position >= extent:
        position = 2.0 * extent - position
    return min(max(int(position / extent * bins), 0), bins - 1)


@bare_kernel
def respond(
    state: npt.NDArray[np.uint64],
    deposit: npt.NDArray[np.float64],
    module: int,
    decay_ps: float,
    tables: ResponseTables,
    hits: npt.NDArray[np.void],
    n_hits: int,
) -> int:
    """Write the hit that a deposit makes at ``hits[n_hits]``; return 1, or 0 below the trigger."""
    energy = deposit[DEPOSIT_KEV]
    if energy < _HOPELESS * tables.trigger_keV:
        return 0
    u = deposit[DEPOSIT_U] + 0.5 * tables.width_mm
    v = deposit[DEPOSIT_V] + 0.5 * tables.height_mm
    if tables.position_sigma_mm > 0.0:
        u += normal(state) * tables.position_sigma_mm
        v += normal(state) * tables.position_sigma_mm
    doi = 0
    if tables.doi_bins > 1:
        depth = deposit[DEPOSIT_W] + normal(state) * tables.doi_sigma_mm
        doi = bin_reflected(depth, tables.thickness_mm, tables.doi_bins)
    iu = bin_reflected(u, tables.width_mm, tables.n_u)
    iv = bin_reflected(v, tables.height_mm, tables.n_v)
    crystal = iu + tables.n_u * iv
    index = module * (tables.n_u * tables.n_v) + crystal
    energy += normal(state) * tables.energy_sigma * math.sqrt(energy)
    energy *= tables.gain[index]
    if energy < tables.trigger_keV:
        return 0
    time_ps = (
        decay_ps
        + deposit[DEPOSIT_PATH] / LIGHT_MM_PER_PS
        + TRIGGER_LATENCY_PS
        + normal(state) * tables.time_sigma_ps
        + tables.skew_ps[index]
    )
    hit = hits[n_hits]
    hit.time_ps = int(max(time_ps, 0.0))
    hit.module = module
    hit.crystal = crystal
    hit.energy = min(int(energy * 10.0 + 0.5), ENERGY_SATURATED_DKEV)
    hit.doi = doi
    return 1
