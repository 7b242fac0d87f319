"""What should be looked at before a run is started: source, modules, disk, imager,
calibration, QC, clock.

Each check says what was found. ``stops`` is what a start would be refused for; a warning refuses
nothing.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from daq.errors import DaqError
from daq.folder.calibration_set import load_set_for
from daq.folder.quality.qc_history import MOST_LOOKED_AT, qc_history, qc_status
from daq.folder.quality.qc_result import FOLDER_NAME, QcResult
from daq.folder.run_config import RunConfig
from daq.service.own_calibration import FACTORY, calibrated
from hw.messages.telemetry import JournalLine, StartCheck
from hw.notices.catalogue import notice
from hw.wall_clock_sync import clock_is_synchronised

STALE_DAYS = 90
"""A calibration that is older is told: gains of SiPMs drift with temperature and age."""

LEAST_HOURS = 1.0
"""Of room on the disk, at the last run's rate, where a run has no set duration."""


@dataclass
class Facts:
    """What the checks are based on.

    template : what the next Arm would repeat, None where nothing is known
    mismatch : why the sources are not the run's, None if they are
    modules_live : that could measure
    bytes_per_s : what the last run took, 0 if there was none
    runs : their folder, in which the QCs are, too; None where it is not known
    """

    template: RunConfig | None
    serial: str
    sources: str
    mismatch: JournalLine | None
    imager: bool
    disk_free: int
    least_free: int
    bytes_per_s: float
    runs: Path | None = None
    modules_live: int = 0


@dataclass
class StartChecks:
    """The checks; what is read from the disk is kept until what it depends on changes."""

    synchronised: Callable[[], bool | None] = clock_is_synchronised
    today: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    _calibration: tuple[tuple[str, str, float], StartCheck] | None = field(default=None)
    _qc: tuple[tuple[str, str, float], QcResult | None] | None = field(default=None)

    def of(self, facts: Facts) -> list[StartCheck]:
        """Return the checks in the order in which a person would make them."""
        found = [_source(facts), _disk(facts), _imager(facts), self._clock()]
        if facts.template is not None:
            found.insert(1, _modules(facts, facts.template))
            found.insert(2, self._of_calibration(facts.template, facts.serial))
            if facts.runs is not None:
                found.insert(3, self._of_qc(facts.template, facts.serial, facts.runs))
        return found

    def _clock(self) -> StartCheck:
        if self.synchronised() is False:
            return _check("clock", "warning", notice("check.clock.adrift"))
        return _check("clock", "ok", notice("check.clock"))

    def _of_calibration(self, template: RunConfig, serial: str) -> StartCheck:
        day = self.today().timestamp() // 86_400
        key = (template.calibration, serial, day)
        if self._calibration is None or self._calibration[0] != key:
            self._calibration = key, _calibration(template, serial, self.today())
        return self._calibration[1]

    def _of_qc(self, template: RunConfig, serial: str, runs: Path) -> StartCheck:
        """Check the newest QC, which is read again only if another was made since."""
        key = (template.scanner_toml, serial, _changed(runs / FOLDER_NAME))
        if self._qc is None or self._qc[0] != key:
            scanner = template.scanner().name
            made = qc_history(runs, scanner=scanner, serial=serial, most=MOST_LOOKED_AT)
            newest = made.newest
            self._qc = key, newest[1] if newest else None
        status = qc_status(self._qc[1], self.today())
        return _check("QC", "ok" if status.good else "warning", status.line)


def _check(name: str, state: Literal["ok", "warning", "stops"], line: JournalLine) -> StartCheck:
    """Return a check whose words are a message of the catalogue."""
    return StartCheck(name=name, state=state, words=line.text, id=line.id, values=line.values)


def _changed(folder: Path) -> float:
    """Return when something in a folder was last added or taken away, 0 if it is not there."""
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _source(facts: Facts) -> StartCheck:
    if facts.mismatch is not None:
        return _check("source", "stops", facts.mismatch)
    return _check("source", "ok", notice("check.source", sources=facts.sources))


def _modules(facts: Facts, template: RunConfig) -> StartCheck:
    """Tell how many are live. A source that is not ready for a start says so itself."""
    live, wanted = facts.modules_live, template.scanner().n_modules
    if live >= wanted:
        return _check("modules", "ok", notice("check.modules.all", wanted=wanted))
    return _check("modules", "warning", notice("check.modules.some", live=live, wanted=wanted))


def _imager(facts: Facts) -> StartCheck:
    if facts.imager:
        return _check("imager", "ok", notice("check.imager"))
    if facts.template is not None and facts.template.until_noise_percent:
        return _check("imager", "warning", notice("check.imager.no_noise"))
    return _check("imager", "warning", notice("check.imager.none"))


def _disk(facts: Facts) -> StartCheck:
    free = {"free_GB": f"{facts.disk_free / 1e9:.3g}"}
    if facts.disk_free < facts.least_free:
        least_GB = f"{facts.least_free / 1e9:.2g}"
        return _check("disk", "stops", notice("check.disk.short", **free, least_GB=least_GB))
    if not facts.bytes_per_s:
        return _check("disk", "ok", notice("check.disk", **free))
    hours = (facts.disk_free - facts.least_free) / facts.bytes_per_s / 3600
    planned_s = facts.template.duration_s if facts.template else 0.0
    enough = hours >= (planned_s / 3600 or LEAST_HOURS)
    line = notice("check.disk.lasts", **free, span=_span(hours))
    return _check("disk", "ok" if enough else "warning", line)


def _span(hours: float) -> str:
    if hours >= 48:
        return f"{hours / 24:.0f} d"
    return f"{hours:.0f} h" if hours >= 2 else f"{60 * hours:.0f} min"


def _calibration(template: RunConfig, serial: str, today: dt.datetime) -> StartCheck:
    try:
        config = calibrated(template, serial)
        if not config.calibration:
            line = _why_none(template, serial, config.uncalibrated)
            return _check("calibration", "warning", line)
        made = load_set_for(Path(config.calibration), template.scanner())
    except (DaqError, OSError) as error:
        return _check("calibration", "stops", notice("check.calibration.unusable", why=error))
    days = (today - dt.datetime.fromisoformat(made.about.created)).days
    about = {"set": made.about.name}
    if not days:
        return _check("calibration", "ok", notice("check.calibration.today", **about))
    line = notice("check.calibration.days", **about, days=days)
    return _check("calibration", "warning" if days > STALE_DAYS else "ok", line)


def _why_none(template: RunConfig, serial: str, why: str) -> JournalLine:
    if not template.calibration and not template.uncalibrated:
        return notice("check.calibration.not_asked")
    if template.calibration != FACTORY:
        return notice("check.calibration.none", why=why)
    if not serial:
        return notice("check.calibration.no_serial")
    return notice("check.calibration.no_factory", serial=serial)


PERIOD_S = 1.0


class DueChecks:
    """Makes the checks at most once a second: they are for people."""

    def __init__(self, facts: Callable[[], Facts]) -> None:
        self._facts, self._checks = facts, StartChecks()
        self._found: list[StartCheck] = []
        self._due_s = 0.0

    def now(self) -> list[StartCheck]:
        """Return the newest checks."""
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PERIOD_S
            self._found = self._checks.of(self._facts())
        return self._found
