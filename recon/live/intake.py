"""Events received but not yet in the live image, and the totals of the run."""

from __future__ import annotations

import numpy as np

from hw.arrays import Records


class Intake:
    """Records wait here for the next update; weights compensate for those lost on the way.

    used, seen, delayeds : of the run so far; ``seen`` includes lost prompts
    empty : an empty record array
    """

    def __init__(self, empty: Records) -> None:
        self._empty = empty
        self.used = 0
        self.seen = 0
        self.delayeds = 0
        self.watermark_ps = 0
        self.count = 0
        self.live_known = False
        self._prompts: list[Records] = []
        self._missing = 0
        self._delayeds: list[Records] = []
        self._delayeds_missing = 0
        self._live_share = 1.0

    def take(
        self,
        prompts: Records,
        delayeds: Records,
        missing_prompts: int,
        missing_delayeds: int,
        live_share: float,
    ) -> None:
        """Take in the records received and the number lost.

        Parameters
        ----------
        prompts, delayeds : (n,) records as the lines' source keeps them
        missing_prompts, missing_delayeds : number of events that were lost on the way
        live_share : the scanner's mean live share in this time, 0 if unknown
        """
        if len(prompts):
            self._prompts.append(prompts)
        if len(delayeds):
            self._delayeds.append(delayeds)
        self.count += len(prompts)
        self.seen += len(prompts) + missing_prompts
        self.delayeds += len(delayeds)
        self._missing += missing_prompts
        self._delayeds_missing += missing_delayeds
        if live_share > 0:
            self._live_share, self.live_known = min(live_share, 1.0), True

    def take_past(self, prompts: int, delayeds: int) -> None:
        """Count events from before the first ones received: they are used after all."""
        self.used += prompts
        self.delayeds += delayeds

    @property
    def fraction_used(self) -> float:
        """Share of the run's prompts that were used."""
        return self.used / max(self.seen, 1)

    @property
    def live_share(self) -> float:
        """The latest live share, 1 before any is known."""
        return self._live_share

    def thinned(self, most: int) -> tuple[Records, float]:
        """Hand out the pending prompts, every k-th if there are too many, and the weight of each.

        With no prompt to carry their weight, missing ones wait for the next call.
        """
        records = np.concatenate(self._prompts) if self._prompts else self._empty
        taken = records
        if len(records) > most:
            taken = records[np.arange(most) * len(records) // most]
        each = (len(records) + self._missing) / max(len(taken), 1)
        self._prompts, self.count = [], 0
        if len(taken):
            self._missing = 0
        self.used += len(taken)
        return taken, each

    def delayeds_of(self) -> tuple[Records, int]:
        """Hand out the pending delayeds, and the number that were lost besides."""
        records = np.concatenate(self._delayeds) if self._delayeds else self._empty
        missing, self._delayeds_missing = self._delayeds_missing, 0
        self._delayeds = []
        return records, missing
