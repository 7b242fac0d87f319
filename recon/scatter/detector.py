"""A crystal block's response to photons of any energy: stopped or not, and the energy read.

Scattered photons are stopped more often than those of 511 keV but deposit less energy, so the
energy window removes most of those scattered by large angles. Needed are

    ε(E, θ) = 1 − exp(−µ(E) T / cosθ)      a photon interacts in the block (thickness T)
    D(e | E)                               distribution of the energy deposited
    p(e' | E) = ∫ D(e | E) Gauss(e'; e, σ₅₁₁ √(e/511)) de
    w(E) = ∫_lld^uld p(e' | E) de'         the share of stopped photons that is recorded

µ(E) keeps the convention of :mod:`recon.core.event_location` at 511 keV; its shape is
Klein–Nishina's for Compton scatter plus photoelectric absorption by ``PHOTO_SHARE``. D is found by
Monte Carlo, following photons through the block (from a ball around the scanner's centre to
anywhere on the face, until absorbed or out), once per scanner, with a fixed seed. Fluorescence and
coherent scatter are left out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from hw.arrays import F8
from hw.physics.block_efficiency import BlockEfficiency, crystal_tables
from hw.physics.block_tracking import deposits_from_ball
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.physics.scintillator import relative_attenuation
from hw.scanner.description import Module, Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM
from recon.core.grid import ReconError

NODES_KEV = np.array([170.0, 210.0, 250.0, 290.0, 330.0, 370.0, 410.0, 450.0, 480.0, 511.0])
ENERGIES_KEV = np.linspace(170.3, ELECTRON_REST_KEV, 70)
"""Photons are followed at the nodes, and what they leave is interpolated to these; the lowest is
what scatter by 180° leaves."""

DEPOSIT_BINS = 100
HISTORIES = 40_000
SOURCE_RADIUS = 0.6
"""Radius of the ball that photons come from, over the inradius: a head."""


class ScatterError(ReconError):
    """Scatter cannot be estimated; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class EnergyWindow:
    """The energy window of recorded photons, and the resolution (FWHM / 511 keV) at 511 keV."""

    lld_keV: float
    uld_keV: float
    fwhm_511: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.lld_keV < self.uld_keV or self.lld_keV >= ELECTRON_REST_KEV:
            raise ScatterError(
                f"energy window {self.lld_keV:g}..{self.uld_keV:g} keV: needs 0 ≤ lld < uld and "
                "lld below 511 keV; scatter is estimated for annihilation photons only"
            )
        if not 0.0 < self.fwhm_511 < 1.0:
            raise ScatterError(
                f"energy resolution {self.fwhm_511:g}: a FWHM over 511 keV in 0..1, such as 0.15"
            )

    @classmethod
    def of(
        cls, scanner: Scanner, *, lld_keV: float | None = None, uld_keV: float | None = None
    ) -> EnergyWindow:
        """Return the window of a run (the levels in its settings), by default the preset's."""
        acquisition = scanner.acquisition
        return cls(
            acquisition.lld_keV if lld_keV is None else lld_keV,
            acquisition.uld_keV if uld_keV is None else uld_keV,
            scanner.response.energy_fwhm_511,
        )

    def sigma_keV(self, energy_keV: npt.ArrayLike) -> F8:
        """Return σ of the energy that is read for a deposit."""
        relative = np.sqrt(np.asarray(energy_keV, dtype=np.float64) / ELECTRON_REST_KEV)
        return np.asarray(self.fwhm_511 / FWHM_PER_SIGMA * ELECTRON_REST_KEV * relative)


@dataclass(frozen=True)
class BlockResponse:
    """A block's response; create it with :meth:`of`.

    deposits : (energies, DEPOSIT_BINS) f8, probability by deposit / energy, rows sum to 1
    recorded : (energies,) f8, w at ``ENERGIES_KEV``
    """

    scanner: Scanner
    window: EnergyWindow
    deposits: F8
    recorded: F8

    @classmethod
    def of(
        cls, scanner: Scanner, window: EnergyWindow, whole: BlockEfficiency | None = None
    ) -> BlockResponse:
        """Return the response of a scanner's modules; deposits are computed once and cached.

        whole : gives the deposits of 511 keV photons in a block among its neighbours
        """
        deposits = _deposits(scanner.module, scanner.ring.inradius_mm)
        shapes = np.array([np.interp(ENERGIES_KEV, NODES_KEV, bin_) for bin_ in deposits.T]).T
        place = deposit_places_keV(ENERGIES_KEV[:, None])
        sigma = window.sigma_keV(place)
        passed = ndtr((window.uld_keV - place) / sigma) - ndtr((window.lld_keV - place) / sigma)
        recorded = np.asarray((shapes * passed).sum(axis=1))
        if whole is not None and whole.known:
            share = np.arange(len(whole.spectrum)) / ELECTRON_REST_KEV
            bins = np.minimum((share * DEPOSIT_BINS).astype(np.int64), DEPOSIT_BINS - 1)
            shapes[-1] = np.bincount(bins, whole.spectrum, DEPOSIT_BINS)
        return cls(scanner, window, shapes, recorded)

    def recorded_share(self, energy_keV: npt.ArrayLike) -> F8:
        """Return w(E) / w(511 keV)."""
        energy = np.asarray(energy_keV, dtype=np.float64)
        share = np.interp(energy, ENERGIES_KEV, self.recorded / self.recorded[-1])
        return np.asarray(share)

    def attenuation_per_mm(self, energy_keV: npt.ArrayLike) -> F8:
        """Return µ(E) of the crystal, with the reconstruction's µ at 511 keV."""
        of_511 = LINEAR_ATTENUATION_PER_MM[self.scanner.module.material]
        relative = relative_attenuation(self.scanner.module.material, energy_keV)
        return np.asarray(of_511 * relative)

    def read_density(self, energy_keV: float, edges_keV: F8) -> F8:
        """Return the probability that a stopped photon of this energy is read in each bin."""
        nearest = int(np.abs(ENERGIES_KEV - energy_keV).argmin())
        place = deposit_places_keV(np.array([energy_keV]))
        below = ndtr((edges_keV[:, None] - place) / self.window.sigma_keV(place))
        return np.asarray((np.diff(below, axis=0) * self.deposits[nearest]).sum(axis=1))


def deposit_places_keV(energy_keV: F8) -> F8:
    """Return the middles of the bins of deposited energy; the last bin holds the full energy."""
    share = (np.arange(DEPOSIT_BINS) + 0.5) / DEPOSIT_BINS
    share[-1] = 1.0
    return np.asarray(energy_keV * share)


@functools.cache
def _deposits(module: Module, inradius_mm: float) -> F8:
    """Return D(e | E) of a block at ``NODES_KEV``."""
    size_mm = np.array([module.width_mm, module.height_mm, module.thickness_mm])
    tables, left = crystal_tables(module.material), np.empty(HISTORIES)
    rows = []
    for energy in NODES_KEV:
        ball_mm = SOURCE_RADIUS * inradius_mm
        deposits_from_ball(ball_mm, inradius_mm, float(energy), size_mm, *tables, 511, left)
        bins = np.minimum((left / energy * DEPOSIT_BINS).astype(np.int64), DEPOSIT_BINS - 1)
        rows.append(np.bincount(bins, minlength=DEPOSIT_BINS) / len(bins))
    return np.array(rows)
