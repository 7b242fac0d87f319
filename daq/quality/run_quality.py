"""The daily QC of a stored run: its parts, their figures judged by the preset's limits, plots."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from daq.calibration.energy_spectra import Progress
from daq.calibration.plots import Panel
from daq.errors import LogError
from daq.folder.calibration_set import CalibrationSet
from daq.folder.quality.qc_result import QcResult
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import own_calibration, run_config, started_at
from daq.quality.judged_parts import MeasuredPart
from daq.quality.lutetium_quality import lutetium_parts
from daq.quality.pet_quality import pet_parts
from daq.quality.qc_source import QcSource
from daq.quality.run_counts import run_counts
from daq.quality.spect_quality import spect_parts
from hw.scanner.description import Scanner


@dataclass(frozen=True)
class RunQuality:
    """A QC's result, and the plots of each part, in the parts' order."""

    result: QcResult
    panels: tuple[list[Panel], ...]


def judge_run(
    folder: Path,
    source: QcSource,
    *,
    now: dt.datetime,
    background: Path | None = None,
    limits_of: Scanner | None = None,
    progress: Progress | None = None,
) -> RunQuality:
    """Return the QC of a stored run.

    Parameters
    ----------
    now : with an offset
    background : of SPECT, a run without a source
    limits_of : whose limits count; None for those that the run itself has
    progress : is told bytes done and all of them

    Raises
    ------
    LogError
        if the run cannot be read, or was not closed.
    CalibrationSetError
        if its calibration set is missing or damaged, or raw positions have no map.
    """
    config = run_config(folder)
    scanner = limits_of or config.scanner()
    calibration, counts = own_calibration(folder), run_counts(folder)
    measured_at = started_at(folder)
    if measured_at is None:
        raise LogError(f"{folder.name} does not say when it was started: a QC needs its age")
    known = calibration.calibration() if calibration else None
    if source.name == "lutetium":
        parts = lutetium_parts(folder, scanner, known, counts, progress=progress)
    elif scanner.modality == "PET":
        parts = pet_parts(folder, config, scanner, known, counts, source, progress=progress)
    else:
        parts = spect_parts(folder, config, scanner, known, counts, background, progress=progress)
    result = _result(folder, config, scanner, source, calibration, parts, (measured_at, now),
                     counts.detector_time_s)  # fmt: skip
    return RunQuality(result, tuple(part.panels for part in parts))


def _result(
    folder: Path,
    config: RunConfig,
    scanner: Scanner,
    source: QcSource,
    calibration: CalibrationSet | None,
    parts: list[MeasuredPart],
    times: tuple[dt.datetime, dt.datetime],
    detector_time_s: float,
) -> QcResult:
    measured, made = (moment.isoformat(timespec="seconds") for moment in times)
    trend: dict[str, float] = {}
    for part in parts:
        trend |= part.trend
    return QcResult(
        run=folder.resolve().name,
        scanner=scanner.name,
        serial=config.serial,
        modality=scanner.modality,
        source=source.words[:256],
        measured=measured,
        made=made,
        detector_time_s=detector_time_s,
        calibration=calibration.identity if calibration else "none",
        overdue_h=scanner.qc.overdue_h,
        parts=tuple(part.part for part in parts),
        trend=trend,
    )
