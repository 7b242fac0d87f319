"""A plain Python model of the frame checker's contract, with sets instead of bit masks."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOW = 64


@dataclass
class LinkModel:
    """One module's frames received, each known as (sequence, words before it, words)."""

    top: int = -1
    words_reached: int = 0
    seen: dict[int, int] = field(default_factory=dict)

    def judge(self, sequence: int, before: int, count: int) -> bool:
        """Return whether the frame is accepted."""
        if sequence in self.seen or sequence <= self.top - WINDOW:
            return False
        self.seen[sequence] = count
        if sequence > self.top:
            self.top = sequence
            self.words_reached = before + count
        return True

    @property
    def received(self) -> int:
        return len(self.seen)

    @property
    def lost(self) -> int:
        return self.top + 1 - len(self.seen)

    @property
    def words_received(self) -> int:
        return sum(self.seen.values())

    @property
    def words_lost(self) -> int:
        return self.words_reached - self.words_received
