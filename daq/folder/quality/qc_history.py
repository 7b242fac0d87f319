"""The QCs made of a folder of runs: all of them, the newest, and whether it is still valid.

A QC's age is that of its run: a run of last week that is analysed today is a week old.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daq.errors import LogError
from daq.folder.quality.qc_result import FILE_NAME, FOLDER_NAME, INCOMPLETE, QcResult, read_qc
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import catalogue, notice
from hw.scanner.judged_figure import FAIL

MOST_RESULTS = 2000
"""Of a folder, those that were made last: five years of days."""

MOST_LOOKED_AT = 20
"""By who only asks for the newest."""

State = Literal["none", "valid", "failed", "overdue", "incomplete"]
NO_QC_YET = catalogue()["qc.none"].says


@dataclass(frozen=True)
class QcHistory:
    """results : by folder, the oldest run first; damaged : what could not be read, in words."""

    results: dict[Path, QcResult] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)

    @property
    def newest(self) -> tuple[Path, QcResult] | None:
        """The QC of the newest run, the last made of it; None where there is none."""
        return list(self.results.items())[-1] if self.results else None

    def of_newest(self) -> QcHistory:
        """Return the QCs of the newest one's instrument: others make no trend."""
        if self.newest is None:
            return self
        same = {
            folder: one
            for folder, one in self.results.items()
            if one.scanner == self.newest[1].scanner
            and (one.serial == self.newest[1].serial or not one.serial)
        }
        return QcHistory(same, self.damaged)


def qc_history(
    runs: Path, *, scanner: str = "", serial: str = "", most: int = MOST_RESULTS
) -> QcHistory:
    """Return the QCs in a folder of runs.

    Parameters
    ----------
    scanner : only of the scanner of this name; "" for all
    serial : only of this instrument, and of those that named none; "" for all
    most : QCs to read, those that were made last
    """
    found, damaged = [], []
    for folder in _folders(runs)[-most:]:
        try:
            result = read_qc(folder)
        except LogError as error:
            damaged.append(str(error))
            continue
        if scanner in ("", result.scanner) and (not serial or result.serial in ("", serial)):
            found.append((folder, result))
    found.sort(key=lambda one: (one[1].measured_at, dt.datetime.fromisoformat(one[1].made)))
    return QcHistory(dict(found), damaged)


def _folders(runs: Path) -> list[Path]:
    """Return the folders of QCs, the one made last at the end."""
    found = []
    for path in (runs / FOLDER_NAME).glob(f"[!.]*/{FILE_NAME}"):
        with contextlib.suppress(OSError):  # a link that leads nowhere, or gone since
            found.append((path.stat().st_mtime, path.parent))
    return [folder for _, folder in sorted(found)]


@dataclass(frozen=True)
class QcStatus:
    """Whether a QC holds, and why: a message of the catalogue."""

    state: State
    line: JournalLine

    @property
    def words(self) -> str:
        """Why, in English."""
        return self.line.text

    @property
    def good(self) -> bool:
        """Whether measuring may go ahead."""
        return self.state == "valid"


def qc_status(newest: QcResult | None, now: dt.datetime) -> QcStatus:
    """Return what the newest QC says at a time (with an offset)."""
    if newest is None:
        return QcStatus("none", notice("qc.none"))
    age_h = (now - newest.measured_at).total_seconds() / 3600
    old = age_h > newest.overdue_h
    aged = {"age": _age(age_h)}
    every = {"every_h": f"{newest.overdue_h:g}"}
    if newest.verdict == FAIL:
        what = {"what": ", ".join(newest.failures)}
        failed = notice("qc.failed", **what, **aged)
        return QcStatus(
            "failed", notice("qc.failed_overdue", **what, **aged, **every) if old else failed
        )
    if newest.verdict == INCOMPLETE:
        what = {"what": ", ".join(newest.missing)}
        lacks = notice("qc.incomplete", **what, **aged)
        return QcStatus(
            "incomplete", notice("qc.incomplete_overdue", **what, **aged, **every) if old else lacks
        )
    if old:
        return QcStatus("overdue", notice("qc.overdue", **aged, **every))
    return QcStatus("valid", notice("qc.valid", **aged))


def _age(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:.0f} d"
    return f"{hours:.0f} h" if hours >= 2 else f"{max(60 * hours, 0):.0f} min"
