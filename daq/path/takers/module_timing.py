"""Whether each module's coincidences have a peak at Δt = 0: one whose clock is off has none. And
whether each pair of modules has any where those beside it have.

A clock that is off by a frame period, or by more than half the window, loses every true coincidence
of its module, while singles, frames and books look well. Randoms are flat in Δt, so what is in the
inner half of the window beyond what is in the outer half are trues.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from coincidence.events import CRYSTAL_FIELD, as_words
from daq.path.pipeline import Output, Taker
from hw.arrays import Array, Records
from hw.jit import kernel
from hw.messages.sort_settings import SortSettings

LEAST_TRUES = 500
"""Of the median module, before anything is judged; then counting begins anew."""

LEAST_SINGLES = 20_000
"""Accepted by each module, of which some must have been coincidences."""

LEAST_SHARE = 0.05
"""Of the median module's trues, for as many accepted singles: fewer are a missing peak. A module's
place changes the share by some, not by twenty.
"""

LEAST_OF_PAIR = 1000
"""Trues of the median pair of modules that has any, before pairs are judged; then they are counted
anew.
"""

MOST_PAIRS = 3
"""Named one by one; of more, the number."""

SIGMAS = 5.0
_AROUND = tuple((a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0))


class ModuleTiming(Taker):
    """Counts the prompts of each module against all others, near Δt = 0 and far from it.

    module_of : (crystals,) u2
    """

    def __init__(self, settings: SortSettings, module_of: npt.NDArray[np.uint16]) -> None:
        self._module_of, self._near_ps = module_of, settings.window_ps // 2
        self._modules = int(module_of.max()) + 1
        self._pairs = np.zeros((self._modules, self._modules, 2), dtype=np.int64)
        self._begin()

    def _begin(self) -> None:
        self._counts = np.zeros((self._modules, 2), dtype=np.int64)
        self._singles = np.zeros(self._modules, dtype=np.int64)

    def take(self, output: Output) -> None:
        self.observe(output.prompts, output.accepted)

    def observe(self, prompts: Records, accepted: Records) -> None:
        """Count (n,) COINCIDENCE, and (m,) SINGLE."""
        rows = np.ascontiguousarray(prompts).view(np.int32).reshape(-1, 8)
        _count(rows, self._module_of, self._near_ps, self._counts, self._pairs)
        _count_modules(as_words(accepted), self._module_of, self._singles)

    def judge(self) -> list[str]:
        """Return in words which modules lack the peak, once there are enough counts."""
        near, far = self._counts.T.astype(np.float64)
        trues, sigma = near - far, np.sqrt(near + far) + 1
        none = self._singles.min() >= LEAST_SINGLES and bool((trues < SIGMAS * sigma).all())
        if np.median(trues) < LEAST_TRUES and not none:
            return []
        singles = self._singles
        self._begin()
        if none:
            return ["no module has a Δt peak: all coincidences are as randoms would be"]
        expected = np.median(trues) * singles / max(1.0, float(np.median(singles)))
        missing = (trues + SIGMAS * sigma < expected) & (trues < LEAST_SHARE * expected)
        return [f"the Δt peak of module {m} is missing" for m in np.flatnonzero(missing)]

    def judge_pairs(self) -> list[str]:
        """Return in words which pairs of modules have no trues though the eight pairs beside them
        have, once there are enough counts. What lies between two sources is a whole row of pairs.
        """
        counts = self._pairs + self._pairs.transpose(1, 0, 2)
        trues = (counts[..., 0] - counts[..., 1]).astype(np.float64)
        some = trues[trues > 0]
        if not len(some) or np.median(some) < LEAST_OF_PAIR:
            return []
        self._pairs[:] = 0
        least = np.min([np.roll(trues, shift, (0, 1)) for shift in _AROUND], axis=0)
        none = trues + SIGMAS * (np.sqrt(counts.sum(axis=2)) + 1) < least
        found = np.argwhere(np.triu(none & (trues < LEAST_SHARE * least), 1))
        words = [
            f"modules {a} and {b} have no coincidences with each other, the pairs beside them have "
            "thousands"
            for a, b in found[:MOST_PAIRS]
        ]
        more = len(found) - MOST_PAIRS
        return [*words, f"so have {more} more pairs of modules"] if more > 0 else words


@kernel
def _count(rows: Array, module_of: Array, near_ps: int, counts: Array, pairs: Array) -> None:
    """Count prompts within ``near_ps`` of Δt = 0, and beyond: of each module, (modules, 2) i8, and
    of each pair of them, (modules, modules, 2) i8.

    rows : (n, 8) i4, COINCIDENCE as 32-bit words: the third and fourth the crystals, the fifth Δt
    """
    for i in range(rows.shape[0]):
        far = 1 if abs(rows[i, 4]) > near_ps else 0
        a, b = module_of[rows[i, 2]], module_of[rows[i, 3]]
        counts[a, far] += 1
        counts[b, far] += 1
        pairs[a, b, far] += 1


@kernel
def _count_modules(words: Array, module_of: Array, counts: Array) -> None:
    """Count singles, (n, 2) i8 as words."""
    for i in range(words.shape[0]):
        counts[module_of[words[i, 1] & CRYSTAL_FIELD]] += 1
