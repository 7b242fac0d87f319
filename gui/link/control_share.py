"""This console's share in the control of the run: whether it holds it, and keeping it.

The daq keeps the lease (docs/operations.md): a heartbeat a second holds it, or keeps asking for it.
No telemetry, no heartbeat: a console that hears nothing holds nothing.
"""

from __future__ import annotations

import getpass
import os
import platform
import time
from collections.abc import Callable
from typing import Literal

from gui.link.command_desk import CommandDesk
from hw.messages.telemetry import Telemetry

HEARTBEAT_S = 1.0
MOST_CHARACTERS = 80

Share = Literal["unknown", "free", "mine", "asked_of_me", "others", "asking"]


def console_name() -> str:
    """Return this console's name: unique, and recognisable to a person."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    name = f"console of {user} on {platform.node()}, process {os.getpid()}"  # an identity
    return "".join(letter for letter in name if letter.isprintable())[:MOST_CHARACTERS]


class ControlShare:
    """Follows telemetry, and sends what keeps or changes this console's share."""

    def __init__(self, desk: CommandDesk, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self._due_s = 0.0
        self.holder = self.asking = ""
        self.share: Share = "unknown"

    @property
    def may_command(self) -> bool:
        """Whether the daq would accept a command from here that changes the run."""
        return self.share not in ("others", "asking")

    def refresh(self, telemetry: Telemetry | None) -> None:
        """Follow telemetry (None: no daq heard), and keep the control that is held."""
        if telemetry is None:
            self.share = "unknown"
            return
        self.holder, self.asking = telemetry.control, telemetry.control_asked
        self.share = self._look()
        if self.share in ("mine", "asked_of_me", "asking") and self._clock() >= self._due_s:
            self._due_s = self._clock() + HEARTBEAT_S
            self._desk.keep_control()

    def _look(self) -> Share:
        me = self._desk.name
        if not self.holder:
            return "free"
        if self.holder == me:
            return "asked_of_me" if self.asking else "mine"
        return "asking" if self.asking == me else "others"

    def change(self) -> None:
        """Take the next step: request control, take it over once requested, or release it."""
        action = {"free": "ask", "others": "ask", "asking": "take"}.get(self.share, "give")
        if self.share != "unknown":
            self._desk.share_control(action)

    def end(self) -> None:
        """Release what is held: the console is being closed."""
        if self.share in ("mine", "asked_of_me"):
            self._desk.share_control("give")
