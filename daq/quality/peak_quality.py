"""Where the photopeak of each crystal and module lies after calibration, and how wide it is.

Peaks are fitted as in the energy calibration (``daq.calibration.photopeaks``: a Gaussian on a
step); the resolution is FWHM/E of the Gaussian, FWHM = 2·√(2·ln 2)·σ (G. F. Knoll, Radiation
Detection and Measurement, 4th ed., 4.V).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daq.calibration.energy_spectra import LineGrid
from daq.calibration.photopeaks import Peaks, fit_peaks
from daq.errors import DaqError
from daq.quality.measured_spectra import MeasuredSpectra
from hw.arrays import F8, Mask
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner


class QcError(DaqError):
    """A part of a QC that a run does not allow; the message says what it lacks."""


@dataclass(frozen=True)
class PeakFigures:
    """Peaks of n crystals or modules. ``good`` : whether each was found and is precise enough.

    peak_keV, error_keV : (n,) place and its standard error; fwhm_percent : (n,) of the place
    """

    peak_keV: F8
    error_keV: F8
    fwhm_percent: F8
    good: Mask


@dataclass(frozen=True)
class PeakQuality:
    """The line in keV, and its peak in each crystal and in each module's sum."""

    line_keV: float
    crystals: PeakFigures
    modules: PeakFigures

    @property
    def shift_percent(self) -> F8:
        """How far each module's peak lies from the line, (n_modules,) %."""
        return np.asarray(100 * (self.modules.peak_keV / self.line_keV - 1))


def peak_quality(measured: MeasuredSpectra, grid: LineGrid, scanner: Scanner) -> PeakQuality:
    """Return the peaks in spectra that were measured over ``grid``.

    Raises
    ------
    QcError
        if no module has one.
    """
    line_keV = grid.line_keV
    preset = scanner.response.energy_fwhm_511 * grid.widening
    sigma_keV = preset * line_keV / FWHM_PER_SIGMA
    spectra = measured.of_modules(scanner.n_modules)
    modules = _figures(fit_peaks(spectra, grid, sigma_keV=sigma_keV))
    if not modules.good.any():
        raise QcError(
            f"no {line_keV:g} keV photopeak in any module, of {int(spectra.sum())} singles: "
            "measure longer, with a source of this line"
        )
    crystals = _figures(fit_peaks(measured.spectra, grid, sigma_keV=sigma_keV))
    return PeakQuality(line_keV, crystals, modules)


def _figures(peaks: Peaks) -> PeakFigures:
    fwhm = 100 * FWHM_PER_SIGMA * peaks.sigma_keV / peaks.peak_keV
    return PeakFigures(peaks.peak_keV, peaks.error_keV, fwhm, peaks.good)
