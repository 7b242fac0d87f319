"""What module and digitizer make of a deposit: crystal, depth bin, energy and time as read out.

Energy is blurred with FWHM ∝ √E, position and depth with the preset's FWHM (reflected at the
block's faces, so that no light is lost), time with CTR/√2. Each crystal has errors of gain, time,
linearity, walk and efficiency, the truth that a calibration has to find (``miscalibration``).

The host corrects E = e·(1 + curvature·(e/511 keV − 1)) and t −= walk·(√(511 keV/E) − 1)
(``coincidence/select.py``). This module has the inverse of the first and the form of the second,
written independently: an emulator that shared the host's code would share its mistakes.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.detector.crystal_tracking import (
    DEPOSIT_KEV,
    DEPOSIT_PATH,
    DEPOSIT_U,
    DEPOSIT_V,
    DEPOSIT_W,
)
from emulator.detector.miscalibration import (
    CURVATURE,
    EFFICIENCY,
    GAIN,
    SKEW,
    WALK,
    Crystals,
    depth_errors,
    draw_crystals,
)
from emulator.detector.raw_position import raw_bin, raw_share
from hw.jit import bare_kernel
from hw.physics.constants import FWHM_PER_SIGMA, LIGHT_MM_PER_PS, REFERENCE_KEV
from hw.physics.random_numbers import exponential, normal, uniform
from hw.scanner.description import RAW_POSITION_BINS, Scanner

TRIGGER_LATENCY_PS = 20_000
"""From the light's arrival to the time stamp, the same for all modules; keeps blurred times ≥ 0."""

WALK_LEAST_KEV = 25.0  # the walk of lower energies is that of this one

ENERGY_SATURATED_DKEV = 16383
_HOPELESS = 0.35  # deposits below this share of the trigger level are > 7 σ under it

BELOW_TRIGGER, UNREAD, MADE = range(3)
"""What becomes of a deposit: too low, in a crystal that did not read it out, or a hit."""

MISSED = 2  # kinds of deposits that make no hit

HIT = np.dtype(
    [("time_ps", "<i8"), ("module", "<u2"), ("crystal", "<u2"), ("energy", "<u2"), ("doi", "<u2")]
)
"""A trigger before dead time: time from the slice's start, crystal in module (or raw
position), 0.1 keV, DOI bin."""


class ResponseTables(NamedTuple):
    """The response as the kernel sees it.

    crystals : (n_crystals, CRYSTAL_COLUMNS) f4, see ``miscalibration``
    doi_gain, doi_ps : (doi_bins,) f8, energy factor and time offset by depth bin
    energy_sigma : keV at 1 keV; σ(E) = energy_sigma · √E
    hopeless_keV : blurred energies below this trigger in no crystal. Most deposits that are too low
        are rejected by this, without waiting for their crystal's row, which is in no near cache
    raw, raw_sigma, raw_compression : whether positions are raw; their blur as a share of the
        picture along u and v; κ (``raw_position``)
    tail_share, tail_mean : see ``collect``
    """

    crystals: Crystals
    doi_gain: npt.NDArray[np.float64]
    doi_ps: npt.NDArray[np.float64]
    energy_sigma: float
    time_sigma_ps: float
    position_sigma_mm: float
    doi_sigma_mm: float
    trigger_keV: float
    hopeless_keV: float
    n_u: int
    n_v: int
    doi_bins: int
    width_mm: float
    height_mm: float
    thickness_mm: float
    raw: bool
    monolithic: bool
    raw_sigma_u: float
    raw_sigma_v: float
    raw_compression: float
    tail_share: float
    tail_mean: float

    @property
    def gain(self) -> npt.NDArray[np.float32]:
        """(n_crystals,) f4, read-out energy over true energy; a view."""
        return self.crystals[:, GAIN]

    @property
    def skew_ps(self) -> npt.NDArray[np.float32]:
        """(n_crystals,) f4, added to the time stamp; a view."""
        return self.crystals[:, SKEW]


def response_tables(
    scanner: Scanner,
    *,
    serial: str,
    trigger_keV: float,
    dead: npt.NDArray[np.int64] | tuple[int, ...] = (),
) -> ResponseTables:
    """Return the tables of a scanner; the crystals' errors are drawn by its serial number.

    ``dead`` crystals (numbers) are never read out.
    """
    module, response = scanner.module, scanner.response
    crystals = draw_crystals(scanner, serial=serial)
    crystals[np.asarray(dead, dtype=np.int64), EFFICIENCY] = 0.0
    doi_gain, doi_ps = depth_errors(scanner)
    return ResponseTables(
        crystals=crystals,
        doi_gain=doi_gain,
        doi_ps=doi_ps,
        energy_sigma=response.energy_fwhm_511 * math.sqrt(REFERENCE_KEV) / FWHM_PER_SIGMA,
        time_sigma_ps=response.ctr_fwhm_ps / math.sqrt(2.0) / FWHM_PER_SIGMA,
        position_sigma_mm=response.position_fwhm_mm / FWHM_PER_SIGMA,
        doi_sigma_mm=response.doi_fwhm_mm / FWHM_PER_SIGMA,
        trigger_keV=float(trigger_keV),
        hopeless_keV=_hopeless_keV(crystals, doi_gain, trigger_keV),
        n_u=module.n_u,
        n_v=module.n_v,
        doi_bins=module.doi_bins,
        width_mm=float(module.width_mm),
        height_mm=float(module.height_mm),
        thickness_mm=float(module.thickness_mm),
        raw=response.position_readout == "raw",
        monolithic=bool(module.monolithic),
        raw_sigma_u=response.raw_blur_fwhm_mm / FWHM_PER_SIGMA / module.width_mm,
        raw_sigma_v=response.raw_blur_fwhm_mm / FWHM_PER_SIGMA / module.height_mm,
        raw_compression=float(response.raw_compression),
        tail_share=float(response.tail_share),
        tail_mean=float(response.tail_mean),
    )


