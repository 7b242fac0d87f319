"""What really happened in an emulated run: the truth that the receiver's counters must meet."""

from __future__ import annotations

import numpy as np

from emulator.detector.digitizer import COUNTS, DEAD, EMITTED, LOST, OFF, PILED_UP
from emulator.detector.response import BELOW_TRIGGER, MISSED, UNREAD
from emulator.pet.pair_transport import (
    DECAYS,
    DEPOSITS,
    LUTETIUM,
    NOISE,
    PAIRS,
    PHOTONS,
    TALLY_SIZE,
)


class Totals:
    """What really happened in a run: the truth that the receiver's counters must meet."""

    def __init__(
        self, modules: int, nuclides: tuple[str, ...], regions: tuple[str, ...] = ()
    ) -> None:
        self.nuclides = nuclides
        self.regions = regions  # those whose activity changes each in its own way
        self.tally = np.zeros(TALLY_SIZE + len(nuclides) + len(regions), np.int64)
        self.missed = np.zeros((modules, MISSED), np.int64)
        self.counts = np.zeros((modules, COUNTS), np.int64)
        self.dead_units = np.zeros(modules, np.int64)
        self.periods = 0
        self.after_end = 0

    def truth(self) -> dict[str, float]:
        """Return the totals by name.

        They close: deposits + noise = below_trigger + unread + emitted + dead + piled_up + lost +
        off + after_end. ``unread`` deposits were in crystals that are dead or missed them;
        ``noise`` are triggers of noisy crystals and bursts; ``piled_up`` triggers added their
        light to another's word; ``off`` ones came while their module had no power; ``photons``
        are the γ and X photons of the source.
        """
        emitted, dead, piled_up, lost, off = (
            int(self.counts[:, kind].sum()) for kind in (EMITTED, DEAD, PILED_UP, LOST, OFF)
        )
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
            "piled_up": piled_up,
            "lost": lost,
            "off": off,
            "after_end": self.after_end,
            "periods": self.periods,
        } | self._decays_by_name()

    def _decays_by_name(self) -> dict[str, float]:
        """Return the decays of each nuclide where there are several, and in each region."""
        regions = TALLY_SIZE + len(self.nuclides)
        names = [f"decays of {nuclide}" for nuclide in self.nuclides]
        of = dict(zip(names, self.tally[TALLY_SIZE:regions].tolist(), strict=True))
        within = zip(self.regions, self.tally[regions:].tolist(), strict=True)
        return (of if len(of) > 1 else {}) | {f"decays in {name}": n for name, n in within}
