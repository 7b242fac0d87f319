"""The states of a run inside the daq, and which may follow which.

          arm            start            stop, end of data        all written
  idle ────────▶ armed ────────▶ running ───────────────▶ stopping ────────▶ closed

closed: arm or reset; armed: reset, back to idle; any state that fails: error, latched with its
first reason until reset
"""

from __future__ import annotations

from collections.abc import Callable

from daq.service.entrance.refusal import Refusal
from hw.messages.telemetry import JournalLine, RunState
from hw.notices.catalogue import notice

TRANSITIONS: dict[RunState, tuple[RunState, ...]] = {
    "idle": ("armed", "error"),
    "armed": ("running", "idle", "error"),
    "running": ("stopping", "error"),
    "stopping": ("closed", "error"),
    "closed": ("armed", "idle", "error"),
    "error": ("idle",),
}
_REFUSED: dict[RunState, Callable[[str], JournalLine]] = {
    "idle": lambda _: notice("refused.idle"),
    "armed": lambda _: notice("refused.armed"),
    "running": lambda _: notice("refused.running"),
    "stopping": lambda _: notice("refused.stopping"),
    "closed": lambda _: notice("refused.closed"),
    "error": lambda why: notice("refused.error", why=why),
}
"""What is wrong with a command in each state, and what helps; of the state's reason."""


class RunStates:
    """A state, and why it is this one.

    reason : in English; ``told`` is the same as a message of the catalogue, None where it is none
    """

    def __init__(self) -> None:
        self.state: RunState = "idle"
        self.reason = ""
        self.told: JournalLine | None = None

    def enter(self, state: RunState, why: str | JournalLine = "") -> None:
        """Go to ``state``; raises Refusal, naming the remedy, if that is not allowed."""
        if state not in TRANSITIONS[self.state]:
            raise Refusal(_REFUSED[self.state](self.reason))
        self.state = state
        self._give(why)

    def _give(self, why: str | JournalLine) -> None:
        self.told = why if isinstance(why, JournalLine) else None
        self.reason = why.text if isinstance(why, JournalLine) else why

    def explain(self, why: JournalLine) -> None:
        """Set what a person who finds it idle should know, until a run is armed."""
        if self.state == "idle":
            self._give(why)

    def require(self, *states: RunState) -> None:
        """Raise Refusal unless the state is one of ``states``."""
        if self.state not in states:
            raise Refusal(_REFUSED[self.state](self.reason))

    def latch(self, reason: str) -> None:
        """Enter the error state from any other; the first reason is kept."""
        if self.state != "error":
            self.enter("error", reason)