def _hopeless_keV(
    crystals: Crystals, doi_gain: npt.NDArray[np.float64], trigger_keV: float
) -> float:
    """Return the least blurred energy that any crystal reads out at the trigger level."""
    read_out = trigger_keV / (np.maximum(crystals[:, GAIN], 1e-3) * doi_gain.max())
    blurred = read_out * (1 + crystals[:, CURVATURE] * (read_out / REFERENCE_KEV - 1))
    return float(blurred.min()) * (1 - 1e-6)


@bare_kernel
def bin_reflected(position: float, extent: float, bins: int) -> int:
    """Return the bin of a position, reflected at the ends of [0, extent) if outside."""
    if position < 0.0:
        position = -position
    if position >= extent:
        position = 2.0 * extent - position
    return min(max(int(position / extent * bins), 0), bins - 1)


@bare_kernel
def bend(energy_keV: float, curvature: float) -> float:
    """Return the e for which e·(1 + curvature·(e/511 keV − 1)) is the energy.

    This is the root with e = E at 511 keV, in the form without cancellation for small curvatures:
    e = 2E / (b + √(b² + 4·curvature·E/511 keV)), b = 1 − curvature. For a negative curvature there
    is no root beyond b²·511 keV/(−4·curvature) (920 keV at −0.2); e = 2E/b is used from there on.
    """
    straight = 1.0 - curvature
    root = straight * straight + (4.0 / REFERENCE_KEV) * curvature * energy_keV
    return 2.0 * energy_keV / (straight + math.sqrt(max(root, 0.0)))


@bare_kernel
def collect(state: npt.NDArray[np.uint64], energy_keV: float, tables: ResponseTables) -> float:
    """Return the energy whose charge is collected; a share of hits loses some.

    In CZT, holes are trapped, and charge at a pixel's edge can go to a neighbour and stay below its
    threshold, so spectra have a tail below the peak. Here the loss is exponential at any depth.
    """
    if uniform(state) >= tables.tail_share:
        return energy_keV
    return energy_keV * max(1.0 - exponential(state) * tables.tail_mean, 0.0)


@bare_kernel
def raw_position(state: npt.NDArray[np.uint64], u: float, v: float, tables: ResponseTables) -> int:
    """Return the raw position index of a place (mm from the block's corner)."""
    if not tables.monolithic:  # the light comes out at the crystal's end
        u = (math.floor(u / tables.width_mm * tables.n_u) + 0.5) * tables.width_mm / tables.n_u
        v = (math.floor(v / tables.height_mm * tables.n_v) + 0.5) * tables.height_mm / tables.n_v
    share_u = raw_share(2.0 * u / tables.width_mm - 1.0, tables.raw_compression)
    share_v = raw_share(2.0 * v / tables.height_mm - 1.0, tables.raw_compression)
    bin_u = raw_bin(share_u + normal(state) * tables.raw_sigma_u)
    bin_v = raw_bin(share_v + normal(state) * tables.raw_sigma_v)
    return bin_u + RAW_POSITION_BINS * bin_v


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
    """Write the hit that a deposit makes to ``hits[n_hits]``; return MADE, or why there is none.

    A hit with a raw position keeps the errors of the crystal of its deposit.

    Parameters
    ----------
    state : (2,) u8, random numbers
    deposit : (DEPOSIT_SIZE,) f8, energy in keV, place in mm and path of one deposit
    decay_ps : time of the decay, from the slice's start
    hits : (capacity,) HIT, of which the first ``n_hits`` are in use
    """
    energy = deposit[DEPOSIT_KEV]
    if energy < _HOPELESS * tables.trigger_keV:
        return BELOW_TRIGGER
    u = deposit[DEPOSIT_U] + 0.5 * tables.width_mm
    v = deposit[DEPOSIT_V] + 0.5 * tables.height_mm
    address = 0
    if tables.raw:
        address = raw_position(state, u, v, tables)
    elif tables.position_sigma_mm > 0.0:
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
    if tables.tail_share > 0.0:
        energy = collect(state, energy, tables)
    blurred = energy + normal(state) * tables.energy_sigma * math.sqrt(energy)
    if blurred < tables.hopeless_keV:
        return BELOW_TRIGGER
    curvature = tables.crystals[index, CURVATURE]
    jitter_ps = normal(state) * tables.time_sigma_ps  # drawn while the row is on its way
    energy = bend(blurred, curvature) if curvature != 0.0 else blurred
    energy *= tables.crystals[index, GAIN] * tables.doi_gain[doi]
    if energy < tables.trigger_keV:
        return BELOW_TRIGGER
    efficiency = tables.crystals[index, EFFICIENCY]
    if efficiency < 1.0 and uniform(state) >= efficiency:
        return UNREAD
    walk_ps = tables.crystals[index, WALK]
    if walk_ps != 0.0:
        walk_ps *= math.sqrt(REFERENCE_KEV / max(blurred, WALK_LEAST_KEV)) - 1.0
    time_ps = (
        decay_ps
        + deposit[DEPOSIT_PATH] / LIGHT_MM_PER_PS
        + TRIGGER_LATENCY_PS
        + jitter_ps
        + tables.crystals[index, SKEW]
        + tables.doi_ps[doi]
        + walk_ps
    )
    hit = hits[n_hits]
    hit.time_ps = int(max(time_ps, 0.0))
    hit.module = module
    hit.crystal = address if tables.raw else crystal
    hit.energy = min(int(energy * 10.0 + 0.5), ENERGY_SATURATED_DKEV)
    hit.doi = doi
    return MADE
