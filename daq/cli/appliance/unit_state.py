"""What runs, since when, and how often it was restarted and why, in words."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from daq.cli.appliance.places import Places
from daq.cli.appliance.settings import ServiceSettings
from daq.cli.appliance.systemd import Systemd
from daq.cli.appliance.unit_files import Process, processes
from hw.bounded_files import FileRefused, read_text

MOST_BYTES = 1000
CAUSES = {
    "watchdog": "it hung: no sign of life",
    "exit-code": "it ended with status {status}",
    "signal": "it was ended by signal {status}",
    "core-dump": "it crashed ({status})",
    "oom-kill": "memory ran out",
    "timeout": "it did not start or stop in time",
    "protocol": "it never said that it was ready",
    "resources": "the machine could not start it",
    "start-limit-hit": "it was started again too often",
    "exec-condition": "a condition did not hold",
}
"""systemd's words for the end of a service (systemd.exec(5), $SERVICE_RESULT), in ours."""

STATES = {
    "active": "runs",
    "activating": "is starting",
    "deactivating": "is stopping",
    "failed": "has FAILED, and is not started again",
    "inactive": "does not run",
}


@dataclass(frozen=True)
class UnitState:
    """A process as systemd sees it.

    state : systemd's word, such as "active"; since_s : of that, in seconds since 1970, 0 if unknown
    cause : of the last end that nobody ordered, "" for none; ended_s : when that was
    """

    name: str
    unit: str
    state: str
    since_s: float
    restarts: int
    cause: str
    ended_s: float

    def words(self, now_s: float) -> str:
        """Return it in a line."""
        line = f"{self.name:<8}{STATES.get(self.state, self.state)}"
        if self.since_s and self.state in ("active", "failed"):
            line += f" since {_clock(self.since_s)} ({duration(now_s - self.since_s)})"
        if self.restarts:
            line += f", started again {self.restarts} times" if self.restarts > 1 else (
                ", started again once")  # fmt: skip
        if self.cause:
            line += f"; last ended at {_clock(self.ended_s)}: {self.cause}"
        return line


def states_of(settings: ServiceSettings, places: Places, systemd: Systemd) -> list[UnitState]:
    """Return the state of each process; CommandError where systemd cannot be asked."""
    return [_state_of(process, places, systemd) for process in processes(settings)]


def _state_of(process: Process, places: Places, systemd: Systemd) -> UnitState:
    shown = systemd.show(process.unit)
    since = shown.get("ActiveEnterTimestamp", "").removeprefix("@")
    restarts = shown.get("NRestarts", "")
    ended_s, cause = last_end(places.ends / process.name)
    return UnitState(
        name=process.name,
        unit=process.unit,
        state=shown.get("ActiveState", "unknown"),
        since_s=float(since) if since.isdecimal() else 0.0,
        restarts=int(restarts) if restarts.isdecimal() else 0,
        cause=cause,
        ended_s=ended_s,
    )


def last_end(path: Path) -> tuple[float, str]:
    """Return when and why a process last ended unexpectedly; (0, "") if it never did.

    The file has the unit's ``ExecStopPost`` written: seconds, result, kind and status of the end.
    """
    try:
        when, result, _, status = read_text(path, most_bytes=MOST_BYTES).split()[:4]
        ended_s = float(when)
    except (FileRefused, ValueError):
        return 0.0, ""
    return ended_s, CAUSES.get(result, result).format(status=status)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def duration(seconds: float) -> str:
    """Return a duration in its two largest units."""
    minutes = int(max(0.0, seconds)) // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
