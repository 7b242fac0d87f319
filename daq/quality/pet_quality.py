"""The daily QC of a PET scanner, from a run of a point, line or cylinder in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coincidence.calibration import Calibration
from daq.calibration.energy_spectra import Progress
from daq.calibration.photopeaks import GRID_511
from daq.calibration.plots import Panel, Picture, Points
from daq.folder.quality.qc_result import QcPart
from daq.folder.run_config import RunConfig
from daq.quality.efficiency_map import EfficiencyMap, efficiency_map
from daq.quality.judged_parts import (
    MeasuredPart,
    counts_part,
    crystals_part,
    find_odd,
    measured_or_not,
    peaks_part,
)
from daq.quality.measured_spectra import MeasuredSpectra, measure_spectra
from daq.quality.pair_timing import PairTiming, TimeSpectrum, pair_timing, time_spectrum
from daq.quality.peak_quality import QcError, peak_quality
from daq.quality.qc_source import QcSource
from daq.quality.run_counts import RunCounts
from hw.arrays import Mask
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.judged_figure import Figure, Limits

TIMING, ENERGY, CRYSTALS, EFFICIENCY = (
    "Coincidence timing", "Peaks and energy resolution", "Dead and noisy crystals", "Efficiency"
)  # fmt: skip
EXTENDED = (
    "a cylinder's extent widens the time differences: only a point or a line tells the time "
    "resolution"
)


def pet_parts(
    folder: Path,
    config: RunConfig,
    scanner: Scanner,
    calibration: Calibration | None,
    counts: RunCounts,
    source: QcSource,
    *,
    progress: Progress | None = None,
) -> list[MeasuredPart]:
    """Return all parts of the QC of a PET run; raises LogError if the run cannot be read.

    Parameters
    ----------
    folder : of the run
    config : of the run
    scanner : whose limits count
    calibration : of the run; None for hits as read out
    counts : of the run's summary
    source : what was measured
    progress : is told bytes done and all of them
    """
    limits = Limits(scanner.qc)
    measured = measure_spectra(folder, scanner, GRID_511, calibration, progress=progress)
    known = np.zeros(scanner.n_crystals, np.bool_) if calibration is None else calibration.masked
    return [
        counts_part(counts, limits),
        measured_or_not(ENERGY, lambda: _peaks(measured, scanner, limits)),
        measured_or_not(
            TIMING, lambda: _timing(folder, config, source, scanner), needed=not source.extended
        ),
        measured_or_not(
            CRYSTALS,
            lambda: crystals_part(
                find_odd(measured.counts, scanner), known, measured.counts, limits
            ),
        ),
        measured_or_not(EFFICIENCY, lambda: efficiency_of(measured, scanner, known, limits)),
    ]


def _peaks(measured: MeasuredSpectra, scanner: Scanner, limits: Limits) -> MeasuredPart:
    return peaks_part(peak_quality(measured, GRID_511, scanner), measured, scanner, limits)


def _timing(folder: Path, config: RunConfig, source: QcSource, scanner: Scanner) -> MeasuredPart:
    if source.extended:
        raise QcError(EXTENDED)
    spectrum = time_spectrum(folder, build_geometry(scanner), config.settings,
                             source=source.shape, position_mm=source.position_mm)  # fmt: skip
    return timing_part(pair_timing(spectrum), spectrum, scanner, Limits(scanner.qc))


def timing_part(found: PairTiming, spectrum: TimeSpectrum, scanner: Scanner,
                limits: Limits) -> MeasuredPart:  # fmt: skip
    """Time resolution of the pairs after calibration."""
    figures = (
        limits.judged("CTR (FWHM of Δt)", found.ctr_ps, "most_ctr_ratio", unit="ps", form=".0f",
                      sigma=found.error_ps, times=scanner.response.ctr_fwhm_ps),
        Figure("middle of Δt", found.middle_ps, "ps", form=".1f"),
        Figure("true pairs used", found.pairs, form=".0f"),
    )  # fmt: skip
    place, half = spectrum.middle_ps, 2.5 * found.ctr_ps
    near = np.abs(place) <= half
    points = (
        Points("prompts", place[near], spectrum.prompts[near], line=True),
        Points("randoms", place[near], spectrum.randoms[near], line=True),
    )
    panel = Panel("Δt less what the source's place gives", "ps", points, "pairs")
    part = QcPart(title=TIMING, figures=figures)
    return MeasuredPart(part, [panel], {"CTR, ps": found.ctr_ps})


def efficiency_of(measured: MeasuredSpectra, scanner: Scanner, known: Mask,
                limits: Limits) -> MeasuredPart:  # fmt: skip
    """Relative efficiencies from singles, of the crystals that are neither odd nor masked."""
    odd = find_odd(measured.counts, scanner).masked != 0
    found = efficiency_map(measured.counts, scanner, odd | known)
    return efficiency_part(found, scanner, limits)


def efficiency_part(found: EfficiencyMap, scanner: Scanner, limits: Limits) -> MeasuredPart:
    """Relative efficiency of modules and crystals."""
    off = 100 * np.abs(np.where(np.isfinite(found.modules), found.modules, 0.0) - 1)
    worst = int(off.argmax())
    figures = (
        limits.judged("module off its ring's median", float(off[worst]),
                      "most_module_deviation_percent", unit="%", form=".1f"),
        Figure("spread of the crystals (σ)", found.spread_percent, "%", form=".1f"),
    )  # fmt: skip
    notes = (f"farthest from its ring's median: module {worst}",)
    panel = Panel("Relative efficiency, the scanner unrolled", "crystal along the ring",
                  (Picture(unrolled(found, scanner)),), "crystal along z")  # fmt: skip
    modules = Points("module", np.arange(scanner.n_modules), found.modules)
    of_modules = Panel("Singles over the ring's median", "module", (modules,), "relative")
    part = QcPart(title=EFFICIENCY, figures=figures, notes=notes)
    return MeasuredPart(part, [panel, of_modules])


def unrolled(found: EfficiencyMap, scanner: Scanner) -> np.ndarray:
    """Return the map as a picture: (rings · n_v, sectors · n_u)."""
    ring, block = scanner.ring, scanner.module
    shape = (ring.n_rings, ring.modules_per_ring, block.n_v, block.n_u)
    picture = found.crystals.reshape(shape).transpose(0, 2, 1, 3)
    return picture.reshape(ring.n_rings * block.n_v, ring.modules_per_ring * block.n_u)
