"""The coincidence sorter: ordered singles in, prompts, delayeds and triples out, exactly.

Whatever the sizes of the batches, the concatenated output is the same to the bit, because a single
is resolved only once the watermark has passed everything that could pair with it; until then it is
carried over. ``count_timing`` makes the histogram of time differences for displays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence import delayeds, pairs
from coincidence.delayeds import pair_delayeds
from coincidence.events import (
    COINCIDENCE,
    END_OF_TIME_PS,
    SINGLE,
    TRIPLE,
    Rotation,
    Words,
    as_words,
    empty_singles,
)
from coincidence.pairs import POLICY_NUMBERS, pair_prompts
from hw.arrays import Array, Records
from hw.jit import kernel
from hw.messages.sort_settings import SortSettings

_INITIAL_ROOM = 1 << 14


@dataclass
class SortCounts:
    """Totals since the sorter was created.

    multiples : clusters with more than one good pair; triples : those of exactly three singles
    crowded : singles with more than ``MOST_NEAR`` others in one window of τ, which pair with nobody
    crowded_windows : delayed windows with more than ``MOST_NEAR`` singles, which are not counted
    """

    prompts: int = 0
    delayeds: int = 0
    multiples: int = 0
    triples: int = 0
    crowded: int = 0
    crowded_windows: int = 0


@dataclass(frozen=True)
class Sorted:
    """What has become final: prompts and delayeds (n,) COINCIDENCE, triples (n,) TRIPLE (empty
    unless stored); freshly allocated."""

    prompts: Records
    delayeds: Records
    triples: Records


class CoincidenceSorter:
    """Pairs singles that arrive in order of time; ``singles`` counts them.

    Parameters
    ----------
    settings : windows and policy
    module_of : (n_crystals,) u2, the module of each crystal
    allowed_pairs : (modules, modules) bool, symmetric: pairs in the field of view
    """

    def __init__(
        self,
        settings: SortSettings,
        *,
        module_of: npt.NDArray[np.uint16],
        allowed_pairs: npt.NDArray[np.bool_],
    ) -> None:
        self.settings = settings
        self.counts = SortCounts()
        self.singles = 0
        self._module_of = module_of
        self._allowed = np.ascontiguousarray(allowed_pairs)
        self._stream = empty_singles(0)
        self._times = np.empty(0, np.int64)
        self._carried = 0
        self._prompt_start = 0
        self._delayed_start = 0
        self._scratch = Rotation(np.int64, depth=1)
        self._likely = Rotation(np.uint8, depth=1)
        self._room = np.empty((_INITIAL_ROOM, 4), np.int64)
        self._triple_room = np.empty((_INITIAL_ROOM if settings.triples else 0, 5), np.int64)
        self._result = np.zeros(7, np.int64)

    def push(self, singles: Records, horizon_ps: int) -> Sorted:
        """Take in ordered singles; return what is now final.

        Parameters
        ----------
        singles : (n,) SINGLE in order of time, none before those of earlier calls
        horizon_ps : no later call will bring a single earlier than this
        """
        self.singles += len(singles)
        stream = self._extend(singles)
        prompts, triples = self._prompts(stream, horizon_ps)
        found = self._delayeds(stream, horizon_ps)
        keep = min(self._prompt_start, self._delayed_start)
        self._carried = len(stream) - keep
        stream[: self._carried] = stream[keep:].copy()
        self._prompt_start -= keep
        self._delayed_start -= keep
        self.counts.prompts += len(prompts)
        self.counts.delayeds += len(found)
        return Sorted(prompts, found, triples)

    def finish(self) -> Sorted:
        """Resolve everything still carried over; nothing may be pushed afterwards."""
        return self.push(np.empty(0, dtype=SINGLE), int(END_OF_TIME_PS))

    def _extend(self, singles: Records) -> Words:
        """Return the singles carried over and the new ones in one array."""
        n = self._carried + len(singles)
        if n > len(self._stream):
            larger = empty_singles(n + n // 2)
            as_words(larger)[: self._carried] = as_words(self._stream)[: self._carried]
            self._stream = larger
            self._times = np.empty(len(larger), np.int64)
        words = as_words(self._stream)
        words[self._carried : n] = as_words(singles)
        self._times[:n] = words[:n, 0]
        return words[:n]

    def _prompts(self, stream: Words, horizon_ps: int) -> tuple[Records, Records]:
        settings, result = self.settings, self._result
        scratch = self._scratch.next(4 * len(stream) + 4)[: 4 * len(stream) + 4].reshape(4, -1)
        parts, triples = [], []
        while True:
            pair_prompts(
                stream, self._times[: len(stream)], self._prompt_start, horizon_ps,
                settings.window_ps, self._module_of, self._allowed,
                POLICY_NUMBERS[settings.policy], scratch, self._room, self._triple_room, result,
            )  # fmt: skip
            self._prompt_start = int(result[pairs.START])
            self.counts.multiples += int(result[pairs.MULTIPLES])
            self.counts.triples += int(result[pairs.TRIPLES])
            self.counts.crowded += int(result[pairs.CROWDED])
            parts.append(self._room[: result[pairs.PROMPTS]].copy())
            triples.append(self._triple_room[: result[pairs.STORED]].copy())
            if not result[pairs.NEEDED]:
                return _joined(parts, COINCIDENCE), _joined(triples, TRIPLE)
            self._make_room(int(result[pairs.NEEDED]))

    def _delayeds(self, stream: Words, horizon_ps: int) -> Records:
        settings, result = self.settings, self._result
        if settings.delay_ps == 0:
            self._delayed_start = len(stream)
            return np.empty(0, dtype=COINCIDENCE)
        early_ps = settings.window_ps if settings.delay_sides == "two" else 0
        likely = self._likely.next(len(stream))
        parts = []
        while True:
            pair_delayeds(
                stream, self._times[: len(stream)], self._delayed_start, horizon_ps,
                settings.window_ps, settings.delay_ps, settings.delay_windows, early_ps,
                self._module_of, self._allowed, likely, self._room, result,
            )  # fmt: skip
            self._delayed_start = int(result[delayeds.START])
            self.counts.crowded_windows += int(result[delayeds.CROWDED])
            parts.append(self._room[: result[delayeds.DELAYEDS]].copy())
            if not result[delayeds.NEEDED]:
                return _joined(parts, COINCIDENCE)
            self._make_room(int(result[delayeds.NEEDED]))

    def _make_room(self, needed: int) -> None:
        """Make the output arrays large enough for one group's records."""
        if needed > len(self._room):
            self._room = np.empty((2 * needed, 4), np.int64)
        if 0 < len(self._triple_room) < needed:
            self._triple_room = np.empty((2 * needed, 5), np.int64)


def _joined(parts: list[npt.NDArray[np.int64]], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return concatenated arrays of words, as records."""
    whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return whole.reshape(-1).view(dtype)


def count_timing(records: Records, bin_ps: float, histogram: npt.NDArray[np.int64]) -> None:
    """Histogram the tof of (n,) COINCIDENCE in bins of ``bin_ps`` around 0, (bins,) i8; the outer
    bins include everything beyond."""
    count_tofs(np.ascontiguousarray(records).view(np.int32).reshape(-1, 8), bin_ps, histogram)


@kernel
def count_tofs(rows: Array, bin_ps: float, histogram: Array) -> None:
    """``rows`` : (n, 8) i4, COINCIDENCE as 32-bit words, the fifth being ``tof_ps``."""
    bins = histogram.shape[0]
    for i in range(rows.shape[0]):
        place = int(np.floor(rows[i, 4] / bin_ps + bins / 2))
        histogram[min(max(place, 0), bins - 1)] += 1
