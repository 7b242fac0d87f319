"""Slices of a run, one frame period each: Monte Carlo results computed ahead in threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from emulator.truth_labels import no_labels
from hw.wire.protocol import FRAME_PERIOD_PS

DECAYS, PAIRS, PHOTONS, DEPOSITS, OVERFLOWED, LUTETIUM, NOISE = range(7)
TALLY_SIZE = 7
"""Decays of the source, β⁺ pairs, γ and X photons, deposits, too little room for hits, decays of
¹⁷⁶Lu, triggers of noise; the decays of each nuclide of the source follow, then those in each region
where regions have activities of their own."""

PERIOD_S = FRAME_PERIOD_PS * 1e-12


@dataclass(frozen=True)
class SliceHits:
    """The Monte Carlo of one slice: (n,) HIT, and its tallies (see ``emulate_slice``).

    Hits come from the source, then lutetium, then noise, each nearly in time order.
    ``labels``, (n,) LABEL, is their truth; empty if it was not asked for.
    """

    index: int
    hits: npt.NDArray[np.void]
    missed: npt.NDArray[np.int64]
    tally: npt.NDArray[np.int64]
    labels: npt.NDArray[np.void] = field(default_factory=no_labels)


class SliceAhead:
    """Computes a bounded number of slices ahead of their use, in its own threads."""

    def __init__(
        self,
        make_slice: Callable[[int], SliceHits],
        *,
        threads: int,
        look_ahead_s: float,
        first: int = 0,
    ) -> None:
        self._make_slice = make_slice
        self._depth = max(threads + 1, math.ceil(look_ahead_s / PERIOD_S))
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="monte-carlo")
        self._pending: deque[Future[SliceHits]] = deque()
        self._next = first

    def __iter__(self) -> Iterator[SliceHits]:
        while True:
            while len(self._pending) < self._depth:
                self._pending.append(self._pool.submit(self._make_slice, self._next))
                self._next += 1
            yield self._pending.popleft().result()

    def close(self) -> None:
        """Cancel slices not yet begun; those in progress end within one slice's computing time."""
        self._pool.shutdown(wait=True, cancel_futures=True)
