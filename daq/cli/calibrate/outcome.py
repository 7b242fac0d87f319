"""What each calibration returns to the command, and what their modules share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError

if TYPE_CHECKING:
    from daq.calibration.plots import Panel
    from daq.folder.calibration_set import CalibrationSet, SourceRun
    from hw.scanner.description import Scanner


@dataclass(frozen=True)
class Outcome:
    """The result of a calibration.

    values, statuses : arrays for the set, by their names (``daq.folder.calibration_arrays``)
    method : the method in a few words, for the set's provenance
    figures : what the report and the command show, plain numbers and text
    panels : the plots
    details : what only the report shows: tables, lists
    """

    values: dict[str, Any]
    method: str
    figures: dict[str, Any]
    panels: list[Panel]
    statuses: dict[str, Any] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)


def scanner_of(folders: list[Path]) -> Scanner:
    """Return the runs' scanner; raises CommandError if they have several."""
    from daq.folder.calibration_set import scanner_hash
    from daq.folder.run_folder import run_config

    scanners = [run_config(folder).scanner() for folder in folders]
    for folder, scanner in zip(folders, scanners, strict=True):
        if scanner_hash(scanner) != scanner_hash(scanners[0]):
            raise CommandError(
                f"{folder} is a run of {scanner.name}, {folders[0]} of {scanners[0].name} or "
                "another version of it: calibrate one scanner at a time"
            )
    return scanners[0]


def serial_of(folders: list[Path], base: CalibrationSet | None) -> str:
    """Return the serial number of the runs' instrument, "" if they name none.

    Raises
    ------
    CommandError
        where runs, or the set to start from, are of several instruments.
    """
    from daq.folder.run_folder import run_config

    named = {str(folder): run_config(folder).serial for folder in folders}
    if base is not None:
        named[f"the set {base.identity}"] = base.about.serial
    named = {what: serial for what, serial in named.items() if serial}
    if len(set(named.values())) > 1:
        words = ", ".join(f"{what} of {serial}" for what, serial in named.items())
        raise CommandError(f"several instruments ({words}): calibrate one at a time")
    return next(iter(named.values()), "")


def sources_of(
    folders: list[Path], quantity: str, method: str, base: CalibrationSet | None
) -> tuple[SourceRun, ...]:
    """Return the set's sources: the base's for other quantities, and these runs."""
    from daq.folder import raw_log as rawlog
    from daq.folder.calibration_set import SourceRun

    kept = [s for s in base.about.sources if s.quantity != quantity] if base else []
    for folder in folders:
        with (folder / rawlog.FILE_NAME).open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16))
        kept.append(SourceRun(quantity, folder.resolve().name, digest.hexdigest(), method))
    return tuple(kept)


def status_figures(status: Any) -> dict[str, int]:
    """Return how many values were fitted, and how many are those of a module or the scanner."""
    from daq.folder.calibration_set import Status

    return {
        "fitted": int((status == Status.FITTED).sum()),
        "from_module": int((status == Status.MODULE).sum()),
        "from_scanner": int((status == Status.SCANNER).sum()),
    }


def median_of(values: Any, digits: int = 3) -> float | None:
    """Return the median, rounded; None if there is nothing."""
    import numpy as np

    return round(float(np.median(values)), digits) if len(values) else None


def one_run(folders: list[Path], quantity: str) -> Path:
    """Return the only run; raises CommandError if there are several."""
    if len(folders) != 1:
        raise CommandError(
            f"calibrate {quantity} takes one run, {len(folders)} were given: choose one"
        )
    return folders[0]
