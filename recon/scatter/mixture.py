"""How much of the prompts is scatter, from their two energies alone.

The prompts' counts H(e_a, e_b) in the window are modelled as

    H = N_t f_t + N_1 f_1 + N_m f_m + R f_r

with the densities of :mod:`recon.scatter.spectra` and R randoms, known from the delayeds; f_r is
the product of the delayeds' own spectra. N_t, N_1, N_m ≥ 0 are fitted by least squares, weighted by
the variance of counts and model (``MODEL_ERROR``); gain and resolution, in which real energies
differ from the preset's, are part of the same fit. (L. M. Popescu et al., Phys. Med. Biol. 51
(2006) 2919, estimate the densities from the data; here, except for those two numbers, they follow
from the simulation.) Energies must be calibrated: in a window that begins just below the peak, 1 %
of gain is 15 % of the prompts.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # its submodule optimize is imported where it is first used

from hw.arrays import F8, Records
from hw.physics.constants import ELECTRON_REST_KEV
from recon.scatter.detector import EnergyWindow, ScatterError
from recon.scatter.simulation import SingleScatter
from recon.scatter.spectra import Spectra, spectra, window_edges

LEAST_PROMPTS = 2000
"""With fewer, the share of scatter would be uncertain by 5 % of the prompts."""

MODEL_ERROR = 0.05
"""Of each bin's expectation: spectra of real crystals are not quite Gaussian. Without it the bins
with most counts would decide, and with them the peak's foot instead of its flanks."""

PEAK_ERROR = 0.002
"""Least error of the peak position, whatever the counts: its shape is not known better."""

SPECTRA_ERROR = 0.04
"""Of the scatter, whatever the counts: what was found between estimate and truth in emulated runs
and GATE's (docs/reconstruction/scatter.md)."""

TOO_WIDE, TOO_NARROW = 1.25, 0.6
"""A peak this much wider than the preset's resolution means crystals with different gains."""

UPPER_FLANK = 1.2
"""The fit ends this many FWHM above the peak; beyond, differing gains dominate."""

_REWEIGHTED = 3


@dataclass(frozen=True)
class Mixture:
    """Counts of each kind, and the spectra that explain the prompts best.

    squares_per_bin : squared differences over variances, about 1 if the spectra are right
    relative_error : of the scatter, including the effect of an error in the peak position
    window_fwhm_511 : the preset's resolution, to compare with the fitted one
    """

    spectra: Spectra
    trues: float
    single: float
    multiple: float
    randoms: float
    random_spectrum: F8
    squares_per_bin: float
    relative_error: float
    window_fwhm_511: float

    @property
    def scatter(self) -> float:
        """Scattered prompts."""
        return self.single + self.multiple

    @property
    def scatter_fraction(self) -> float:
        """S / (T + S)."""
        return self.scatter / max(self.scatter + self.trues, 1e-300)

    @property
    def calibrated(self) -> bool:
        """Whether the peak is about as wide as the scanner's resolution makes it."""
        ratio = self.spectra.fwhm_511 / self.window_fwhm_511
        return TOO_NARROW < ratio < TOO_WIDE

    def scatter_over_trues(self) -> F8:
        """Return f_s / f_t, (bins, bins): likelihood of two energies, scatter over trues."""
        parts = self.single * self.spectra.of_single() + self.multiple * self.spectra.of_multiple()
        return np.asarray(parts / max(self.scatter, 1e-300) / self.spectra.of_trues())

    def randoms_over_trues(self) -> F8:
        """Return f_r / f_t, (bins, bins)."""
        both = np.outer(self.random_spectrum, self.random_spectrum)
        return np.asarray(both / self.spectra.of_trues())


def energy_counts(records: Records, edges_keV: F8) -> F8:
    """Return counts of records by their two energies, (bins, bins); the ULD is inclusive."""
    bins = len(edges_keV) - 1
    a, b = energy_bins(records, edges_keV)
    known = (a >= 0) & (b >= 0)
    flat = np.bincount(a[known] * bins + b[known], minlength=bins * bins)
    return flat.reshape(bins, bins).astype(np.float64)


