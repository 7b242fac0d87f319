"""Energy calibration: find each crystal's 511 keV photopeak in a run's singles.

Each crystal's raw read-out energies are histogrammed; the histogram's photopeak is fitted with a
Gaussian on a smoothed step, the shape of what Compton scatter leaves below a peak. gain = 511 keV
divided by the peak's position. Spectra are pooled over the module where a crystal has too few
counts, and over the scanner where the module has; such crystals are marked.
Memory: 512 bytes a crystal (25 MB for 49152 crystals), whatever the run's length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.special import erfc

from coincidence.select import empty_singles
from daq import rawlog
from daq.calibration_set import CalibrationSetError, Status
from daq.decode import Decoder
from daq.frame_check import FrameChecker
from daq.rawlog import RawLogReader
from daq.resort import run_config
from hw.jit import Array, kernel
from hw.protocol import HEADER_BYTES, WORD_BYTES
from hw.scanner import Scanner

Floats = npt.NDArray[np.float64]
Spectra = npt.NDArray[np.uint32]
Progress = Callable[[int, int], None]

PEAK_keV = 511.0
FIRST_keV = 200.0
BIN_keV = 5.0
BINS = 128  # 200 to 840 keV: a peak of 15 % FWHM is inside for read-out gains from 0.65 to 1.4
SEARCH_keV = (330.0, 720.0)  # where the peak may be before calibration
BELOW_SIGMA, ABOVE_SIGMA = 2.0, 2.5  # the fit's range around the peak
MOST_ERROR = 0.01
"""Largest standard error of a peak, as a fraction, for a fit to stand on its own."""

_ITERATIONS = 12
_AT_ONCE = 4096  # spectra fitted in one go: bounds the work arrays to some 30 MB
CENTRES_keV = FIRST_keV + BIN_keV * (np.arange(BINS) + 0.5)


@kernel
def accumulate_spectra(singles: Array, first_dkeV: int, bin_dkeV: int, spectra: Array) -> None:
    """Count singles into their crystals' spectra: (n,) SINGLE into (n_crystals, bins) u4."""
    for i in range(singles.shape[0]):
        bin_ = (np.int64(singles[i].energy) - first_dkeV) // bin_dkeV
        if 0 <= bin_ < spectra.shape[1]:
            spectra[singles[i].crystal, bin_] += 1


def new_spectra(n_crystals: int) -> Spectra:
    """Return empty spectra (n_crystals, BINS) u4."""
    return np.zeros((n_crystals, BINS), dtype=np.uint32)


def add_singles(spectra: Spectra, singles: npt.NDArray[np.void]) -> None:
    """Count uncalibrated singles into the spectra."""
    accumulate_spectra(singles, round(FIRST_keV * 10), round(BIN_keV * 10), spectra)


def spectra_of_run(folder: Path, *, progress: Progress | None = None) -> Spectra:
    """Return the spectra (n_crystals, BINS) u4 of a run's raw singles; raises LogError."""
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    scanner = run_config(folder).scanner()
    checker = FrameChecker(n_modules=scanner.n_modules, run_tag=reader.head["run_tag"])
    decoder = Decoder(n_modules=scanner.n_modules, crystals_per_module=scanner.crystals_per_module)
    spectra, singles = new_spectra(scanner.n_crystals), empty_singles(0)
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        checked = checker.check(frames)
        words = (len(checked.payload) - HEADER_BYTES * len(checked)) // WORD_BYTES
        if words > len(singles):
            singles = empty_singles(2 * words)
        add_singles(spectra, singles[: decoder.decode(checked, singles)])
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
    return spectra


@dataclass(frozen=True)
class Peaks:
    """Photopeaks of n spectra: position, width and standard error of the position, keV; (n,)."""

    peak_keV: Floats
    sigma_keV: Floats
    error_keV: Floats

    @property
    def good(self) -> npt.NDArray[np.bool_]:
        """Whether each fit stands on its own: finite, a peak's width, and precise enough."""
        relative = self.sigma_keV / self.peak_keV
        with np.errstate(invalid="ignore"):
            return (
                (self.error_keV <= MOST_ERROR * self.peak_keV)
                & (self.peak_keV > SEARCH_keV[0])
                & (self.peak_keV < SEARCH_keV[1])
                & (relative > 0.01)
                & (relative < 0.15)
            )


