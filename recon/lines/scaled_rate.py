"""A whole run's rate of background events, scaled to a frame of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon.core.event_location import LocatedEvents
from recon.core.events import F4
from recon.lines.model import LineRate


@dataclass(frozen=True)
class ScaledRate:
    """A ``LineRate``: ``rate`` times ``scale``."""

    rate: LineRate
    scale: float

    def of_records(self, records: npt.NDArray[np.void], located: LocatedEvents) -> F4:
        """Return the scaled rate (1/s) of each record's line and TOF bin, (n,) float32."""
        return self.rate.of_records(records, located) * np.float32(self.scale)
