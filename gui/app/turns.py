"""Panels take turns, so that each frame costs the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hw.messages.telemetry import Telemetry


class _Refreshed(Protocol):
    def refresh(self, telemetry: Telemetry) -> None: ...


@dataclass
class Turn:
    """When a panel is drawn: every few frames, at its own offset, if there is something new.

    State, clocks and image are refreshed in every frame. Whole-run histograms and numbers to read
    take turns: nobody sees the difference, and each frame costs the same.
    """

    panel: _Refreshed
    every: int
    offset: int
    _drawn: Telemetry | None = None

    def take(self, frame: int, telemetry: Telemetry) -> None:
        """Draw if it is this panel's turn and it has not drawn this telemetry yet."""
        if frame % self.every == self.offset and telemetry is not self._drawn:
            self._drawn = telemetry
            self.panel.refresh(telemetry)
