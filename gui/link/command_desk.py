"""Commands to the daq, without ever waiting for them.

A command is *sent*, then perhaps *accepted*, then *done* or *failed*. One that the daq does not
answer in time is withdrawn, and its connection dropped with it: a "start" clicked while the daq was
away must not start a run minutes later, when the daq comes back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from daq.client.client import ClientError, ControlClient
from gui.kit.told import told
from gui.kit.words import tr
from hw.messages.base import MessageError
from hw.messages.commands import Reply
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import RunState

PATIENCE_S = 5.0
WORKING_BOUND_S = 150.0
"""A stop is done when the run is closed: drained, and the final image made."""
NOTICE_SHOWN_S = 8.0

# Which commands each state allows (docs/architecture.md, run control).
ALLOWED: dict[RunState, frozenset[str]] = {
    "idle": frozenset({"arm"}),
    "armed": frozenset({"start", "reset"}),
    "running": frozenset({"stop"}),
    "stopping": frozenset(),
    "closed": frozenset({"arm", "reset"}),
    "error": frozenset({"reset"}),
}


Outcome = Literal["", "done", "failed", "unanswered"]


@dataclass
class Pending:
    """A command on its way; ``answered_s`` is when the daq last replied about it.

    outcome : "" on its way, then "done", "failed" or "unanswered"; ``reason`` says why not
    """

    name: str
    sent_s: float
    answered_s: float | None = None
    outcome: Outcome = ""
    reason: str = ""


@dataclass(frozen=True)
class Notice:
    """A message about the last command; ``severity`` as in the journal."""

    text: str
    severity: str
    at_s: float


class CommandDesk:
    """Sends commands, follows their replies, and reports the status of each."""

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        name: str = "",
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """name : as which it holds control of the run; "" for one that holds none"""
        self.name = name
        self._endpoints = endpoints
        self._plan: dict[str, Any] = {}
        self._plan_sent: dict[str, Any] = {}
        self._orbit: dict[str, Any] = {}
        self._orbit_sent: dict[str, Any] = {}
        self._sorting: dict[str, Any] = {}
        self._sorting_sent: dict[str, Any] = {}
        self._study: dict[str, Any] = {}
        self._study_sent: dict[str, Any] = {}
        self._patience_s = patience_s
        self._clock = clock
        self._client = ControlClient(endpoints, name=name)
        self.pending: dict[int, Pending] = {}
        self._notice = Notice("", "info", 0.0)

    @property
    def sorting(self) -> dict[str, Any]:
        """The sorting settings chosen here but not armed yet, by their names in SortSettings."""
        return dict(self._sorting)

    def set_sorting(self, changes: dict[str, Any]) -> None:
        """Send these sorting settings with the next Arm; {} leaves them to the daq.

        A refused Arm keeps them; once one succeeds the daq has them, for later runs as well.
        """
        self._sorting = dict(changes)

    @property
    def study(self) -> dict[str, Any]:
        """The next run's patient and study as set here, as arguments of Arm."""
        return dict(self._study)

    def set_study(self, args: dict[str, Any]) -> None:
        """Send these (study, identity, patient_position) with the next Arm, and with no other.

        A refused Arm keeps them; once one succeeds they are gone: no run inherits another run's
        patient.
        """
        self._study = dict(args)

    @property
    def protocol(self) -> dict[str, Any]:
        """The chosen protocol that was not armed yet, as an argument of Arm; {} for none."""
        return dict(self._plan)

    def set_protocol(self, args: dict[str, Any]) -> None:
        """Send ``protocol`` with the next Arm; {} leaves it to the daq, which keeps what it has."""
        self._plan = dict(args)

    @property
    def orbit(self) -> dict[str, Any]:
        """The chosen orbit that was not armed yet, as an argument of Arm; {} for none."""
        return dict(self._orbit)

    def set_orbit(self, args: dict[str, Any]) -> None:
        """Send ``orbit`` with the next Arm, over the protocol's; {} leaves it as it is."""
        self._orbit = dict(args)

    def again(self) -> None:
        """Arm the run that was closed once more, with its settings; those chosen for another Arm
        stay.
        """
        if not self.is_pending("again"):
            self._send("arm", "again", {"again": True})

    def arm_aside(self, name: str, *, duration_s: float, labels: dict[str, Any]) -> Pending:
        """Arm a run of no patient, such as QC's, as :meth:`send` does; return its outcome.

        What was chosen for the next Arm stays for the next Arm.
        """
        args = {"name": name, "duration_s": duration_s, "labels": labels, "aside": True}
        return self._send("arm", tr("QC: arming"), args)

    def share_control(self, action: str) -> None:
        """Request, release or take over control of the run, as :meth:`send` does."""
        self._send("control", tr("control, {action}", action=action), {"action": action})

    def keep_control(self) -> None:
        """Say that this console is still there; telemetry tells whether the daq hears it."""
        with contextlib.suppress(ClientError):
            self._client.send("control", action="keep")

    def send(self, name: str) -> None:
        """Send a command; :attr:`notice` reports what becomes of it."""
        if not self.is_pending(name):
            self._send(name, name, self._args_of(name))

    def order(self, action: str, *, modules: list[int], values: dict[str, Any]) -> Pending:
        """Send an order to modules ([]: all), as :meth:`send` does; return its outcome."""
        args = {"action": action, "modules": modules, "values": values}
        return self._send(
            "module", tr("modules, {replace}", replace=action.replace("_", " ")), args
        )

    def answer_alarms(self, name: str, args: dict[str, Any]) -> None:
        """Acknowledge or shelve alarms, as :meth:`send` does."""
        if not self.is_pending(name):
            self._send(name, name, args)

    def mark(self, text: str) -> Pending:
        """Set a marker in the run, as :meth:`send` does; return its progress."""
        return self._send("mark", "mark", {"text": text})

    def image_as(self, changes: dict[str, Any]) -> None:
        """Request another live image (keys of LiveSettings), as :meth:`send` does."""
        self._send("live", "live", changes)

    def keep_regions(self, regions: dict[str, Any]) -> None:
        """Keep regions (as in ``regions.json``) with the run, as :meth:`send` does."""
        self._send("regions", "regions", regions)

    def _send(self, name: str, called: str, args: dict[str, Any]) -> Pending:
        command = Pending(called, self._clock())
        try:
            self.pending[self._client.send(name, **args)] = command
        except ClientError as error:
            command.outcome, command.reason = "failed", str(error)
            self._say(tr("{called} not sent: {error}", called=called, error=error), "alarm")
        return command

    def poll(self) -> None:
        """Receive replies and withdraw commands that have waited too long; never blocks."""
        try:
            replies = self._client.poll()
        except MessageError as error:
            self._say(tr("a reply could not be read: {error}", error=error), "alarm")
            return
        for reply in replies:
            self._take(reply)
        self._give_up_overdue()

    def is_pending(self, name: str) -> bool:
        """Whether a command of that name is on its way."""
        return any(command.name == name for command in self.pending.values())

    @property
    def notice(self) -> Notice:
        """The status of the newest command; empty when there is nothing (more) to say."""
        now_s = self._clock()
        if self.pending:
            newest = max(self.pending.values(), key=lambda command: command.sent_s)
            stage = (
                tr("sent, waiting for the daq")
                if newest.answered_s is None
                else tr("accepted, working")
            )
            return Notice(f"{newest.name}: {stage} ({now_s - newest.sent_s:.0f} s)", "info", now_s)
        stays = self._notice.severity != "info" or now_s - self._notice.at_s < NOTICE_SHOWN_S
        return self._notice if stays else Notice("", "info", now_s)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _args_of(self, name: str) -> dict[str, Any]:
        """Return a command's arguments; the daq merges an Arm's settings into its own."""
        if name != "arm":
            return {}
        self._sorting_sent, self._study_sent = self._sorting, self._study
        self._plan_sent, self._orbit_sent = self._plan, self._orbit
        args: dict[str, Any] = {"settings": dict(self._sorting)} if self._sorting else {}
        return args | self._study | self._plan | self._orbit

    def _take(self, reply: Reply) -> None:
        command = self.pending.get(reply.id)
        if command is None:
            return
        if reply.status == "done":
            self._forget_armed(command.name)
            refused = str(reply.result.get("reason", ""))  # by some of several modules
            command.outcome, command.reason = "failed" if refused else "done", refused
            if refused:
                self._say(
                    tr("⚠ {name}: not by all: {refused}", name=command.name, refused=refused),
                    "warning",
                )
            else:
                self._say(tr("✓ {name}: done", name=command.name), "info")
        elif reply.status == "failed":
            why = told(reply.reason_id, reply.reason_values, reply.reason)
            command.outcome, command.reason = "failed", why
            self._say(
                tr(
                    "✗ {name} refused: {value}",
                    name=command.name,
                    value=why or tr("no reason given"),
                ),
                "alarm",
            )
        else:
            command.answered_s = self._clock()
            return
        del self.pending[reply.id]

    def _forget_armed(self, name: str) -> None:
        if name != "arm":
            return
        if self._sorting is self._sorting_sent:
            self._sorting = {}
        if self._study is self._study_sent:
            self._study = {}
        if self._plan is self._plan_sent:
            self._plan = {}
        if self._orbit is self._orbit_sent:
            self._orbit = {}

    def _give_up_overdue(self) -> None:
        now_s = self._clock()
        for number, command in list(self.pending.items()):
            if command.answered_s is not None and now_s - command.sent_s > WORKING_BOUND_S:
                self._say(
                    tr(
                        "⚠ {name}: accepted but not done after {working_bound_s:g} s",
                        name=command.name,
                        working_bound_s=WORKING_BOUND_S,
                    ),
                    "warning",
                )
                command.outcome = "unanswered"
                del self.pending[number]
            elif command.answered_s is None and now_s - command.sent_s >= self._patience_s:
                self._withdraw(command)
                return

    def _withdraw(self, command: Pending) -> None:
        self._say(
            tr(
                "⚠ {name}: no answer from the daq for {patience_s:g} s; withdrawn",
                name=command.name,
                patience_s=self._patience_s,
            ),
            "alarm",
        )
        for waiting in self.pending.values():
            waiting.outcome = "unanswered"
        self.pending.clear()
        self._client.close()
        self._client = ControlClient(self._endpoints, name=self.name)

    def _say(self, text: str, severity: str) -> None:
        self._notice = Notice(text, severity, self._clock())
