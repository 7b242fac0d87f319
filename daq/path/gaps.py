"""Which frames are acknowledged, and which are asked for again: those that lack between others.

What a source was told to be on the disk it keeps no longer. So a module's mark stays before the
first number that lacks, as long as that frame could still be taken: until it is ``WINDOW`` numbers
back, or was looked for ``MOST_LOOKS`` times. A frame that is really gone holds nothing up longer.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from daq.path.link_state import ALL_SEEN, WINDOW

Marks = npt.NDArray[np.int64]
MOST_LOOKS = 6
ASK_EVERY = 2
"""From the second look on: what is only late comes by itself, and an answer takes its time."""

_NUMBERS = 1 << 32


class Gaps:
    """Of one run. ``open``: whether anything lacks."""

    def __init__(self, n_modules: int) -> None:
        self._looks: list[dict[int, int]] = [{} for _ in range(n_modules)]

    @property
    def open(self) -> bool:
        """Whether a number lacked at the last look."""
        return any(self._looks)

    def marks(self, links: np.ndarray) -> Marks:
        """Return each module's newest (sequence, period) without a gap before it, (modules, 2) i8;
        −1 for none.
        """
        begin = self._first_open(links)
        marks = np.stack((begin - 1, begin - 1 + links["offset"]), axis=1)
        marks[(links["heard"] == 0) | (begin <= 0)] = -1
        marks[:, 0] = np.where(marks[:, 0] < 0, -1, marks[:, 0] % _NUMBERS)
        return marks

    def look(self, links: np.ndarray) -> list[list[int]]:
        """Look for what lacks, several times a second; return, by module, what to ask for now."""
        wanted = []
        for module, before in enumerate(self._looks):
            looks = {number: before.get(number, 0) + 1 for number in _lacking(links[module])}
            self._looks[module] = looks
            due = (n for n, count in looks.items() if count <= MOST_LOOKS and not count % ASK_EVERY)
            wanted.append([number % _NUMBERS for number in due])
        return wanted

    def _first_open(self, links: np.ndarray) -> npt.NDArray[np.int64]:
        begin = links["next_sequence"].copy()
        for module in np.flatnonzero(links["seen"] != ALL_SEEN):
            looks = self._looks[module]
            open_ = (n for n in _lacking(links[module]) if looks.get(n, 0) <= MOST_LOOKS)
            begin[module] = min(open_, default=begin[module])
        return np.asarray(begin)


def lacking(links: np.ndarray) -> list[set[int]]:
    """Return, by module, the numbers that lack and may still come."""
    return [{number % _NUMBERS for number in _lacking(link)} for link in links]


def _lacking(link: np.void) -> list[int]:
    if link["seen"] == ALL_SEEN:
        return []
    seen, following = int(link["seen"]), int(link["next_sequence"])
    return [following - 1 - back for back in range(WINDOW) if not seen >> back & 1]
