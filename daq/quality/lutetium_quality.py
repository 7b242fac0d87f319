"""The daily QC of a PET scanner without a source: from the ¹⁷⁶Lu background of its crystals.

The calibrated spectrum is fitted as in the energy calibration (``daq.calibration.lutetium_fit``);
the gain that the fit still needs is the error of the scale. There is no 511 keV peak, so no
resolution; and no pairs from a known place, so no CTR.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from coincidence.calibration import Calibration
from daq.calibration.energy_spectra import Progress
from daq.calibration.lutetium_fit import LOG_GRID, calibrate_lutetium
from daq.calibration.plots import Curve, Panel, Points
from daq.folder.quality.qc_result import QcPart
from daq.quality.judged_parts import (
    MeasuredPart,
    counts_part,
    crystals_part,
    find_odd,
    measured_or_not,
)
from daq.quality.measured_spectra import MeasuredSpectra, measure_spectra
from daq.quality.pet_quality import CRYSTALS, EFFICIENCY, efficiency_of
from daq.quality.run_counts import RunCounts
from hw.scanner.description import Scanner
from hw.scanner.judged_figure import Figure, Limits

SCALE = "Energy scale by ¹⁷⁶Lu"
LEFT_OUT = "no resolution and no CTR: the background has neither a 511 keV peak nor known pairs"


def lutetium_parts(
    folder: Path,
    scanner: Scanner,
    calibration: Calibration | None,
    counts: RunCounts,
    *,
    progress: Progress | None = None,
) -> list[MeasuredPart]:
    """Return all parts of the QC of a run without a source; raises LogError.

    Parameters
    ----------
    folder : of the run
    scanner : whose limits count
    calibration : of the run; None for hits as read out
    counts : of the run's summary
    progress : is told bytes done and all of them
    """
    limits = Limits(scanner.qc)
    measured = measure_spectra(folder, scanner, LOG_GRID, calibration, progress=progress)
    known = np.zeros(scanner.n_crystals, np.bool_) if calibration is None else calibration.masked
    return [
        counts_part(counts, limits),
        measured_or_not(SCALE, lambda: _scale(measured, scanner, limits)),
        measured_or_not(CRYSTALS, lambda: crystals_part(
            find_odd(measured.counts, scanner), known, measured.counts, limits)),
        measured_or_not(EFFICIENCY, lambda: efficiency_of(measured, scanner, known, limits)),
    ]  # fmt: skip


def _scale(measured: MeasuredSpectra, scanner: Scanner, limits: Limits) -> MeasuredPart:
    found = calibrate_lutetium(measured.spectra, scanner)
    gain = np.median(found.gain.reshape(scanner.n_modules, -1), axis=1)
    off = 100 * (1 / gain - 1)
    worst = int(np.abs(off).argmax())
    median = float(np.median(off))
    figures = (
        Figure("scale off, modules' median", median, "%", form=".2f"),
        limits.judged("scale off, worst module", float(abs(off[worst])),
                      "most_peak_shift_percent", unit="%", form=".2f"),
    )  # fmt: skip
    total = measured.spectra.sum(axis=0, dtype=np.int64) / np.diff(LOG_GRID.edges_keV)
    modules = Points("scale", np.arange(scanner.n_modules), off)
    panels = [
        Panel("All singles, calibrated", "energy, keV",
              (Curve("singles", LOG_GRID.edges_keV, total),), "per keV"),
        Panel("Energy scale off, each module", "module", (modules,), "%"),
    ]  # fmt: skip
    part = QcPart(title=SCALE, figures=figures, notes=(LEFT_OUT, f"worst: module {worst}"))
    return MeasuredPart(part, panels, {"energy scale off, %": median})
