"""Fits the photopeaks of many spectra at once: place, width and standard error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import erfc

from daq.calibration.energy_spectra import LineGrid, line_grid
from hw.arrays import F8
from hw.physics.constants import REFERENCE_KEV

GRID_511 = line_grid(REFERENCE_KEV)
START_SIGMA = 35.0 / REFERENCE_KEV
"""Initial σ at 511 keV, relative to the line: 16 % FWHM."""

BELOW_SIGMA, ABOVE_SIGMA = 2.0, 2.5  # the fit's range around the peak
NEAR = 0.2
"""If the place of a peak is predicted, it is searched within this fraction."""

MOST_ERROR = 0.01
"""Largest relative standard error of a peak for a fit to be used by itself."""

LEAST_COUNTS = 100.0
"""Counts in the Gaussian: with fewer, a chance cluster can look like a narrow, precise peak."""

LEAST_SHARE = 0.005
"""Share of a spectrum's counts in the Gaussian: pile-up of two photons makes a hump of one in a
thousand, which is no line of the source."""

MOST_TIMES_WIDER = 2.0
"""What is wider or narrower than the median of all crystals' peaks by this factor is not a peak."""

LEAST_SIGMA, MOST_SIGMA = 0.01, 0.15
"""A peak's relative σ at 511 keV; at other lines times √(511 keV/line)."""

_ITERATIONS = 12
_AT_ONCE = 4096  # spectra fitted in one go: bounds the work arrays to some 30 MB


@dataclass(frozen=True)
class Peaks:
    """Photopeaks of n spectra: position, width and standard error of the position, in keV; (n,).

    counts : (n,) in the Gaussian; total : (n,) in the spectrum
    """

    peak_keV: F8
    sigma_keV: F8
    error_keV: F8
    counts: F8
    total: F8
    grid: LineGrid

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Whether each fit can be used by itself: finite, precise enough, and of a width like the
        others'.
        """
        low, high = self.grid.search_keV
        relative = self.sigma_keV / self.peak_keV / self.grid.widening
        with np.errstate(invalid="ignore"):
            plausible = (
                (self.counts >= np.maximum(LEAST_COUNTS, LEAST_SHARE * self.total))
                & (self.error_keV <= MOST_ERROR * self.peak_keV)
                & (self.peak_keV > low)
                & (self.peak_keV < high)
                & (relative > LEAST_SIGMA)
                & (relative < MOST_SIGMA)
            )
        usual = np.median(relative[plausible]) if plausible.any() else 1.0
        wider = relative / usual
        return plausible & (wider < MOST_TIMES_WIDER) & (wider > 1 / MOST_TIMES_WIDER)


def fit_peaks(
    spectra: npt.NDArray[np.generic],
    grid: LineGrid = GRID_511,
    *,
    sigma_keV: float | None = None,
    near_keV: F8 | None = None,
) -> Peaks:
    """Fit the photopeak of each spectrum (n, BINS) by iterated weighted least squares.

    Model: ``A·exp(−(E−µ)²/2σ²) + B·erfc((E−µ)/√2σ)/2`` over µ − 2σ … µ + 2.5σ, a range that follows
    µ and σ. The weights are 1/model, as the model's counts are their variance: Pearson's χ² with
    iterated weights, whose score is that of Poisson's likelihood, so few counts do not bias it.
    Bins below the modules' trigger level (seen in the sum of all) are left out.

    Parameters
    ----------
    sigma_keV : the initial width, also of the smoothing that finds the maximum; None for 16 % FWHM
        at 511 keV
    near_keV : (n,) where each peak is expected, within 20 %; None for anywhere in the search range
    """
    sigma_keV = sigma_keV or START_SIGMA * grid.line_keV * grid.widening
    near = np.full(len(spectra), np.nan) if near_keV is None else near_keV
    usable = _above_trigger(spectra)
    parts = [
        _Fit(grid, spectra[k : k + _AT_ONCE].astype(np.float64), usable).run(
            sigma_keV, near[k : k + _AT_ONCE]
        )
        for k in range(0, len(spectra), _AT_ONCE)
    ]
    peak, sigma, error, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Peaks(peak, sigma, error, counts, spectra.sum(axis=1, dtype=np.float64), grid)


def _above_trigger(spectra: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return which bins the modules' trigger lets through, (BINS,): those after the first that has
    a hundredth of the fullest one's counts.
    """
    total = spectra.sum(axis=0, dtype=np.float64)
    above = total >= 0.01 * max(total.max(initial=0.0), 1.0)
    first = int(np.argmax(above))
    return np.arange(len(total)) >= (first + 1 if first else 0)


