"""Energy calibration: each crystal's gain and, with several lines, its non-linearity.

The photopeaks of known lines are found in each crystal's spectrum of raw read-out energies. With
one line, gain = line/peak. With several, gain and curvature are fitted together, the correction
being that of ``coincidence.select``:

    E = e·(1 + curvature·(e/511 keV − 1)),  e = E_raw·gain

Spectra are pooled over the module if a crystal has too few counts, and over the scanner if the
module has; such crystals are marked. ``parse_line`` reads the lines that a person gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from daq.calibration.energy_spectra import BINS, LineGrid, Spectra
from daq.calibration.photopeaks import Peaks, fit_peaks
from daq.folder.calibration_arrays import MAX_CURVATURE, CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.physics.constants import REFERENCE_KEV
from hw.physics.nuclides import NuclideError, load_nuclide
from hw.scanner.description import Scanner

Statuses = npt.NDArray[np.uint8]
LEAST_RATIO = 1.1
"""Two lines must differ by this factor to show a non-linearity."""

MOST_CURVATURE_ERROR = 0.01
_STEPS = 12


@dataclass(frozen=True)
class LineSpectra:
    """Spectra (n_crystals, BINS) u4 in which to find a line."""

    grid: LineGrid
    spectra: Spectra


@dataclass(frozen=True)
class EnergyResult:
    """The results of an energy calibration, per crystal.

    gain, curvature : (n_crystals,) f8; peaks : as fitted per crystal, one of each line
    curvature_status : NOT_CALIBRATED with one line, whose curvature is as given
    """

    gain: F8
    status: Statuses
    curvature: F8
    curvature_status: Statuses
    peaks: list[Peaks]


@dataclass(frozen=True)
class _Places:
    """The place of a line's peak in each crystal, pooled where necessary; (n_crystals,)."""

    raw_keV: F8
    error_keV: F8
    status: Statuses
    module_keV: F8
    peaks: Peaks


def calibrate_lines(
    lines: Sequence[LineSpectra],
    scanner: Scanner,
    *,
    curvature: npt.NDArray[np.generic] | None = None,
) -> EnergyResult:
    """Return the gains, and with several lines the curvatures, that move the peaks to the lines.

    Parameters
    ----------
    curvature : (n_crystals,), with one line: the known non-linearity (None: none)

    Raises
    ------
    CalibrationSetError
        if a line has no photopeak even in the sum of all crystals, or lines are too close.
    """
    check_lines([line.grid.line_keV for line in lines])
    places: list[_Places] = []
    for line in lines:
        near = None
        if places:  # with one line known, the others are where a linear crystal has them
            near = places[0].raw_keV * line.grid.line_keV / lines[0].grid.line_keV
        places.append(_find_line(line, scanner, near))
    known = np.zeros(scanner.n_crystals) if curvature is None else curvature.astype(np.float64)
    if len(lines) == 1:
        gain = _linear_keV(lines[0].grid.line_keV, known) / places[0].raw_keV
        return EnergyResult(
            gain, places[0].status, known, np.zeros(len(gain), np.uint8), [places[0].peaks]
        )
    return _solve_together(lines, places, scanner)


def check_lines(lines_keV: Sequence[float]) -> None:
    """Raise CalibrationSetError for lines that are too close to each other."""
    ordered = sorted(lines_keV)
    for low, high in pairwise(ordered):
        if high < LEAST_RATIO * low:
            raise CalibrationSetError(
                f"lines of {low:g} and {high:g} keV: they must differ by a factor of at least "
                f"{LEAST_RATIO:g} to tell gain from non-linearity; choose others"
            )


def _find_line(line: LineSpectra, scanner: Scanner, near_keV: F8 | None) -> _Places:
    """Return the line's peak of each crystal, or its module's if it has too few counts."""
    grid, modules = line.grid, scanner.n_modules
    per_module = line.spectra.reshape(modules, -1, BINS).sum(axis=1, dtype=np.int64)
    near_module = None if near_keV is None else near_keV.reshape(modules, -1).mean(axis=1)
    near_all = None if near_module is None else near_module.mean(keepdims=True)
    whole = fit_peaks(per_module.sum(axis=0)[None], grid, near_keV=near_all)
    if not whole.good[0]:
        low, high = grid.search_keV
        raise CalibrationSetError(
            f"no {grid.line_keV:g} keV photopeak between {low:.0f} and {high:.0f} keV in all "
            f"{int(per_module.sum())} singles together: measure longer, with a source of this "
            "line (511 keV: any positron source)"
        )
    sigma = float(whole.sigma_keV[0])
    of_modules = fit_peaks(per_module, grid, sigma_keV=sigma, near_keV=near_module)
    crystals = fit_peaks(line.spectra, grid, sigma_keV=sigma, near_keV=near_keV)
    module_of = np.repeat(np.arange(modules), scanner.crystals_per_module)
    by_module, own = of_modules.good[module_of], crystals.good
    module_keV = np.where(by_module, of_modules.peak_keV[module_of], whole.peak_keV[0])
    module_error = np.where(by_module, of_modules.error_keV[module_of], whole.error_keV[0])
    status = np.where(own, Status.FITTED, np.where(by_module, Status.MODULE, Status.SCANNER))
    return _Places(
        raw_keV=np.where(own, crystals.peak_keV, module_keV),
        error_keV=np.where(own, crystals.error_keV, module_error),
        status=status.astype(np.uint8),
        module_keV=module_keV,
        peaks=crystals,
    )


