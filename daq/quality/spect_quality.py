"""The daily QC of a camera for single photons, from a run of a flood."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from coincidence.calibration import Calibration
from daq.calibration.energy_spectra import Progress, line_grid
from daq.calibration.plots import Panel, Picture
from daq.errors import LogError
from daq.folder.quality.qc_result import QcPart
from daq.folder.run_config import RunConfig
from daq.path.takers.projections import FILE_NAME
from daq.quality.flood_uniformity import Uniformity, flood_uniformity
from daq.quality.judged_parts import (
    MeasuredPart,
    counts_part,
    crystals_part,
    find_odd,
    measured_or_not,
    peaks_part,
)
from daq.quality.measured_spectra import measure_spectra
from daq.quality.peak_quality import QcError, peak_quality
from daq.quality.run_counts import RunCounts
from hw.arrays import F8
from hw.bounded_files import FileRefused, read_npz
from hw.messages.sort_settings import EnergyWindow
from hw.physics.energy_windows import standard_lines_keV
from hw.physics.nuclides import load_nuclide
from hw.scanner.description import Scanner
from hw.scanner.judged_figure import Figure, Limits

UNIFORMITY, PEAKING, CRYSTALS, BACKGROUND = (
    "Uniformity of the flood", "Peaking", "Dead and noisy crystals", "Background"
)  # fmt: skip
MOST_BYTES = 256 << 20
MOST_SHOWN = 4
"""Detectors whose flood the report shows."""

FIELDS = {
    "integral, UFOV": ("integral_ufov", "most_integral_ufov_percent"),
    "integral, CFOV": ("integral_cfov", "most_integral_cfov_percent"),
    "differential, UFOV": ("differential_ufov", "most_differential_ufov_percent"),
    "differential, CFOV": ("differential_cfov", "most_differential_cfov_percent"),
}
NOT_CORRECTED = (
    "the flood is as counted through the collimator: not corrected for the pixels' efficiencies, "
    "nor for the source's own pattern"
)
NO_BACKGROUND = "no run without a source was given (--background RUN)"


@dataclass(frozen=True)
class Pictures:
    """counts : (n_modules, n_v, n_u) windowed singles; seconds : of detector time."""

    counts: F8
    seconds: float


def spect_parts(
    folder: Path,
    config: RunConfig,
    scanner: Scanner,
    calibration: Calibration | None,
    counts: RunCounts,
    background: Path | None,
    *,
    progress: Progress | None = None,
) -> list[MeasuredPart]:
    """Return all parts of the QC of a flood; raises LogError if the run cannot be read.

    Parameters
    ----------
    folder : of the run
    config : of the run
    scanner : whose limits count
    calibration : of the run; None for hits as read out
    counts : of the run's summary
    background : folder of a run without a source; None if there is none
    progress : is told bytes done and all of them
    """
    limits, window = Limits(scanner.qc), _photopeak(config)
    grid = line_grid(_line_keV(window))
    measured = measure_spectra(folder, scanner, grid, calibration, progress=progress)
    known = np.zeros(scanner.n_crystals, np.bool_) if calibration is None else calibration.masked
    return [
        counts_part(counts, limits),
        measured_or_not(UNIFORMITY, lambda: uniformity_part(
            pictures_of(folder, scanner, window), scanner, limits)),
        measured_or_not(PEAKING, lambda: peaks_part(
            peak_quality(measured, grid, scanner), measured, scanner, limits)),
        measured_or_not(CRYSTALS, lambda: crystals_part(
            find_odd(measured.counts, scanner), known, measured.counts, limits)),
        measured_or_not(BACKGROUND, lambda: _background(background, scanner, window, limits),
                        needed=scanner.qc.most_background_cps is not None),
    ]  # fmt: skip


def _photopeak(config: RunConfig) -> EnergyWindow:
    """Return the run's photopeak window of the highest energy: below it is scatter of it, too."""
    peaks = [one for one in config.settings.singles_windows if one.kind == "photopeak"]
    if not peaks:
        raise LogError("the run has no photopeak window: a flood is counted in one")
    return max(peaks, key=lambda one: one.lld_keV)


