"""The coincidence sorter: ordered singles in, prompts and delayeds out, state carried exactly.

Whatever the sizes of the batches, the concatenated output is the same to the bit, because a
single is resolved only once the watermark has passed everything that could pair with it; until
then it is carried over.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE, END_OF_TIME_PS, SINGLE
from coincidence.pairs import POLICY_NUMBERS, pair_delayeds, pair_prompts
from hw.settings import SortSettings

Records = npt.NDArray[np.void]
_INITIAL_ROOM = 1 << 14


@dataclass
class SortCounts:
    """Totals since the sorter was made. ``multiples``: groups with more than one good pair."""

    singles: int = 0
    prompts: int = 0
    delayeds: int = 0
    multiples: int = 0


class CoincidenceSorter:
    """Pairs singles that come in order of time.

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
        self._module_of = module_of
        self._allowed = np.ascontiguousarray(allowed_pairs)
        self._carried = np.empty(0, dtype=SINGLE)
        self._prompt_start = 0
        self._delayed_start = 0
        self._room = _INITIAL_ROOM

    def push(self, singles: Records, horizon_ps: int) -> tuple[Records, Records]:
        """Take ordered singles; return (prompts, delayeds) that are final.

        Parameters
        ----------
        singles : (n,) SINGLE in order of time, none before those of earlier calls
        horizon_ps : no later call will bring a single earlier than this

        Returns
        -------
        prompts, delayeds : (n,) COINCIDENCE each, freshly allocated
        """
        self.counts.singles += len(singles)
        stream = np.concatenate((self._carried, singles)) if len(self._carried) else singles
        prompts = self._prompts(stream, horizon_ps)
        delayeds = self._delayeds(stream, horizon_ps)
        keep = min(self._prompt_start, self._delayed_start)
        self._carried = stream[keep:].copy()
        self._prompt_start -= keep
        self._delayed_start -= keep
        self.counts.prompts += len(prompts)
        self.counts.delayeds += len(delayeds)
        return prompts, delayeds

    def finish(self) -> tuple[Records, Records]:
        """Resolve everything that is still carried; nothing may be pushed afterwards."""
        return self.push(np.empty(0, dtype=SINGLE), int(END_OF_TIME_PS))

    def _prompts(self, stream: Records, horizon_ps: int) -> Records:
        scratch = np.empty((3, max(1, len(stream))), dtype=np.int64)
        policy = POLICY_NUMBERS[self.settings.policy]
        parts = []
        while True:
            out = np.empty(self._room, dtype=COINCIDENCE)
            n, self._prompt_start, multiples, needed = pair_prompts(
                stream, self._prompt_start, horizon_ps, self.settings.window_ps, self._module_of,
                self._allowed, policy, scratch, out,
            )  # fmt: skip
            self.counts.multiples += multiples
            parts.append(out[:n])
            if not needed:
                return np.concatenate(parts)
            self._room = max(self._room, needed)

    def _delayeds(self, stream: Records, horizon_ps: int) -> Records:
        if self.settings.delay_ps == 0:
            self._delayed_start = len(stream)
            return np.empty(0, dtype=COINCIDENCE)
        parts = []
        while True:
            out = np.empty(self._room, dtype=COINCIDENCE)
            n, self._delayed_start, needed = pair_delayeds(
                stream, self._delayed_start, horizon_ps, self.settings.window_ps,
                self.settings.delay_ps, self._module_of, self._allowed, out,
            )  # fmt: skip
            parts.append(out[:n])
            if not needed:
                return np.concatenate(parts)
            self._room = max(self._room, needed)
