"""What really happened in an emulated run: the truth that the receiver's counters must meet."""

from __future__ import annotations

import numpy as np

from emulator.digitizer import COUNTS, DEAD, EMITTED, LOST
from emulator.response import BELOW_TRIGGER, MISSED, UNREAD
from emulator.transport import DECAYS, DEPOSITS, LUTETIUM, NOISE, PAIRS, PHOTONS, TALLY_SIZE


class Totals:
    """What really happened in a run: the truth that the receiver's counters must meet."""

    def __init__(self, modules: int, nuclides: tuple[str, ...]) -> None:
        self.nuclides = nuclides
        self.tally = np.zeros(TALLY_SIZE + len(nuclides), np.int64)
        self.missed = np.zeros((modules, MISSED), np.int64)
        self.counts = np.zeros((modules, COUNTS), np.int64)
        self.dead_units = np.zeros(modules, np.int64)
        self.periods = 0
        self.after_end = 0

    def truth(self) -> dict[str, float]:
        """Return the totals by name.

        They close: deposits + noise = below_trigger + unread + emitted + dead + lost + after_end.
        ``unread`` deposits were in crystals that are dead or missed them; ``noise`` are triggers
        of noisy crystals; ``photons`` are the γ and X photons of the source.
        """
        emitted, dead, lost = (int(self.counts[:, kind].sum()) for kind in (EMITTED, DEAD, LOST))
        return {
            "decays": int(self.tally[DECAYS]),
            "pairs": int(self.tally[PAIRS]),
            "photons": int(self.tally[PHOTONS]),
            "lutetium_decays": int(self.tally[LUTETIUM]),
            "deposits": int(self.tally[DEPOSITS]),
            "noise": int(self.tally[NOISE]),
            "below_trigger": int(self.missed[:, BELOW_TRIGGER].sum()),
            "unread": int(self.missed[:, UNREAD].sum()),
            "emitted": emitted,
            "dead": dead,
            "lost": lost,
            "after_end": self.after_end,
            "periods": self.periods,
        } | self._decays_by_nuclide()

    def _decays_by_nuclide(self) -> dict[str, float]:
        if len(self.nuclides) == 1:
            return {}
        decays = self.tally[TALLY_SIZE:].tolist()
        return {f"decays of {n}": d for n, d in zip(self.nuclides, decays, strict=True)}
