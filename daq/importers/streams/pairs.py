"""Lists of coincidences: both singles of each pair, as if electronics had sent them.

Such lists know the time in steps (SAFIR, PETLINK 1 ms, PEPT 0.1 ms). The pairs of a step are
spread evenly over it, in their order; both singles of a pair have the same time: time of flight is
not kept, nor is who was single, or a random, before the list was made. Where the list has no
energies they are 511 keV. Delayeds have no singles of one time and are counted. A step of so many
pairs that they would lie within a coincidence window of another (100,000 in a ms) mixes them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from daq.errors import ImportDataError
from daq.importers.streams.foreign_list import Events, ForeignList, made
from hw.arrays import I8

KEV = 511.0
MOST_HELD = 1 << 20
"""Pairs of one step; more go out before it has ended."""


class Pairs(NamedTuple):
    """Pairs in the file's order: step of each (n,), both channels (n,)."""

    step: I8
    a: I8
    b: I8


NONE = Pairs(*(np.empty(0, np.int64),) * 3)


class PairList(ForeignList):
    """A list of coincidences."""

    step_ps = 1_000_000_000

    @abstractmethod
    def pairs(self) -> Iterator[Pairs]:
        """Yield the prompts, a bounded number at a time; steps never fall."""

    def pieces(self) -> Iterator[Events]:
        """Yield both singles of each pair."""
        held = NONE
        for more in self.pairs():
            timed = more.step >= 0
            self.count("pairs before the first time", int((~timed).sum()))
            more = Pairs(*(field[timed] for field in more))
            held = Pairs(*(np.concatenate(both) for both in zip(held, more, strict=True)))
            done = np.searchsorted(held.step, held.step[-1]) if len(held.step) else 0
            if len(held.step) - done > MOST_HELD:
                done = len(held.step)
            yield self._events(Pairs(*(field[:done] for field in held)))
            held = Pairs(*(field[done:] for field in held))
        yield self._events(held)

    def _events(self, pairs: Pairs) -> Events:
        step, first, many = np.unique(pairs.step, return_index=True, return_counts=True)
        place = np.arange(len(pairs.step)) - np.repeat(first, many)
        within = self.step_ps * (2 * place + 1) // (2 * np.repeat(many, many))
        time_ps = np.repeat(step, many) * self.step_ps + within
        both = np.stack([pairs.a, pairs.b], axis=1).reshape(-1)
        return made(np.repeat(time_ps, 2), both, np.full(len(both), KEV))


def rising(step: I8, newest: int) -> tuple[I8, int]:
    """Return steps that never fall, from ``newest`` on, and the last."""
    found = np.maximum.accumulate(np.concatenate([[newest], step]))[1:]
    return found, int(found[-1]) if len(found) else newest


_SAFIR_HEAD = 32
_SAFIR_MAGICS = (b"MUPET CListModeData", b"SAFIR CListModeData")
_SAFIR_TIME, _SAFIR_RANDOM = np.uint64(1 << 63), np.uint64(1 << 62)
_SAFIR_ENDS = (((0, 8), (16, 16), (48, 4)), ((8, 8), (32, 16), (52, 4)))
SAFIR_AROUND, SAFIR_RINGS = 4096, 256