def fit_peaks(spectra: npt.NDArray[np.generic], sigma_keV: float = 35.0) -> Peaks:
    """Fit the photopeak of each spectrum (n, BINS) by iterated weighted least squares.

    Model: ``A·exp(−(E−µ)²/2σ²) + B·erfc((E−µ)/√2σ)/2`` over µ − 2σ … µ + 2.5σ, the range moving
    with µ and σ. Weights 1/(model), the model's counts being their variance: Pearson's χ² with
    iterated weights, whose score is that of Poisson's likelihood, so few counts do not bias it.

    Parameters
    ----------
    sigma_keV : the width to start from, and of the smoothing that finds the highest place
    """
    parts = [
        _fit(spectra[k : k + _AT_ONCE].astype(np.float64), sigma_keV)
        for k in range(0, len(spectra), _AT_ONCE)
    ]
    return Peaks(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _fit(counts: Floats, start_sigma_keV: float) -> tuple[Floats, Floats, Floats]:
    smooth = gaussian_filter1d(counts, start_sigma_keV / BIN_keV / 2, axis=1)
    inside = (CENTRES_keV > SEARCH_keV[0]) & (CENTRES_keV < SEARCH_keV[1])
    # Compton counts grow towards low energies: the weight E² keeps them from being the maximum
    mu = CENTRES_keV[np.argmax(np.where(inside, smooth * CENTRES_keV**2, -1.0), axis=1)]
    sigma = np.full(len(counts), start_sigma_keV)
    height = np.maximum(smooth.max(axis=1, where=inside, initial=0.0), 0.1)
    step = 0.1 * height
    variance = np.full(len(counts), np.inf)
    for _ in range(_ITERATIONS):
        x = (CENTRES_keV - mu[:, None]) / sigma[:, None]
        gauss, edge = np.exp(-0.5 * x * x), 0.5 * erfc(x / np.sqrt(2.0))
        model = height[:, None] * gauss + step[:, None] * edge
        weight = np.where((x > -BELOW_SIGMA) & (x < ABOVE_SIGMA), 1 / np.maximum(model, 0.02), 0.0)
        # d edge/dx = −gauss/√2π; chain rule through x for µ and σ
        slope = -height[:, None] * x * gauss - step[:, None] * gauss / np.sqrt(2 * np.pi)
        jacobian = np.stack(
            [gauss, edge, -slope / sigma[:, None], -slope * x / sigma[:, None]], axis=2
        )
        normal = np.einsum("nbi,nb,nbj->nij", jacobian, weight, jacobian)
        scale = np.einsum("nii->ni", normal)
        normal += np.eye(4) * (1e-6 * scale + 1e-12)[:, :, None]
        right = np.einsum("nbi,nb,nb->ni", jacobian, weight, counts - model)
        inverse = np.linalg.inv(normal)
        change = np.einsum("nij,nj->ni", inverse, right)
        height = np.maximum(height + change[:, 0], 1e-3)
        step = np.maximum(step + change[:, 1], 0.0)
        mu = np.clip(mu + np.clip(change[:, 2], -sigma, sigma), *SEARCH_keV)
        sigma = np.clip(sigma + np.clip(change[:, 3], -sigma / 3, sigma / 3), 5.0, 100.0)
        variance = inverse[:, 2, 2]
    return mu, sigma, np.sqrt(np.maximum(variance, 0.0))


@dataclass(frozen=True)
class EnergyResult:
    """Gains (n_crystals,) f8, how each was found, and the peaks as fitted per crystal."""

    gain: Floats
    status: npt.NDArray[np.uint8]
    peaks: Peaks


def calibrate_energy(spectra: Spectra, scanner: Scanner) -> EnergyResult:
    """Return the gains that bring each crystal's photopeak to 511 keV.

    Raises
    ------
    CalibrationSetError
        where there is no photopeak even in the sum of all crystals.
    """
    per_module = spectra.reshape(scanner.n_modules, -1, BINS).sum(axis=1, dtype=np.int64)
    whole = fit_peaks(per_module.sum(axis=0)[None])
    if not whole.good[0]:
        raise CalibrationSetError(
            f"no 511 keV photopeak between {SEARCH_keV[0]:g} and {SEARCH_keV[1]:g} keV in all "
            f"{int(per_module.sum())} singles together: measure longer, with a positron source"
        )
    modules = fit_peaks(per_module, float(whole.sigma_keV[0]))
    crystals = fit_peaks(spectra, float(whole.sigma_keV[0]))
    module_of = np.repeat(np.arange(scanner.n_modules), scanner.crystals_per_module)
    by_module = modules.good[module_of]
    peak = np.where(
        crystals.good,
        crystals.peak_keV,
        np.where(by_module, modules.peak_keV[module_of], whole.peak_keV[0]),
    )
    status = np.where(
        crystals.good, Status.FITTED, np.where(by_module, Status.MODULE, Status.SCANNER)
    )
    return EnergyResult(PEAK_keV / peak, status.astype(np.uint8), crystals)