def _linear_keV(energy_keV: float, curvature: F8) -> F8:
    """Return e with e·(1 + k·(e/511 − 1)) = E, (n,): the correction undone, by Newton's steps."""
    e = np.full(len(curvature), energy_keV)
    for _ in range(_STEPS):
        value = e * (1 + curvature * (e / REFERENCE_KEV - 1)) - energy_keV
        e = e - value / (1 + curvature * (2 * e / REFERENCE_KEV - 1))
    return e


def _solve_together(
    lines: Sequence[LineSpectra], places: list[_Places], scanner: Scanner
) -> EnergyResult:
    """Fit gain and curvature to all lines; a module's curvature where a crystal's is uncertain.

    A line missing in a crystal is put where its module has it, shifted with the crystal's own
    lines: the module's peaks give the ratios, which determine the curvature.
    """
    energies = np.array([line.grid.line_keV for line in lines])
    own = np.stack([place.status == Status.FITTED for place in places])
    raw = np.stack([place.raw_keV for place in places])
    of_module = np.stack([place.module_keV for place in places])
    ratio = np.where(own, raw / of_module, 0.0).sum(axis=0) / np.maximum(own.sum(axis=0), 1)
    ratio = np.where(own.any(axis=0), ratio, 1.0)
    raw = np.where(own, raw, of_module * ratio)
    errors = np.stack([place.error_keV for place in places])
    gain, curvature, error = _fit_quadratic(energies, raw, errors)
    _, module_curvature, _ = _fit_quadratic(energies, of_module, errors)
    sure = (own.sum(axis=0) >= 2) & (error <= MOST_CURVATURE_ERROR)
    curvature = np.clip(np.where(sure, curvature, module_curvature), -MAX_CURVATURE, MAX_CURVATURE)
    gain = np.where(sure, gain, _gain_at(energies, raw, errors, curvature))
    best = np.where(own.any(axis=0), Status.FITTED, np.min([p.status for p in places], axis=0))
    pooled = np.max([place.status for place in places], axis=0)
    return EnergyResult(
        gain,
        best.astype(np.uint8),
        curvature,
        np.where(sure, Status.FITTED, np.maximum(pooled, Status.MODULE)).astype(np.uint8),
        [place.peaks for place in places],
    )


def _fit_quadratic(energies: F8, raw: F8, errors: F8) -> tuple[F8, F8, F8]:
    """Return gain, curvature and its standard error, (n,), from peaks (lines, n), by Gauss–Newton
    steps on Σ ((E(raw) − line)/error)²."""
    gain, curvature = np.median(energies[:, None] / raw, axis=0), np.zeros(raw.shape[1])
    variance = curvature
    for _ in range(_STEPS):
        e = raw * gain
        bend = e / REFERENCE_KEV - 1
        slope = 1 + curvature * (2 * e / REFERENCE_KEV - 1)
        miss = energies[:, None] - e * (1 + curvature * bend)
        weight = 1 / (gain * errors) ** 2
        of_gain, of_curvature = raw * slope, e * bend
        a = (weight * of_gain**2).sum(axis=0)
        b = (weight * of_gain * of_curvature).sum(axis=0)
        c = (weight * of_curvature**2).sum(axis=0)
        p = (weight * of_gain * miss).sum(axis=0)
        q = (weight * of_curvature * miss).sum(axis=0)
        determinant = np.maximum(a * c - b * b, 1e-300)
        gain = gain + (c * p - b * q) / determinant
        curvature = np.clip(curvature + (a * q - b * p) / determinant, -0.5, 0.5)
        variance = a / determinant
    return gain, curvature, np.sqrt(variance)


def _gain_at(energies: F8, raw: F8, errors: F8, curvature: F8) -> F8:
    """Return the gain (n,) that fits all lines best for a known curvature."""
    linear = np.stack([_linear_keV(float(energy), curvature) for energy in energies])
    weight = (raw / errors) ** 2
    result: F8 = (weight * linear / raw).sum(axis=0) / weight.sum(axis=0)
    return result


def parse_line(text: str) -> float:
    """Return a line's energy in keV.

    Parameters
    ----------
    text : a number in keV; a nuclide, for its strongest γ line, or 511 keV if it has more
        annihilation photons; or a nuclide and an approximate energy, ``Lu-177:208``

    Raises
    ------
    CalibrationSetError
        for anything else, a nuclide without a line, or with none within 5 keV.
    """
    try:
        return float(text)
    except ValueError:
        name, _, about = text.partition(":")
    try:
        nuclide = load_nuclide(name)
    except NuclideError as error:
        raise CalibrationSetError(
            f"line {text!r} is not a number in keV, and an {error}"
        ) from error
    lines = {line.energy_keV: line.intensity for line in nuclide.lines if line.kind == "gamma"}
    if nuclide.beta_plus_fraction > 0:
        lines[REFERENCE_KEV] = 2 * nuclide.beta_plus_fraction
    if not lines:
        raise CalibrationSetError(f"line {text!r}: {name} has no γ line in the table")
    if not about:
        return max(lines, key=lambda energy: lines[energy])
    return _nearest(text, about, lines)


def _nearest(text: str, about: str, lines: dict[float, float]) -> float:
    try:
        wanted = float(about)
    except ValueError as error:
        raise CalibrationSetError(f"line {text!r}: {about!r} is not an energy in keV") from error
    found = min(lines, key=lambda energy: abs(energy - wanted))
    if abs(found - wanted) > 5.0:
        known = ", ".join(f"{energy:g}" for energy in sorted(lines))
        raise CalibrationSetError(f"line {text!r}: there is none within 5 keV; there are {known}")
    return found
