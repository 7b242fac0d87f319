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
anywhere on the face; absorption, or Compton scatter drawn from a table of Klein–Nishina angles,
until absorbed or out), once per scanner, with a fixed seed. Fluorescence and coherent scatter are
left out.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from hw.arrays import F8
from hw.physics.block_efficiency import BlockEfficiency
from hw.physics.compton import klein_nishina
from hw.physics.constants import ELECTRON_REST_KEV, FWHM_PER_SIGMA
from hw.physics.scintillator import PHOTO_ENERGIES_KEV, photo_share, relative_attenuation
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

_MOST_COLLISIONS = 12


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
        """Return σ of the energy read for a deposit."""
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
    rng = np.random.default_rng(511)
    cosines = _scatter_cosines()
    rows = []
    for energy in NODES_KEV:
        share = _followed(rng, module, inradius_mm, float(energy), cosines) / energy
        bins = np.minimum((share * DEPOSIT_BINS).astype(np.int64), DEPOSIT_BINS - 1)
        rows.append(np.bincount(bins, minlength=DEPOSIT_BINS) / len(bins))
    return np.array(rows)


def _arriving(rng: np.random.Generator, size_mm: F8, inradius_mm: float) -> tuple[F8, F8]:
    """Return where photons from the scanner's centre enter a face, and their directions."""
    source = rng.normal(size=(HISTORIES, 3))
    source *= (rng.random((HISTORIES, 1)) ** (1 / 3)) / np.linalg.norm(source, axis=1)[:, None]
    source = source * SOURCE_RADIUS * inradius_mm + [size_mm[0] / 2, size_mm[1] / 2, -inradius_mm]
    place = rng.random((HISTORIES, 3)) * size_mm
    place[:, 2] = 0.0
    along = place - source
    return place, along / np.linalg.norm(along, axis=1)[:, None]


def _followed(
    rng: np.random.Generator, module: Module, inradius_mm: float, energy_keV: float, cosines: F8
) -> F8:
    """Return the energies that photons deposit, all of which interact in the block."""
    material = module.material
    size_mm = np.array([module.width_mm, module.height_mm, module.thickness_mm])
    place, direction = _arriving(rng, size_mm, inradius_mm)
    of_511 = LINEAR_ATTENUATION_PER_MM[material]
    mu = of_511 * float(relative_attenuation(material, energy_keV))
    longest = size_mm[2] / direction[:, 2]
    way = -np.log1p(rng.random(HISTORIES) * np.expm1(-mu * longest)) / mu
    place += direction * way[:, None]
    hit = ((place[:, :2] > 0) & (place[:, :2] < size_mm[:2])).all(axis=1)
    place, direction = place[hit], direction[hit]
    count = len(place)
    energy = np.full(count, energy_keV)
    deposit = np.zeros(count)
    alive = np.arange(count)
    for _ in range(_MOST_COLLISIONS):
        now = energy[alive]
        absorbed = rng.random(len(alive)) * (1 + 1 / photo_share(material, now)) < 1
        absorbed |= now < PHOTO_ENERGIES_KEV[0]
        deposit[alive[absorbed]] += now[absorbed]
        alive = alive[~absorbed]
        if not len(alive):
            return deposit
        cosine = _drawn(rng, cosines, energy[alive])
        kept = energy[alive] / (1 + energy[alive] / ELECTRON_REST_KEV * (1 - cosine))
        deposit[alive] += energy[alive] - kept
        energy[alive] = kept
        direction[alive] = turned(direction[alive], cosine, rng.random(len(alive)) * 2 * np.pi)
        free = of_511 * relative_attenuation(material, np.maximum(kept, PHOTO_ENERGIES_KEV[0]))
        place[alive] += direction[alive] * (rng.exponential(size=len(alive)) / free)[:, None]
        alive = alive[((place[alive] > 0) & (place[alive] < size_mm)).all(axis=1)]
    deposit[alive] += energy[alive]
    return deposit


_TABLE_KEV = np.linspace(60.0, 520.0, 47)


def _scatter_cosines() -> F8:
    """Return Klein–Nishina quantiles of cosθ, (energies, 257)."""
    cosine = np.linspace(-1.0, 1.0, 1025)
    rows = []
    for energy in _TABLE_KEV:
        density = klein_nishina(cosine, float(energy))
        below = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
        rows.append(np.interp(np.linspace(0.0, 1.0, 257), below / below[-1], cosine))
    return np.array(rows)


def _drawn(rng: np.random.Generator, cosines: F8, energy_keV: F8) -> F8:
    step = _TABLE_KEV[1] - _TABLE_KEV[0]
    row = np.clip(np.round((energy_keV - _TABLE_KEV[0]) / step), 0, len(_TABLE_KEV) - 1)
    quantile = rng.random(len(energy_keV)) * 256
    left = quantile.astype(np.int64)
    low = cosines[row.astype(np.int64), left]
    return np.asarray(low + (quantile - left) * (cosines[row.astype(np.int64), left + 1] - low))


def turned(direction: F8, cosine: F8, azimuth: F8) -> F8:
    """Return directions (n, 3) deflected by these cosines at random azimuth."""
    sine = np.sqrt(np.maximum(1.0 - cosine**2, 0.0))
    helper = np.where(np.abs(direction[:, 2:]) < 0.9, [[0.0, 0.0, 1.0]], [[1.0, 0.0, 0.0]])
    side = np.cross(direction, helper)
    side /= np.linalg.norm(side, axis=1, keepdims=True)
    other = np.cross(direction, side)
    across = np.cos(azimuth)[:, None] * side + np.sin(azimuth)[:, None] * other
    return np.asarray(cosine[:, None] * direction + sine[:, None] * across)
