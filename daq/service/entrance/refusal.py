"""A command refused with a message of the catalogue, which can be said in any language."""

from __future__ import annotations

from daq.errors import RunError
from hw.messages.commands import Reply
from hw.messages.telemetry import JournalLine


class Refusal(RunError):
    """A refusal; ``told`` is the message, of which the error has the English words."""

    def __init__(self, told: JournalLine) -> None:
        super().__init__(told.text)
        self.told = told


def refused(command: int, error: Exception) -> Reply:
    """Return the reply to the command of a number that an error ended, with its message's id."""
    told = error.told if isinstance(error, Refusal) else None
    return Reply(
        id=command, status="failed", reason=str(error),
        reason_id=told.id if told else "", reason_values=told.values if told else {},
    )  # fmt: skip
