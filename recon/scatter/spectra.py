"""Energy spectra of trues and scatter: the energies expected for each kind of event.

The single-scatter simulation gives the energies E' of scattered photons; φ(E') is their
distribution over the whole scanner, before the energy window. With p(e | E) of
:mod:`recon.scatter.detector` the densities of the two energies are

    trues      f_t = p(e_a | 511) p(e_b | 511)
    single     f_1 = ½ [ s(e_a) p(e_b | 511) + p(e_a | 511) s(e_b) ]
    multiple   f_m = ½ s(e_a) s(e_b) + ¼ [ d(e_a) p(e_b | 511) + p(e_a | 511) d(e_b) ]

where s(e) = ∫ φ(E') p(e | E') dE', and d is the spectrum after two scatters, each with φ's
distribution of E'/E. Each density is normalised within the window. (Products of one-photon spectra:
B. Guérin, G. El Fakhri, IEEE Trans. Med. Imaging 30 (2011) 759.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arrays import F8
from hw.physics.constants import ELECTRON_REST_KEV
from recon.core.grid import Image
from recon.scatter.detector import BlockResponse, EnergyWindow
from recon.scatter.simulation import SingleScatter

BINS = 30
SAMPLES = 200_000
_ARRIVING_KEV = np.linspace(ELECTRON_REST_KEV / 3, ELECTRON_REST_KEV, 61)


@dataclass(frozen=True)
class Spectra:
    """Densities within a window: ``trues``, ``single``, ``double`` (bins,), each summing to 1.

    gain : factor by which energies are read too high; fwhm_511 : the resolution assumed
    """

    edges_keV: F8
    trues: F8
    single: F8
    double: F8
    gain: float
    fwhm_511: float

    def of_trues(self) -> F8:
        """Return f_t, (bins, bins)."""
        return np.outer(self.trues, self.trues)

    def of_single(self) -> F8:
        """Return f_1, (bins, bins)."""
        return _both_ways(self.single, self.trues)

    def of_multiple(self) -> F8:
        """Return f_m, (bins, bins)."""
        return (np.outer(self.single, self.single) + _both_ways(self.double, self.trues)) / 2


def _both_ways(scattered: F8, unscattered: F8) -> F8:
    one = np.outer(scattered, unscattered)
    return np.asarray((one + one.T) / 2)


def window_edges(window: EnergyWindow) -> F8:
    """Return the edges of ``BINS`` equal bins of the window."""
    return np.linspace(window.lld_keV, window.uld_keV, BINS + 1)


def scattered_energies(simulation: SingleScatter, activity: Image) -> F8:
    """Return φ: the share of scattered photons in each cell between ``_ARRIVING_KEV``."""
    rng = np.random.default_rng(2)
    energy, weight = simulation.sampled_energies(activity, rng, SAMPLES)
    counts, _ = np.histogram(energy, _ARRIVING_KEV, weights=weight)
    return np.asarray(counts / max(counts.sum(), 1e-300))


def spectra(simulation: SingleScatter, arriving: F8, *, fwhm_511: float, gain: float) -> Spectra:
    """Return the spectra for a resolution and gain; ``arriving`` is φ."""
    window = simulation.window
    edges = window_edges(window)
    system = simulation.system
    read = BlockResponse.of(
        system.scanner,
        EnergyWindow(window.lld_keV, window.uld_keV, fwhm_511),
        system.detection.efficiency,
    )
    middle = (_ARRIVING_KEV[1:] + _ARRIVING_KEV[:-1]) / 2
    rows = np.array([read.read_density(float(energy), edges / gain) for energy in middle])
    twice = _twice(arriving, middle)
    return Spectra(
        edges,
        _shares(read.read_density(ELECTRON_REST_KEV, edges / gain)),
        _shares(arriving @ rows),
        _shares(twice @ rows),
        gain,
        fwhm_511,
    )


def _twice(arriving: F8, middle: F8) -> F8:
    """Return the energy distribution after two scatters (above the lowest cell)."""
    after = np.outer(middle, middle) / ELECTRON_REST_KEV
    chance = np.outer(arriving, arriving)
    return np.histogram(after, _ARRIVING_KEV, weights=chance)[0].astype(np.float64)


def _shares(density: F8) -> F8:
    floor = np.maximum(density, 1e-6 * max(float(density.max()), 1e-300))
    return np.asarray(floor / floor.sum())
