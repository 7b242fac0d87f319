"""What the readers of other people's lists have in common: events, pieces of bounded size, and
words for a file that ends in the middle or is none of its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daq.errors import ImportDataError

EVENT = np.dtype([("time_ps", "<i8"), ("channel", "<i8"), ("energy", "<f8")])
"""A single: when, on which of the electronics' channels, and its energy in the file's own unit."""

PIECE_BYTES = 1 << 20
MOST_PS = 1 << 60
"""Of a time: 13 days. Later ones are broken."""

Events = npt.NDArray[np.void]


class ForeignList(ABC):
    """Reads a file's events in its order, once; raises ImportDataError where it cannot go on.

    broken : what was left out, by name
    trouble : why it ends where it should not; raised once all before has been yielded
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.broken: Counter[str] = Counter()
        self.trouble: ImportDataError | None = None

    @abstractmethod
    def pieces(self) -> Iterator[Events]:
        """Yield the file's events, a bounded number at a time."""

    def __iter__(self) -> Iterator[Events]:
        """Yield the sound events."""
        for events in self.pieces():
            sound = (events["time_ps"] >= 0) & (events["time_ps"] < MOST_PS)
            sound &= np.isfinite(events["energy"])
            self.count("events without a possible time or energy", int((~sound).sum()))
            yield events[sound]
        if self.trouble is not None:
            raise self.trouble

    def count(self, what: str, many: int) -> None:
        """Count what is broken."""
        if many:
            self.broken[what] += many

    def _bytes(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                while data := file.read(PIECE_BYTES):
                    yield data
        except OSError as error:
            raise ImportDataError(f"{self.path}: {error.strerror}") from error

    def _records(self, kind: np.dtype[np.void]) -> Iterator[Events]:
        """Yield records of one size; notes the trouble if the last is cut off."""
        rest, at = b"", 0
        for data in self._bytes():
            rest += data
            whole = len(rest) // kind.itemsize * kind.itemsize
            yield np.frombuffer(rest[:whole], kind)
            rest, at = rest[whole:], at + whole
        if rest:
            self.trouble = self.cut_off(at, f"{len(rest)} of a record's {kind.itemsize} bytes")

    def cut_off(self, at: int, what: str) -> ImportDataError:
        """Return the error of a file that ends in the middle."""
        return ImportDataError(
            f"{self.path} ends in the middle, at byte {at}: {what}. All before was played; copy "
            "the file again, or leave it at that"
        )


def made(time_ps: npt.ArrayLike, channel: npt.ArrayLike, energy: npt.ArrayLike) -> Events:
    """Return events of these fields."""
    time_ps = np.asarray(time_ps)
    events = np.empty(len(time_ps), EVENT)
    events["time_ps"], events["channel"], events["energy"] = time_ps, channel, energy
    return events
