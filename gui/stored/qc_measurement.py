"""A measurement of QC's own: armed, started, waited for, then to be judged.

It goes by what the daq says, a step with each telemetry; where the daq does something else (an
error, another run, silence) it ends with words, and what was recorded stays.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pyqtgraph.Qt import QtCore

from gui.kit.wording import clock_text
from gui.kit.words import tr
from gui.link.command_desk import ALLOWED, CommandDesk, Pending
from hw.messages.telemetry import Telemetry

Step = Literal["", "arming", "starting", "measuring"]

STEP_BOUND_S = 60.0
"""For a run that was armed or started to be so."""

OVER_S = 10.0
"""So long beyond its time a source may go on; then it is stopped."""


class QcMeasurement(QtCore.QObject):
    """One measurement at a time.

    told : emits how far it is; done : emits the run's name; failed : emits why there is none
    """

    told = QtCore.Signal(str)
    done = QtCore.Signal(str)
    failed = QtCore.Signal(str)

    def __init__(
        self,
        desk: CommandDesk,
        parent: QtCore.QObject,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent)
        self._desk, self._clock = desk, clock
        self.step: Step = ""
        self.name = ""
        self._seconds = 0.0
        self._bound_s = 0.0
        self._order: Pending | None = None

    @property
    def busy(self) -> bool:
        """Whether a measurement is under way."""
        return bool(self.step)

    def begin(self, source: str, seconds: float, telemetry: Telemetry | None) -> bool:
        """Arm a run of ``source`` for so long; return whether the daq's state allows it."""
        if self.busy or telemetry is None or "arm" not in ALLOWED[telemetry.state]:
            return False
        self.name = f"qc-{dt.datetime.now():%Y-%m-%dT%H%M%S}"
        self._seconds = seconds
        labels = {"phantom": source, "purpose": "QC"} if source else {"purpose": "QC"}
        self._order = self._desk.arm_aside(self.name, duration_s=seconds, labels=labels)
        self._go("arming", tr("QC: arming"))
        return True

    def follow(self, telemetry: Telemetry | None) -> None:
        """Take the newest telemetry, None while the daq is not heard."""
        if not self.busy:
            return
        if self._order is not None and self._order.outcome in ("failed", "unanswered"):
            self._give_up(self._order.reason or tr("no answer from the daq"))
        elif self._clock() > self._bound_s:
            self._give_up(tr("the daq did not come to it"))
        elif telemetry is not None:
            self._step(telemetry)

    def _step(self, telemetry: Telemetry) -> None:
        mine = bool(telemetry.folder) and Path(telemetry.folder).name == self.name
        state = telemetry.state
        if state == "error" and mine:
            self._give_up(telemetry.reason)
        elif self.step == "arming" and mine and state == "armed":
            self._desk.send("start")
            self._go("starting", tr("QC: starting"))
        elif self.step == "starting" and mine and state in ("running", "stopping", "closed"):
            self._go("measuring", tr("QC: measuring"), bound_s=3 * self._seconds + 180)
        elif self.step == "measuring":
            self._measure(telemetry, mine=mine)

    def _measure(self, telemetry: Telemetry, *, mine: bool) -> None:
        if not mine:
            self._give_up(tr("the daq has another run"))
        elif telemetry.state == "closed":
            self.step = ""
            self.done.emit(self.name)
        elif telemetry.state == "running":
            left_s = self._seconds - telemetry.detector_time_s
            self.told.emit(tr("QC: measuring, {left} left", left=clock_text(left_s)))
            if left_s < -OVER_S:
                self._desk.send("stop")

    def _go(self, step: Step, words: str, *, bound_s: float = STEP_BOUND_S) -> None:
        self.step, self._bound_s = step, self._clock() + bound_s
        self.told.emit(words)

    def _give_up(self, why: str) -> None:
        self.step, self._order = "", None
        self.failed.emit(tr("QC: not measured: {why}", why=why))
