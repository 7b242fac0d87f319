"""Who holds control of the run: a lease, which the daq keeps.

Several consoles may watch; one at a time changes the run. A client that says who it is takes
control with its first command if nobody has it, and keeps it as long as it is heard, a heartbeat a
second. Others ask for it, are given it, or take it over, which everybody sees. Clients that do not
say who they are (command-line tools, scripts) are obeyed while nobody holds control, and hold none.

Control is an agreement among people who may all command, not a guard: that is the door
(:mod:`daq.service.entrance.door`). What makes modules safer, Bias OFF first, is obeyed from every
one of them whoever holds control; so are markers and regions, which are notes, and faults of an
emulator, which are tests.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from daq.errors import RunError
from daq.folder.journal import Journal
from daq.service.entrance.door import makes_safer
from daq.service.entrance.refusal import Refusal
from hw.messages.commands import Command
from hw.messages.telemetry import JournalLine
from hw.notices.catalogue import notice

LEASE_S = 4.0
"""A holder that is not heard for so long has control no more, and who asks asks no more."""

CHANGING = ("arm", "start", "stop", "reset", "live", "module", "shutdown")
ENTRIES = 50
"""Of handing control about, journalled in 10 s."""


@dataclass
class Holder:
    """A client that holds control, or asks for it.

    key : name of its key, as the door knows it; name : what it calls itself
    """

    key: str
    name: str
    heard_s: float

    def is_who(self, key: str, name: str) -> bool:
        """Whether it is the client of that key and name."""
        return (self.key, self.name) == (key, name)


class ControlLease:
    """The lease of one daq; every change of it is journalled."""

    def __init__(self, journal: Journal, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._clock = journal, clock
        self._holder: Holder | None = None
        self._asking: Holder | None = None

    @property
    def holder(self) -> str:
        """Who holds control, "" for nobody."""
        return self._holder.name if self._holder else ""

    @property
    def asking(self) -> str:
        """Who asks for it, "" for nobody."""
        return self._asking.name if self._asking else ""

    def look(self) -> None:
        """End the leases of those who have fallen silent; to be called every turn."""
        least_s = self._clock() - LEASE_S
        if self._asking is not None and self._asking.heard_s < least_s:
            self._asking = None
        if self._holder is not None and self._holder.heard_s < least_s:
            self._say(notice("control.silent", who=self.holder))
            self._holder = None

    def why_not(self, key: str, command: Command) -> JournalLine | None:
        """Return why a command is refused, None if it is not; the first to command takes control.

        key : name of the client's key
        """
        if command.name not in CHANGING or makes_safer(command):
            return None
        self.look()
        if self._holder is None:
            if command.client:
                self._hand_to(Holder(key, command.client, self._clock()))
            return None
        if self._holder.is_who(key, command.client):
            self._holder.heard_s = self._clock()
            return None
        return notice("refused.control", holder=self.holder)

    def act(self, key: str, command: Command) -> dict[str, Any]:
        """Keep, ask for, give or take over control; return who has it now.

        Raises
        ------
        RunError
            for an unknown action, a client without a name, or control given by one that lacks it
        """
        self.look()
        action = str(command.args.get("action", ""))
        step = {"keep": self._keep, "ask": self._ask, "give": self._give, "take": self._take}
        if action not in step:
            raise RunError(f"control: {action!r:.40}: the actions are {', '.join(step)}")
        if not command.client:
            raise RunError("control: say who you are: `client` of the command is empty")
        step[action](Holder(key, command.client, self._clock()))
        mine = self._holder is not None and self._holder.is_who(key, command.client)
        return {"holder": self.holder, "asking": self.asking, "yours": mine}

    def _keep(self, who: Holder) -> None:
        for known in (self._holder, self._asking):
            if known is not None and known.is_who(who.key, who.name):
                known.heard_s = who.heard_s

    def _ask(self, who: Holder) -> None:
        if self._holder is None or self._holder.is_who(who.key, who.name):
            self._hand_to(who)
            return
        if self._asking is None or not self._asking.is_who(who.key, who.name):
            self._say(notice("control.asked", who=who.name, holder=self.holder))
        self._asking = who

    def _give(self, who: Holder) -> None:
        if self._holder is None:
            return  # its lease has ended meanwhile: a busy machine, a slow answer
        if not self._holder.is_who(who.key, who.name):
            raise Refusal(notice("refused.not_yours", holder=self.holder))
        self._holder = None
        if self._asking is not None:
            self._say(notice("control.given", who=who.name, to=self.asking))
            self._hand_to(self._asking, told=True)
        else:
            self._say(notice("control.given_up", who=who.name))

    def _take(self, who: Holder) -> None:
        before = self._holder
        if before is None or before.is_who(who.key, who.name):
            self._hand_to(who)
            return
        self._say(notice("control.taken", who=who.name, before=before.name))
        self._holder, self._asking = who, None

    def _hand_to(self, who: Holder, *, told: bool = False) -> None:
        if self._holder is None and not told:
            self._say(notice("control.held", who=who.name))
        self._holder = who
        if self._asking is not None and self._asking.is_who(who.key, who.name):
            self._asking = None

    def _say(self, line: JournalLine) -> None:
        self._journal.tell(line, kind="control", burst=ENTRIES)
