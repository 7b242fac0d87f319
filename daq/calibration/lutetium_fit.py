"""Energy gains without a source: from the crystals' own ¹⁷⁶Lu background.

Two steps, separately for each class of places in the block, because near an edge more γ escape:

1. Relative. On a logarithmic energy axis a gain is a shift, so each crystal's spectrum is the
   class's, shifted; the shift has the greatest Poisson likelihood, and the class's spectrum is
   computed again from the shifted ones.
2. Absolute. The class's spectrum is a sum, with weights ≥ 0, of the parts that ¹⁷⁶Lu can leave
   (``daq.calibration.lutetium_spectra``); the scale is the one whose best sum has the least χ².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import nnls

from daq.calibration import lutetium_spectra as lutetium
from daq.calibration.energy_spectra import BINS, Grid, Spectra
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.physics.constants import REFERENCE_KEV
from hw.scanner.description import Scanner

LEAST_keV, MOST_keV = 75.0, 1300.0
LOG_GRID = Grid(np.round(np.geomspace(LEAST_keV, MOST_keV, BINS + 1), 1))
STEP = float(np.log(MOST_keV / LEAST_keV) / BINS)
"""A bin's width in ln E: 2.2 %."""

MOST_SHIFT = 0.35
"""Largest |ln gain| relative to the scanner's mean that is searched."""

MOST_ERROR = 0.01
"""Largest standard error of ln gain for a crystal to have a value of its own."""

LEAST_SINGLES = 20_000
MOST_CHI2 = 4.5
"""Per bin, beyond a model error of ``_MODEL_ERROR``; above it the run is not pure background."""

_MODEL_ERROR = 0.03
MOST_LOG_GAIN = 0.45
CLASS_mm, MOST_STEPS = 3.0, 3
"""Edge effects extend over the mean free path of the 307 keV γ, some 9 mm in LYSO."""

_SCALES = np.arange(-0.35, 0.36, 0.01)
_WIDER = (1.0, 1.1, 1.25, 1.5)
_NEAR = 4  # steps either side of the best scale, for the parabola
_LEAST_REACH = 0.2
_ROUNDS, _STEPS, _AT_ONCE = 3, 5, 4096


@dataclass(frozen=True)
class Scale:
    """The absolute gain of a template's mean.

    chi2 : of the model, per bin; error : statistical standard error of ln gain
    template, model : (BINS,) the aligned sum and the fitted model, in bins of read-out energy
    """

    gain: float
    chi2: float
    error: float
    template: F8
    model: F8


@dataclass(frozen=True)
class LutetiumResult:
    """Gains (n_crystals,) f8 and how each was obtained.

    error : (n_crystals,) statistical standard error of ln gain relative to its class
    scales : of each class of places
    """

    gain: F8
    status: npt.NDArray[np.uint8]
    error: F8
    scales: tuple[Scale, ...]


