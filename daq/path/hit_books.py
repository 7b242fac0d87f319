"""The books between a detector and the firmware behind it: every hit has one named place.

    hits offered = seen + unaccounted

*Offered* is what the detector had for a module, also what found no room in its queue; *seen* what
the firmware counted: in words, below threshold, dead, lost, masked, invalid, and thrown away while
it took none. Unaccounted are hits of modules whose count went with a reset, nobody else's: anywhere
else the sums must be equal.
"""

from __future__ import annotations

import numpy as np

from hw.messages.codec import SourceReport


class HitBooks:
    """Reads the sources' reports. ``known``: whether both sides have told."""

    def __init__(self, reports: list[SourceReport], n_modules: int) -> None:
        offered = [r.hits_offered for r in reports if len(r.hits_offered) == n_modules]
        seen = [r.hits_seen for r in reports if len(r.hits_seen) == n_modules]
        self.known = bool(offered) and bool(seen)
        self._offered = np.sum(offered or [[0] * n_modules], axis=0)
        told = np.array(seen or [[0] * n_modules])
        self._reset = (told < 0).any(axis=0)
        self._seen = np.where(self._reset, 0, told.sum(axis=0))

    def conserved(self) -> bool:
        """Whether every hit has its place; True where there is no detector to compare with."""
        return not self.known or bool((self._reset | (self._offered == self._seen)).all())

    def summary(self) -> dict[str, int]:
        """Return the sums over all modules."""
        offered, seen = int(self._offered.sum()), int(self._seen.sum())
        return {
            "offered": offered,
            "seen": seen,
            "of_reset_modules": int(self._offered[self._reset].sum()),
            "unaccounted": offered - seen - int(self._offered[self._reset].sum()),
        }
