"""What a line is expected to hold besides the image: all factors and all additive terms.

In T seconds line i (crystal pair, depth bins, TOF bin) is expected to hold

    ȳ_i = T · ( m_i Σ_j a_ij λ_j + r_i + q_i ),      m = g · n · c · l

with g the geometric detection probability (:mod:`recon.core.event_location`), n the normalisation,
c the attenuation, l the live share of the module pair, r randoms and q scatter per second. m of a
measured event cancels from the EM ratio,

    λ_j ← λ_j / s_j · Σ_events m a_j / (m Σ_k a_k λ_k + r + q)
        = λ_j / s_j · Σ_events a_j / (Σ_k a_k λ_k + (r + q) / m),

so an event needs only its *addend* (r + q) / m; the factors go into the sensitivity image, which
must be made with the same n, c and l.

For a frame, the background rates of the whole run are scaled.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, Records
from recon.core.event_location import LocatedEvents
from recon.core.events import EventList, Lors
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.projector.operator import Projector


class LineFactor(Protocol):
    """A factor of the lines' efficiency, such as normalisation or live share."""

    def of_records(self, records: Records) -> F4:
        """Return the factor of each ``COINCIDENCE`` record's line, (n,) float32."""

    def of_lines(self, crystal_a: npt.NDArray[np.int64], crystal_b: npt.NDArray[np.int64]) -> F4:
        """Return the factor of the lines between these crystals, in either order, (n,) float32."""

    @property
    def content_hash(self) -> str:
        """A hash that changes with any value, so that sensitivity images can be cached."""


class LineRate(Protocol):
    """Background events per second expected on a line: randoms, scatter."""

    def of_records(self, records: Records, located: LocatedEvents) -> F4:
        """Return the rate (1/s) in each record's line and TOF bin, (n,) float32.

        An energy-dependent rate is relative: 1/s times how much more often its events have this
        record's two energies than trues of the same line do.
        """


@dataclass(frozen=True)
class LineModel:
    """Factors and rates of a reconstruction's lines; a correction left out is absent.

    mu : a projector without TOF and the µ map (1/mm) on its grid
    """

    system: ReconSystem
    factors: list[LineFactor] = field(default_factory=list)
    rates: list[LineRate] = field(default_factory=list)
    mu: tuple[Projector, Image] | None = None

    def locate(self, records: Records) -> LocatedEvents:
        """Return where the records' lines run, and their gains."""
        volume_mm3 = self.system.grid.voxel_volume_mm3
        return self.system.detection.locate(records, voxel_volume_mm3=volume_mm3)

    def multiplicative(self, records: Records, located: LocatedEvents) -> F4:
        """Return m of each record's line, (n,) float32: per emission and mm of chord."""
        seen = located.gain * self.attenuation(located.lors)
        for factor in self.factors:
            seen = seen * factor.of_records(records)
        return np.asarray(seen, dtype=np.float32)

    def attenuation(self, lors: Lors) -> F4:
        """Return exp(−∫µ) of each line, (n,) float32; ones without a µ map."""
        if self.mu is None:
            return np.ones(len(lors), dtype=np.float32)
        projector, mu = self.mu
        return np.asarray(np.exp(-projector.forward(mu, lors)))

    def events(self, records: Records, *, weight: float = 1.0) -> EventList:
        """Return ``COINCIDENCE`` records as events ready for EM, with their addends.

        A line without sensitivity (m = 0: masked, dead) is returned with weight 0.
        """
        located = self.locate(records)
        seen = self.multiplicative(records, located)
        visible = seen > 0
        rate = np.zeros(len(records), dtype=np.float32)
        for part in self.rates:
            rate += part.of_records(records, located)
        addend = np.zeros(len(records), dtype=np.float32)
        np.divide(rate, seen, out=addend, where=visible)
        weights = np.where(visible, np.float32(weight), np.float32(0.0))
        return EventList(located.lors, weights, addend)


@dataclass(frozen=True)
class ScaledRate:
    """A ``LineRate``: ``rate`` times ``scale``."""

    rate: LineRate
    scale: float

    def of_records(self, records: npt.NDArray[np.void], located: LocatedEvents) -> F4:
        """Return the scaled rate (1/s) of each record's line and TOF bin, (n,) float32."""
        return self.rate.of_records(records, located) * np.float32(self.scale)