def energy_bins(
    records: Records, edges_keV: F8
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the bins of a's and b's energy, -1 outside the window."""
    bins = len(edges_keV) - 1
    width = (edges_keV[-1] - edges_keV[0]) / bins
    found = []
    for name in ("energy_a", "energy_b"):
        place = (records[name].astype(np.float64) / 10.0 - edges_keV[0]) / width
        inside = (place >= 0) & (place <= bins + 1e-9)
        found.append(np.where(inside, np.minimum(place, bins - 1), -1).astype(np.int64))
    return found[0], found[1]


def fit_mixture(
    counts: F8, delayed: F8, simulation: SingleScatter, arriving: F8, *, randoms: float
) -> Mixture:
    """Return the mixture of prompts ``counts`` (bins, bins) with a known number of ``randoms``.

    Parameters
    ----------
    counts : (bins, bins), prompts by their two energies
    delayed : (bins, bins) counts of delayeds, whose spectrum the randoms share
    simulation : whose window and block response give the spectra
    arriving : φ, see :func:`recon.scatter.spectra.scattered_energies`
    randoms : number of randoms among the prompts
    """
    if counts.sum() < LEAST_PROMPTS:
        raise ScatterError(
            f"{counts.sum():.0f} prompts with energies in the window: at least {LEAST_PROMPTS} are "
            "needed to tell scatter by energies; use scatter = sss"
        )
    random = _random_spectrum(counts, delayed)
    both = (counts + counts.T) / 2
    background = randoms * np.outer(random, random)
    start = simulation.window.fwhm_511
    used = _fitted_bins(simulation.window)

    def badness(values: F8) -> float:
        fwhm, gain = float(values[0]) * start, float(values[1])
        if not (0.02 < fwhm < 0.6 and 0.8 < gain < 1.25):
            return 1e12
        found = spectra(simulation, arriving, fwhm_511=fwhm, gain=gain)
        return _fitted(both[used], _templates(found)[:, used], background[used])[0]

    best = scipy.optimize.minimize(
        badness,
        np.array([1.0, 1.0]),
        method="Nelder-Mead",
        options={
            "initial_simplex": [[1.0, 1.0], [1.15, 1.0], [1.0, 1.02]],
            "xatol": 2e-3,
            "fatol": 0.1,
            "maxfev": 60,
        },
    )
    fwhm, gain = float(best.x[0]) * start, float(best.x[1])
    found = spectra(simulation, arriving, fwhm_511=fwhm, gain=gain)
    squares, numbers = _fitted(both[used], _templates(found)[:, used], background[used])
    per_bin = squares / max(int(used.sum()) - 5, 1)

    def expected(values: F8) -> F8:
        moved = spectra(simulation, arriving, fwhm_511=float(values[3]), gain=float(values[4]))
        return np.asarray(values[:3] @ _templates(moved)[:, used] + background[used])

    error = _scatter_error(expected, np.array([*numbers, fwhm, gain])) * max(per_bin, 1.0) ** 0.5
    shifted = spectra(simulation, arriving, fwhm_511=fwhm, gain=gain + PEAK_ERROR)
    moved = _fitted(both[used], _templates(shifted)[:, used], background[used])[1]
    by_peak = abs(moved[1:].sum() / max(numbers[1:].sum(), 1e-300) - 1.0)
    error = math.hypot(error, by_peak, SPECTRA_ERROR)
    trues, single, multiple = (float(n) for n in numbers)
    return Mixture(found, trues, single, multiple, randoms, random, per_bin, error, start)


def _scatter_error(expected: Callable[[F8], F8], best: F8) -> float:
    """Return the relative standard error of the scatter, with gain and resolution free."""
    middle = expected(best)
    sigma = _sigma(middle)
    steps = np.array([*np.maximum(best[:3] * 0.01, 1.0), best[3] * 0.01, 0.001])
    slopes = np.array(
        [(expected(best + step) - middle) / step.sum() / sigma for step in np.diag(steps)]
    )
    curvature = slopes @ slopes.T
    scale = np.sqrt(np.diag(curvature))
    covariance = np.linalg.pinv(curvature / np.outer(scale, scale)) / np.outer(scale, scale)
    scatter = float(best[1] + best[2])
    if scatter <= 0:
        return math.inf
    return math.sqrt(max(float(covariance[1:3, 1:3].sum()), 0.0)) / scatter


def _fitted_bins(window: EnergyWindow) -> npt.NDArray[np.bool_]:
    """Return the bins, (bins, bins), in which neither energy lies far above the peak."""
    edges = window_edges(window)
    low = edges[:-1] < ELECTRON_REST_KEV * (1 + UPPER_FLANK * window.fwhm_511)
    return np.asarray(low[:, None] & low[None, :])


def _templates(found: Spectra) -> F8:
    return np.stack([found.of_trues(), found.of_single(), found.of_multiple()])


def _random_spectrum(counts: F8, delayed: F8) -> F8:
    """Return the spectrum of a random's photon; that of the prompts if delayeds are too few."""
    one = delayed.sum(axis=0) + delayed.sum(axis=1)
    other = counts.sum(axis=0) + counts.sum(axis=1)
    prior = 100.0 * other / max(float(other.sum()), 1e-300)
    spectrum = one + prior
    return np.asarray(spectrum / max(float(spectrum.sum()), 1e-300))


def _fitted(counts: F8, templates: F8, background: F8) -> tuple[float, F8]:
    """Return the least sum of squares over variances for numbers ≥ 0, and these numbers."""
    flat = templates.reshape(len(templates), -1)
    n, b = counts.ravel(), background.ravel()
    expected = n
    for _ in range(_REWEIGHTED):
        sigma = _sigma(expected)
        numbers, rest = scipy.optimize.nnls((flat / sigma).T, (n - b) / sigma)
        expected = numbers @ flat + b
    return float(rest**2), np.asarray(numbers)


def _sigma(expected: F8) -> F8:
    """Return the standard error of symmetrised counts, which have half the Poisson variance."""
    return np.asarray(np.sqrt(np.maximum(expected, 1.0) / 2 + (MODEL_ERROR * expected) ** 2))
