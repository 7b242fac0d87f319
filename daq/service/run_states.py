"""The states of a run inside the daq, and which may follow which.

          arm            start            stop, end of data        all written
  idle ────────▶ armed ────────▶ running ───────────────▶ stopping ────────▶ closed

closed: arm or reset; armed: reset, back to idle; any state that fails: error, latched with its
first reason until reset
"""

from __future__ import annotations

from daq.errors import RunError
from hw.messages.telemetry import JournalLine, RunState

TRANSITIONS: dict[RunState, tuple[RunState, ...]] = {
    "idle": ("armed", "error"),
    "armed": ("running", "idle", "error"),
    "running": ("stopping", "error"),
    "stopping": ("closed", "error"),
    "closed": ("armed", "idle", "error"),
    "error": ("idle",),
}
_REMEDY: dict[RunState, str] = {
    "idle": "arm a run first",
    "armed": "start the run, or reset it",
    "running": "stop the run first",
    "stopping": "the run is being closed, wait a moment",
    "closed": "arm a new run",
    "error": "read the reason, then reset",
}


class RunStates:
    """A state, and why it is this one.

    reason : in English; ``told`` is the same as a message of the catalogue, None where it is none
    """

    def __init__(self) -> None:
        self.state: RunState = "idle"
        self.reason = ""
        self.told: JournalLine | None = None

    def enter(self, state: RunState, why: str | JournalLine = "") -> None:
        """Go to ``state``; raises RunError, naming the remedy, if that is not allowed."""
        if state not in TRANSITIONS[self.state]:
            raise RunError(
                f"cannot go from {self.state} to {state}: {_REMEDY[self.state]}"
                + (f" ({self.reason})" if self.reason else "")
            )
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
        """Raise RunError unless the state is one of ``states``."""
        if self.state not in states:
            raise RunError(f"the run is {self.state}: {_REMEDY[self.state]}")

    def latch(self, reason: str) -> None:
        """Enter the error state from any other; the first reason is kept."""
        if self.state != "error":
            self.enter("error", reason)
