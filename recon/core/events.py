"""Lines of response as arrays: what projectors and reconstruction work on.

``Lors`` holds where each event's line runs; ``EventList`` adds what the statistics need: a weight
and the line's expected background (see :mod:`recon.lines.model`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt

from hw.arrays import F4

Selection = npt.NDArray[np.intp] | slice

NO_OFFSET: F4 = np.zeros(0, dtype=np.float32)
NO_ADDEND: F4 = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Lors:
    """Lines from ``start`` to ``end``, (n, 3) float32 mm, C-contiguous.

    ``offset_mm`` (n,) float32 is the TOF displacement from the line's centre, positive towards
    ``end`` (see :mod:`recon.core.tof`); empty without time of flight.
    """

    start: F4
    end: F4
    offset_mm: F4 = field(default_factory=lambda: NO_OFFSET)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def has_tof(self) -> bool:
        """Whether every line carries a TOF offset."""
        return len(self.offset_mm) == len(self.start)

    def take(self, chosen: Selection) -> Lors:
        """Return the selected lines."""
        offset = self.offset_mm[chosen] if len(self.offset_mm) else self.offset_mm
        return Lors(self.start[chosen], self.end[chosen], offset)


@dataclass(frozen=True)
class EventList:
    """Events ready for EM: lines, weights and addends, all of one length n.

    weight : (n,) float32; 1, or 1/fraction where events were thinned
    addend : (n,) float32, the line's expected background, in the unit of its projection; empty if
        none
    """

    lors: Lors
    weight: F4
    addend: F4 = field(default_factory=lambda: NO_ADDEND)

    def __len__(self) -> int:
        return len(self.lors)

    @classmethod
    def plain(cls, lors: Lors) -> EventList:
        """Return events of weight 1 without background."""
        return cls(lors, np.ones(len(lors), np.float32))

    def take(self, chosen: Selection) -> EventList:
        """Return the selected events."""
        addend = self.addend[chosen] if len(self.addend) else self.addend
        return EventList(self.lors.take(chosen), self.weight[chosen], addend)


def joined(parts: list[EventList]) -> EventList:
    """Return all events of ``parts`` as one list, in order."""
    if len(parts) == 1:
        return parts[0]
    lors = Lors(
        *(np.concatenate([getattr(part.lors, one.name) for part in parts]) for one in fields(Lors))
    )
    return EventList(lors, np.concatenate([part.weight for part in parts]), _joined_addends(parts))


def _joined_addends(parts: list[EventList]) -> F4:
    if not any(len(part.addend) for part in parts):
        return NO_ADDEND
    filled = [p.addend if len(p.addend) else np.zeros(len(p), np.float32) for p in parts]
    return np.concatenate(filled)