def calibrate_lutetium(
    spectra: Spectra,
    scanner: Scanner,
    *,
    curvature: npt.NDArray[np.generic] | None = None,
) -> LutetiumResult:
    """Return the gains from spectra (n_crystals, BINS) over ``LOG_GRID`` of a run without a source.

    Parameters
    ----------
    curvature : (n_crystals,), the known non-linearity (None: none)

    Raises
    ------
    CalibrationSetError
        if there are too few singles, or the spectrum is not that of ¹⁷⁶Lu.
    """
    if spectra.sum() < LEAST_SINGLES:
        raise CalibrationSetError(
            f"{int(spectra.sum())} singles between {LEAST_keV:g} and {MOST_keV:g} keV: at least "
            f"{LEAST_SINGLES} are needed for the background's shape (and about 5000 a crystal "
            "for 1 %): measure longer"
        )
    per_module = spectra.reshape(scanner.n_modules, -1, BINS).sum(axis=1, dtype=np.int64)
    usable = _usable(per_module)
    of_module, module_error, _ = _align(per_module, usable, np.zeros(len(per_module)))
    module_of = np.repeat(np.arange(scanner.n_modules), scanner.crystals_per_module)
    fwhm = scanner.response.energy_fwhm_511
    models = [lutetium.parts(fwhm * wider) for wider in _WIDER]
    classes = place_classes(scanner)
    log_gain, error = np.zeros(len(spectra)), np.full(len(spectra), np.inf)
    scales = []
    for place in np.unique(classes):
        here = np.flatnonzero(classes == place)
        shift, error[here], template = _align(spectra[here], usable, of_module[module_of[here]])
        scales.append(absolute_scale(template.counts, template.usable, models))
        log_gain[here] = shift + np.log(scales[-1].gain)
        if curvature is not None:
            known = curvature[here].astype(np.float64)
            log_gain[here] -= known * mean_bend(template.counts, template.usable, scales[-1].gain)
    good = (error <= MOST_ERROR) & (np.abs(log_gain) < MOST_LOG_GAIN)
    log_gain, status = _pool(log_gain, good, module_error <= MOST_ERROR, module_of)
    return LutetiumResult(np.exp(log_gain), status, error, tuple(scales))


def mean_bend(template: F8, usable: npt.NDArray[np.bool_], gain: float) -> float:
    """Return by how much a crystal's ln gain is overestimated, per unit of its curvature.

    A curvature k moves the spectrum by k·(E/511 keV − 1) in ln E and squeezes it accordingly; the
    shift of greatest likelihood is the projection of that change on the template's slope, minus
    what a change of height would explain.
    """
    shape = gaussian_filter1d(template / template.sum(), 0.7, mode="nearest")
    inside = np.flatnonzero(usable)[2:-2]  # the ends' slopes are those of the edge
    weight = np.zeros(BINS)
    weight[inside] = 1 / np.maximum(shape[inside], 1e-9)
    slope = np.gradient(shape)
    free = slope - shape * (weight * shape * slope).sum() / (weight * shape * shape).sum()
    of_511 = LOG_GRID.centres_keV * gain / REFERENCE_KEV
    # moved by (E/511 − 1) in ln E, and squeezed by its derivative, E/511
    changed = slope * (of_511 - 1) + shape * of_511 * STEP
    return float((weight * free * changed).sum() / (weight * free * slope).sum())


def place_classes(scanner: Scanner) -> npt.NDArray[np.int64]:
    """Return a class for each crystal, (n_crystals,), by its distance from the block's edges.

    γ escape more easily near an edge, so spectra differ in shape, not only in scale. A class is
    the two distances to the nearest edges, in steps of ``CLASS_mm``, at most ``MOST_STEPS``.
    """
    block = scanner.module
    steps = []
    for count, pitch in ((block.n_u, block.pitch_u_mm), (block.n_v, block.pitch_v_mm)):
        index = np.arange(count)
        distance_mm = np.minimum(index, index[::-1]) * pitch
        steps.append(np.minimum(np.floor(distance_mm / CLASS_mm), MOST_STEPS).astype(np.int64))
    u, v = np.tile(steps[0], block.n_v), np.repeat(steps[1], block.n_u)
    in_module = np.minimum(u, v) * (MOST_STEPS + 1) + np.maximum(u, v)
    return np.tile(in_module, scanner.n_modules)


def _pool(
    log_gain: F8,
    good: npt.NDArray[np.bool_],
    module_good: npt.NDArray[np.bool_],
    module_of: npt.NDArray[np.int64],
) -> tuple[F8, npt.NDArray[np.uint8]]:
    """Return ln gains and statuses, with the module's mean for crystals with too few counts."""
    pooled, status = log_gain.copy(), np.full(len(log_gain), Status.FITTED, np.uint8)
    everything = log_gain[good].mean() if good.any() else log_gain.mean()
    for module in range(len(module_good)):
        here = module_of == module
        known = here & good if (here & good).any() else here
        sure = bool(module_good[module])
        pooled[here & ~good] = log_gain[known].mean() if sure else everything
        status[here & ~good] = Status.MODULE if sure else Status.SCANNER
    return pooled, status