class _Fit:
    """Gauss–Newton steps for a chunk of spectra."""

    def __init__(self, grid: LineGrid, counts: F8, usable: npt.NDArray[np.bool_]) -> None:
        self.grid, self.counts, self.usable = grid, counts, usable
        self.energy = grid.centres_keV

    def run(self, start_sigma_keV: float, near_keV: F8) -> tuple[F8, ...]:
        """Return place, width, standard error of the place, (n,) keV, and counts, (n,)."""
        self._start(start_sigma_keV, near_keV)
        for _ in range(_ITERATIONS):
            variance = self._step()
        counts = self.height * self.sigma * np.sqrt(2 * np.pi) / self.grid.bin_keV
        return self.mu, self.sigma, np.sqrt(np.maximum(variance, 0.0)), counts

    def _start(self, sigma_keV: float, near_keV: F8) -> None:
        smooth = gaussian_filter1d(self.counts, sigma_keV / self.grid.bin_keV / 2, axis=1)
        known = np.isfinite(near_keV)[:, None]
        low, high = self.grid.search_keV
        inside = (self.energy > low) & (self.energy < high) & self.usable
        close = np.abs(self.energy / near_keV[:, None] - 1) < NEAR
        inside = np.where(known, close & self.usable, inside)
        # Compton counts grow towards low energies: the weight E² keeps them from being the maximum
        place = np.argmax(np.where(inside, smooth * self.energy**2, -1.0), axis=1)
        self.mu = self.energy[place]
        self.sigma = np.full(len(self.counts), sigma_keV)
        self.height = np.maximum(smooth.max(axis=1, where=inside, initial=0.0), 0.1)
        self.step = 0.1 * self.height

    def _step(self) -> F8:
        """Improve every fit; return the variance of the places."""
        mu, sigma, height, step = self.mu, self.sigma, self.height[:, None], self.step[:, None]
        x = (self.energy - mu[:, None]) / sigma[:, None]
        gauss, edge = np.exp(-0.5 * x * x), 0.5 * erfc(x / np.sqrt(2.0))
        model = height * gauss + step * edge
        inside = (x > -BELOW_SIGMA) & (x < ABOVE_SIGMA) & self.usable
        weight = np.where(inside, 1 / np.maximum(model, 0.02), 0.0)
        # d edge/dx = −gauss/√2π; chain rule through x for µ and σ
        slope = -height * x * gauss - step * gauss / np.sqrt(2 * np.pi)
        jacobian = np.stack(
            [gauss, edge, -slope / sigma[:, None], -slope * x / sigma[:, None]], axis=2
        )
        normal = np.einsum("nbi,nb,nbj->nij", jacobian, weight, jacobian)
        scale = np.einsum("nii->ni", normal)
        normal += np.eye(4) * (1e-6 * scale + 1e-12)[:, :, None]
        right = np.einsum("nbi,nb,nb->ni", jacobian, weight, self.counts - model)
        inverse = np.linalg.inv(normal)
        change = np.einsum("nij,nj->ni", inverse, right)
        unit = self.grid.bin_keV
        self.height = np.maximum(self.height + change[:, 0], 1e-3)
        self.step = np.maximum(self.step + change[:, 1], 0.0)
        self.mu = np.clip(mu + np.clip(change[:, 2], -sigma, sigma), *self.grid.search_keV)
        narrower = np.clip(change[:, 3], -sigma / 3, sigma / 3)
        self.sigma = np.clip(sigma + narrower, unit, 20 * unit * self.grid.widening)
        variance: F8 = inverse[:, 2, 2]
        return variance
