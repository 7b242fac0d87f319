"""What the modules say of themselves in their headers: SYNC lost and found, epochs of temperature.

Told when it changes, by module; many modules at once in one entry.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from hw.messages.codec import Severity
from hw.wire.protocol import FLAG_SYNC_LOST

MOST_NAMED = 6


class ModuleWatch:
    """Compares the links of one run with what was told of them."""

    def __init__(self) -> None:
        self._unsynchronised: frozenset[int] = frozenset()
        self._without_sync: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._epochs: npt.NDArray[np.int64] = np.zeros(0, np.int64)

    def look(self, links: npt.NDArray[np.void]) -> list[tuple[Severity, str]]:
        """Return what should be told now; ``links`` (modules,) LINK of the frame checker."""
        return [*self._sync(links), *self._temperature(links)]

    def _sync(self, links: npt.NDArray[np.void]) -> list[tuple[Severity, str]]:
        """Compare the counts too: SYNC may have been lost and found between two looks."""
        if len(self._without_sync) != len(links):
            self._without_sync = np.zeros(len(links), np.int64)
        seen = frozenset(np.flatnonzero(links["sync_lost"] > self._without_sync).tolist())
        self._without_sync = links["sync_lost"].astype(np.int64)
        now = frozenset(np.flatnonzero(links["flags"] & FLAG_SYNC_LOST).tolist())
        lost, found = seen - self._unsynchronised, (seen | self._unsynchronised) - now
        self._unsynchronised = now
        entries: list[tuple[Severity, str]] = []
        if lost:
            entries.append(("alarm", f"SYNC lost: {named(lost)}"))
        if found:
            entries.append(("info", f"SYNC again: {named(found)}"))
        return entries

    def _temperature(self, links: npt.NDArray[np.void]) -> list[tuple[Severity, str]]:
        if len(self._epochs) != len(links):
            self._epochs = np.zeros(len(links), np.int64)
        changed = np.flatnonzero(links["epochs"] > self._epochs)
        self._epochs = links["epochs"].astype(np.int64)
        if not len(changed):
            return []
        degrees = links["temperature"][changed] / 100
        span = f"{degrees.min():.1f} °C"
        if degrees.max() - degrees.min() >= 0.1:
            span = f"{degrees.min():.1f} to {degrees.max():.1f} °C"
        words = f"new epoch at {span}: {named(changed.tolist())}; the gain may have changed"
        return [("warning", words)]


def named(modules: Iterable[int]) -> str:
    """Return modules in words, the first few of many."""
    numbers = sorted(modules)
    few = ", ".join(map(str, numbers[:MOST_NAMED]))
    more = len(numbers) - MOST_NAMED
    return f"module{'s' if len(numbers) > 1 else ''} {few}" + (
        f" and {more} more" if more > 0 else ""
    )