def _line_keV(window: EnergyWindow) -> float:
    """Return the line that a photopeak window is on: that of its nuclide, else its middle."""
    middle = (window.lld_keV + window.uld_keV) / 2
    if not window.nuclide:
        return middle
    return min(standard_lines_keV(load_nuclide(window.nuclide)), key=lambda e: abs(e - middle))


def pictures_of(folder: Path, scanner: Scanner, window: EnergyWindow) -> Pictures:
    """Return the pictures of a run in one window; raises LogError."""
    path, block = folder / FILE_NAME, scanner.module
    try:
        arrays = read_npz(path, most_bytes=MOST_BYTES, only=("counts", "windows", "detector_s"))
        names = [str(name) for name in arrays["windows"]]
        counts = arrays["counts"][names.index(window.name)]
        seconds = float(arrays["detector_s"])
    except (FileRefused, KeyError, ValueError, IndexError, TypeError) as error:
        raise LogError(
            f"{path}: no pictures of window {window.name} ({error}); `tomoshibi recover` makes "
            "them anew"
        ) from error
    if counts.shape != (scanner.n_modules, block.n_v, block.n_u) or not seconds > 0:
        raise LogError(f"{path}: its pictures are not those of {scanner.name}")
    return Pictures(counts.astype(np.float64), seconds)


def uniformity_part(pictures: Pictures, scanner: Scanner, limits: Limits) -> MeasuredPart:
    """Integral and differential uniformity of each detector; the worst one is judged."""
    block = scanner.module
    pitch = block.pitch_u_mm, block.pitch_v_mm
    each = [flood_uniformity(one, pitch) for one in pictures.counts]
    found = [one for one in each if one is not None]
    if len(found) < len(each):
        lost = [number for number, one in enumerate(each) if one is None]
        raise QcError(f"detectors {lost} have no flood in their central field")
    _check_counts(found, scanner.qc.least_flood_counts)
    figures = [
        Figure("counts of the central pixel",
               min(one.centre_counts for one in found), form=".0f")
    ]  # fmt: skip
    notes = [NOT_CORRECTED]
    for name, (key, limit) in FIELDS.items():
        values = [float(getattr(one, key)) for one in found]
        words = f"{name} (worst)" if len(values) > 1 else name
        figures.append(limits.judged(words, max(values), limit, unit="%", form=".2f"))
        if len(values) > 1:
            notes.append(f"{name}: worst in detector {int(np.argmax(values))}")
    if not found[0].standard_pixels:
        u, v = found[0].pixel_mm
        notes.append(f"pixels of {u:.3g} × {v:.3g} mm: the standard wants 6.4 mm ± 30 %")
    panels = [
        Panel(f"Flood of detector {number}, smoothed", "pixel", (Picture(one.smoothed),), "pixel")
        for number, one in enumerate(found[:MOST_SHOWN])
    ]
    part = QcPart(title=UNIFORMITY, figures=tuple(figures), notes=tuple(notes))
    worst = max(one.integral_ufov for one in found)
    return MeasuredPart(part, panels, {"integral uniformity, %": worst})


def _check_counts(found: list[Uniformity], least: float) -> None:
    counts = min(one.centre_counts for one in found)
    if counts < least:
        raise QcError(
            f"the central pixel has {counts:.0f} counts, {least:.0f} are needed (NEMA NU 1-2018, "
            f"2.4): measure {least / max(counts, 1):.1f} times as long"
        )


def _background(
    folder: Path | None, scanner: Scanner, window: EnergyWindow, limits: Limits
) -> MeasuredPart:
    if folder is None:
        raise QcError(NO_BACKGROUND)
    pictures = pictures_of(folder, scanner, window)
    rates = pictures.counts.sum(axis=(1, 2)) / pictures.seconds
    worst = int(rates.argmax())
    counts = float(pictures.counts[worst].sum())
    figure = limits.judged(
        "rate in the photopeak window", float(rates[worst]),
        "most_background_cps", unit="cps", sigma=float(np.sqrt(counts)) / pictures.seconds,
    )  # fmt: skip
    note = f"run {folder.name}, {pictures.seconds:.0f} s, detector {worst}"
    part = QcPart(title=BACKGROUND, figures=(figure,), notes=(note,))
    return MeasuredPart(part, trend={"background, cps": float(rates[worst])})