def _usable(spectra: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return which bins lie above the modules' trigger and have counts, (BINS,)."""
    total = spectra.sum(axis=0, dtype=np.float64)
    full = total > 0.02 * total.max()
    first = int(np.argmax(full)) + 1
    last = BINS - int(np.argmax((total > 1e-4 * total.max())[::-1]))
    return (np.arange(BINS) > first) & (np.arange(BINS) < last)


@dataclass(frozen=True)
class _Template:
    """The aligned sum of all spectra, (BINS,), and which bins include enough of them to be used."""

    counts: F8
    usable: npt.NDArray[np.bool_]


def _align(
    spectra: npt.NDArray[np.generic], usable: npt.NDArray[np.bool_], start: F8
) -> tuple[F8, F8, _Template]:
    """Return each spectrum's ln gain relative to their mean, its standard error, and their
    template.
    """
    begin, error = start - start.mean(), np.zeros(len(start))
    shift = begin.copy()
    template = _template(spectra, usable, shift)
    for _ in range(_ROUNDS):
        for k in range(0, len(spectra), _AT_ONCE):
            chunk = slice(k, k + _AT_ONCE)
            counts = spectra[chunk].astype(np.float64)
            found, error[chunk] = _shifts(counts, template, usable, shift[chunk])
            # a wandering fit of few counts would blur the template
            shift[chunk] = np.where(error[chunk] <= MOST_ERROR, found, begin[chunk])
        weight = 1 / np.maximum(error, 1e-6) ** 2
        mean = (weight * shift).sum() / weight.sum()
        shift, begin = shift - mean, begin - mean
        template = _template(spectra, usable, shift)
    return shift, error, template


def _template(
    spectra: npt.NDArray[np.generic], usable: npt.NDArray[np.bool_], shift: F8
) -> _Template:
    """Return the sum of the spectra in calibrated energy: bin b's counts go to b + shift/STEP,
    divided between the two bins there.

    Near the ends only some spectra reach a bin: each bin is divided by their share.
    """
    total, reach, bins = np.zeros(BINS), np.zeros(BINS), np.arange(BINS)
    for k in range(0, len(spectra), _AT_ONCE):
        place = bins[None, :] + shift[k : k + _AT_ONCE, None] / STEP
        low = np.floor(place).astype(np.int64)
        part, counts = place - low, spectra[k : k + _AT_ONCE].astype(np.float64) * usable
        weight = counts.sum(axis=1, keepdims=True) * usable
        for index, share in ((low, 1 - part), (low + 1, part)):
            inside = (index >= 0) & (index < BINS)
            total += np.bincount(index[inside], (share * counts)[inside], BINS)
            reach += np.bincount(index[inside], (share * weight)[inside], BINS)
    enough = reach > _LEAST_REACH * reach.max()
    counts_there = np.where(enough, total * reach.max() / np.maximum(reach, 1e-9), 0.0)
    return _Template(counts_there, enough)


def _shifts(
    counts: F8, template: _Template, usable: npt.NDArray[np.bool_], start: F8
) -> tuple[F8, F8]:
    """Return the shift of greatest likelihood of each spectrum, and its standard error.

    Fisher scoring on n_b ~ Poisson(A·T(b + shift/STEP)), A and shift free.
    """
    smooth = gaussian_filter1d(template.counts / template.counts.sum(), 0.7, mode="nearest")
    smooth, bins = np.maximum(smooth, 1e-9), np.arange(BINS)
    first, last = (int(np.flatnonzero(template.usable)[end]) for end in (0, -1))
    shift, variance = start.copy(), np.full(len(start), np.inf)
    for _ in range(_STEPS):
        place = bins[None, :] + shift[:, None] / STEP
        # bins that the template does not reach are left out
        inside = (usable & (place >= first + 1) & (place <= last - 1)).astype(np.float64)
        shape = np.interp(place, bins, smooth)
        slope = (np.interp(place + 0.5, bins, smooth) - np.interp(place - 0.5, bins, smooth)) / STEP
        height = (counts * inside).sum(axis=1) / np.maximum((shape * inside).sum(axis=1), 1e-12)
        height = np.maximum(height, 1e-9)[:, None]
        weight = inside / (height * shape)
        model, by_shift = height * shape, height * slope
        a = (weight * shape * shape).sum(axis=1)
        b = (weight * shape * by_shift).sum(axis=1)
        c = (weight * by_shift * by_shift).sum(axis=1)
        p = (weight * shape * (counts - model)).sum(axis=1)
        q = (weight * by_shift * (counts - model)).sum(axis=1)
        determinant = np.maximum(a * c - b * b, 1e-12)
        change = (a * q - b * p) / determinant
        shift = np.clip(shift + np.clip(change, -4 * STEP, 4 * STEP), -MOST_SHIFT, MOST_SHIFT)
        variance = a / determinant
    return shift, np.sqrt(variance)


def absolute_scale(template: F8, usable: npt.NDArray[np.bool_], models: list[F8]) -> Scale:
    """Return the gain at which the parts of ¹⁷⁶Lu's spectrum explain the template best.

    models : as ``lutetium.parts`` returns them, for several resolutions, of which the best is used:
        crystals that could not be aligned individually widen the template

    Raises
    ------
    CalibrationSetError
        if no gain does.
    """
    each = [[_fit_scale(template, usable, parts, s) for s in _SCALES] for parts in models]
    fits = min(each, key=lambda fits: min(fit[0] for fit in fits))
    chi2 = np.array([fit[0] for fit in fits])
    best = int(np.argmin(chi2))
    per_bin = float(chi2[best] / usable.sum())
    if per_bin > MOST_CHI2 or not _NEAR <= best < len(_SCALES) - _NEAR:
        raise CalibrationSetError(
            f"the spectrum is not that of ¹⁷⁶Lu alone: χ² per bin is {per_bin:.1f} at best (at "
            f"most {MOST_CHI2:g} is accepted), at a gain of {np.exp(_SCALES[best]):.2f}: take the "
            "source away, and measure again"
        )
    near = slice(best - _NEAR, best + _NEAR + 1)
    bend, slope, _ = np.polyfit(_SCALES[near] - _SCALES[best], chi2[near], 2)
    reach = _NEAR * (_SCALES[1] - _SCALES[0])
    move = float(np.clip(-slope / (2 * bend), -reach, reach)) if bend > 0 else 0.0
    error = float(1 / np.sqrt(bend)) if bend > 0 else np.inf
    return Scale(float(np.exp(_SCALES[best] + move)), per_bin, error, template, fits[best][1])


def _fit_scale(
    template: F8, usable: npt.NDArray[np.bool_], parts: F8, log_gain: float
) -> tuple[float, F8]:
    """Return χ² and model for one gain, by non-negative least squares over the parts."""
    cumulative = np.concatenate([np.zeros((len(parts), 1)), np.cumsum(parts, axis=1)], axis=1)
    edges = np.append(lutetium.ENERGY_keV - lutetium.STEP_keV / 2, lutetium.REACH_keV)
    wanted = LOG_GRID.edges_keV * np.exp(log_gain)
    in_bins = np.array([np.diff(np.interp(wanted, edges, row)) for row in cumulative])
    error = np.sqrt(np.maximum(template, 1.0) + (_MODEL_ERROR * template) ** 2)
    scaled = (in_bins / error)[:, usable].T
    unit = np.maximum(np.linalg.norm(scaled, axis=0), 1e-30)
    weights, norm = nnls(scaled / unit, (template / error)[usable])
    return float(norm**2), (weights / unit) @ in_bins