class Safir(PairList):
    """SAFIR's list for STIR (.clm.safir): 8-byte words behind a head of 32 bytes.

    channel = (layer · 256 + ring) · 4096 + detector
    """

    def pairs(self) -> Iterator[Pairs]:
        """Yield the prompts."""
        newest = -1
        for words in self._words():
            is_time = words & _SAFIR_TIME != 0
            told = np.where(is_time, words & np.uint64((1 << 48) - 1), np.uint64(0))
            told = np.where(is_time, told.astype(np.int64), -1)
            step, newest = rising(told, newest)
            is_random = ~is_time & (words & _SAFIR_RANDOM != 0)
            self.count("delayeds", int(is_random.sum()))
            kept = ~is_time & ~is_random
            ends = [_channels(words[kept], fields) for fields in _SAFIR_ENDS]
            yield Pairs(step[kept], *ends)

    def _words(self) -> Iterator[npt.NDArray[np.uint64]]:
        rest, at, begun = b"", 0, False
        for data in self._bytes():
            rest += data
            if not begun:
                if len(rest) < _SAFIR_HEAD:
                    continue
                if not rest.startswith(_SAFIR_MAGICS):
                    raise ImportDataError(f"{self.path} is no list of SAFIR's: it begins with "
                                          f"{rest[:16]!r}")  # fmt: skip
                rest, at, begun = rest[_SAFIR_HEAD:], _SAFIR_HEAD, True
            whole = len(rest) // 8 * 8
            yield np.frombuffer(rest[:whole], "<u8")
            rest, at = rest[whole:], at + whole
        if rest or not begun:
            self.trouble = self.cut_off(at, f"{len(rest)} bytes of a word's 8")


def _channels(words: npt.NDArray[np.uint64], fields: tuple[tuple[int, int], ...]) -> I8:
    ring, detector, layer = (
        (words >> np.uint64(first) & np.uint64((1 << bits) - 1)).astype(np.int64)
        for first, bits in fields
    )
    found = (layer * SAFIR_RINGS + ring) * SAFIR_AROUND + detector
    return np.where(detector < SAFIR_AROUND, found, -1)


PEPT_LINE = 4096
FARTHEST_MM = 10_000.0


class Pept(PairList):
    """A positron camera's text, rows of t (ms), x1, y1, x2, y2 (mm) between two screens.

    Module 0 is the first screen, module 1 the second. Crystals are squares of the module's pitch
    from the file's origin on, x along module 0's u, y along v; the second screen's u runs against
    it. channel = screen · crystals + iu + n_u · iv.
    """

    step_ps = 100_000_000

    def __init__(self, path: Path, n: tuple[int, int], pitch_mm: tuple[float, float]) -> None:
        """n, pitch_mm : of a module's crystals along u and v"""
        super().__init__(path)
        self._n, self._pitch_mm = n, pitch_mm

    def pairs(self) -> Iterator[Pairs]:
        """Yield the lines; rows before the first are the head's."""
        newest, begun = 0, False
        for lines in self._lines():
            rows = []
            for line in lines:
                row = _numbers(line)
                begun = begun or row is not None
                if row is not None:
                    rows.append(row)
                elif begun and line.strip():
                    self.count("rows that are no lines", 1)
            table = np.array(rows, np.float64).reshape(-1, 5)
            step, newest = rising(np.rint(table[:, 0] * 10).astype(np.int64), newest)
            ends = [self._channel(screen, table) for screen in (0, 1)]
            yield Pairs(step, *ends)
        if not begun:
            raise ImportDataError(f"{self.path} has no row of t, x1, y1, x2, y2: no PEPT list")

    def _lines(self) -> Iterator[list[bytes]]:
        rest = b""
        for data in self._bytes():
            lines = (rest + data).split(b"\n")
            rest = lines.pop()[:PEPT_LINE]
            yield lines
        yield [rest]

    def _channel(self, screen: int, table: npt.NDArray[np.float64]) -> I8:
        place = np.floor(table[:, 1 + 2 * screen : 3 + 2 * screen] / self._pitch_mm)
        iu, iv = place.astype(np.int64).T
        n_u, n_v = self._n
        inside = (iu >= 0) & (iu < n_u) & (iv >= 0) & (iv < n_v)
        iu = n_u - 1 - iu if screen else iu
        return np.where(inside, screen * n_u * n_v + iu + n_u * iv, -1)


def _numbers(line: bytes) -> list[float] | None:
    fields = line.split()
    if len(fields) != 5:
        return None
    try:
        row = [float(field) for field in fields]
    except ValueError:
        return None
    sound = 0 <= row[0] < 1e9 and all(abs(value) < FARTHEST_MM for value in row[1:])
    return row if sound else None
