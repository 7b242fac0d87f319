"""The source of a live image's events, and what their lines are expected to hold besides the image.

The imager keeps raw records and makes events only of the few that an update needs: corrections that
arrive late or change then apply to old events too, without touching the millions kept. What costs a
projection (attenuation) is kept beside the record.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from coincidence.events import COINCIDENCE
from hw.arrays import F4, Records
from recon.core.event_location import LocatedEvents
from recon.core.events import EventList, Lors
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import TofModel
from recon.em.sensitivity import coarse_grid
from recon.lines.model import LineFactor, LineModel
from recon.lines.randoms import CrystalRandoms, fan_counts
from recon.live.event_buffer import Columns
from recon.projector.operator import Projector
from recon.scatter.rate import ScatterRate

RANDOMS_EVERY_S, RANDOMS_GROWTH = 1.0, 0.2
"""Detector time, or growth of the delayeds, after which randoms are estimated anew: up to 20 ms."""

LOR_EVENT = np.dtype(
    [("start", "<f4", (3,)), ("end", "<f4", (3,)), ("offset_mm", "<f4"), ("addend", "<f4")]
)
"""A line without crystals, 32 bytes: ends and TOF offset in mm, expected background."""


class LiveLines(Protocol):
    """A source of events for the live imager."""

    @property
    def grid(self) -> ImageGrid:
        """The image's grid."""

    @property
    def tof(self) -> TofModel | None:
        """The kernel of the lines' TOF offsets, None without TOF."""

    @property
    def empty(self) -> Columns:
        """Empty columns of what is kept of events; the records first."""

    def columns(self, records: Records) -> Columns:
        """Return what is to be kept of the records."""

    def events(self, columns: Columns, weight: F4) -> EventList:
        """Return kept columns as events ready for EM, with the present corrections."""

    def taken_in(self, records: Records, weight: F4) -> tuple[Columns, EventList]:
        """Return :meth:`columns` of records, and their :meth:`events`."""

    def take_delayeds(
        self, records: Records, *, seconds: float, keep: float, missing: int, time_share: float
    ) -> None:
        """Add the delayeds of ``seconds``; earlier ones keep the share ``keep`` of their weight.

        Parameters
        ----------
        records : (n,) the delayeds
        seconds : detector time in which they came, s
        keep : share of the weight that earlier delayeds keep, 0..1
        missing : number of delayeds of that time that were lost
        time_share : time over the image's exposure
        """

    def take_past_delayeds(self, records: Records, *, seconds: float, share: float) -> None:
        """Add the delayeds of ``seconds`` before all others, with a share of their weight."""

    def close(self) -> None:
        """Stop its threads."""


class LorLines:
    """Ready-made lines (:data:`LOR_EVENT`), of detectors without crystals or of a list."""

    def __init__(self, grid: ImageGrid, *, tof: TofModel | None = None) -> None:
        self.grid = grid
        self.tof = tof
        self.empty: Columns = (np.empty(0, LOR_EVENT),)

    @staticmethod
    def records(events: EventList) -> Records:
        """Return an event list as records, without its weights."""
        records = np.zeros(len(events), dtype=LOR_EVENT)
        records["start"], records["end"] = events.lors.start, events.lors.end
        if events.lors.has_tof:
            records["offset_mm"] = events.lors.offset_mm
        if len(events.addend):
            records["addend"] = events.addend
        return records

    def columns(self, records: Records) -> Columns:
        """Return the records themselves."""
        return (records,)

    def events(self, columns: Columns, weight: F4) -> EventList:
        """Return the records as events."""
        (records,) = columns
        offset = records["offset_mm"] if self.tof else records["offset_mm"][:0]
        start, end = np.ascontiguousarray(records["start"]), np.ascontiguousarray(records["end"])
        lors = Lors(start, end, np.ascontiguousarray(offset))
        return EventList(lors, weight, np.ascontiguousarray(records["addend"]))

    def taken_in(self, records: Records, weight: F4) -> tuple[Columns, EventList]:
        """Return the records themselves, and the events."""
        return (records,), self.events((records,), weight)

    def take_delayeds(
        self, records: Records, *, seconds: float, keep: float, missing: int, time_share: float
    ) -> None:
        """Ignore the delayeds: lines without crystals come with all their background.

        Parameters
        ----------
        records, seconds, keep, missing, time_share : as in :meth:`LiveLines.take_delayeds`; not
            used
        """

    def take_past_delayeds(self, records: Records, *, seconds: float, share: float) -> None:
        """Ignore them too."""

    def close(self) -> None:
        """Do nothing: there are no threads."""


class CrystalLines:
    """Coincidences of a scanner's crystals, under the line model of :mod:`recon.lines.model`.

    randoms : expected per second, averaged over the time; ``time_share`` (time / exposure) converts
        that to the image's exposure
    scatter, prompt_gamma : expected per second of exposure: they decay, and are missed, as trues
        are
    """

    def __init__(self, system: ReconSystem) -> None:
        self.system = system
        self.grid, self.tof = system.grid, system.tof
        self.empty: Columns = (np.empty(0, COINCIDENCE), np.empty(0, np.float32))
        self._coarse = coarse_grid(system.grid)
        self._through = Projector(self._coarse, lanes=1)
        self._mu: Image | None = None
        self.restart()

    def close(self) -> None:
        """Stop the projector's threads."""
        self._through.close()

    def restart(self, *, delayed_factor: int = 1) -> None:
        """Forget all corrections and delayeds; ``delayed_factor`` is the new run's."""
        self.model = LineModel(self.system)
        self._mu = None
        self.randoms: CrystalRandoms | None = None
        self.scatter: ScatterRate | None = None
        self.prompt_gamma: ScatterRate | None = None
        self.with_randoms = True
        self.time_share = 1.0
        self.delayeds = 0
        self._delayed_factor = delayed_factor
        self._fans = np.zeros(self.system.scanner.n_crystals)
        self._fans_s = 0.0
        self._unused, self._unused_s = 0, 0.0

    def correct(self, factors: list[LineFactor], mu_per_mm: Image | None) -> None:
        """Use these factors and this µ map (1/mm, None for none) from now on.

        A line's own attenuation is taken from coarser voxels: it only divides the background.
        Columns returned before belong to the old corrections and must be made again.
        """
        self._mu, mu = mu_per_mm, None
        if mu_per_mm is not None:
            mu = (self._through, resample(mu_per_mm, self.grid.voxel_mm, self._coarse))
        self.model = LineModel(self.system, factors=factors, mu=mu)

    @property
    def mu_per_mm(self) -> Image | None:
        """The µ map in use."""
        return self._mu

    @property
    def factors(self) -> list[LineFactor]:
        """The factors in use."""
        return self.model.factors

    def take_delayeds(
        self, records: Records, *, seconds: float, keep: float, missing: int, time_share: float
    ) -> None:
        """Add the delayeds of ``seconds``; earlier ones keep the share ``keep`` of their weight.

        Parameters
        ----------
        records : (n,) ``COINCIDENCE`` records of the delayed windows
        seconds : detector time in which they came, s
        keep : share of the weight that earlier delayeds keep, 0..1
        missing : number of delayeds of that time that were lost
        time_share : time over the image's exposure
        """
        self.time_share = time_share
        self.delayeds += len(records) + missing
        made_up = 1.0 + missing / len(records) if len(records) else 1.0
        self._fans *= keep
        self._fans += made_up * fan_counts(records, len(self._fans))
        self._fans_s = self._fans_s * keep + seconds
        self._unused_s += seconds
        self._unused += len(records)
        counted = self._fans.sum() / 2
        due = self._unused_s >= RANDOMS_EVERY_S or self._unused > RANDOMS_GROWTH * counted
        if self.with_randoms and counted > 0 and due:
            self._unused, self._unused_s = 0, 0.0
            self.randoms = CrystalRandoms.of_delayeds(
                self._fans,
                self.system,
                duration_s=self._fans_s,
                delayed_factor=self._delayed_factor,
            )

    def take_past_delayeds(self, records: Records, *, seconds: float, share: float) -> None:
        """Add the delayeds of ``seconds`` before all others, with a share of their weight."""
        self.delayeds += len(records)
        self._fans += share * fan_counts(records, len(self._fans))
        self._fans_s += share * seconds
        self._unused += len(records)

    def switch_randoms(self, *, on: bool) -> None:
        """Correct for randoms from now on, or leave them in the image."""
        self.with_randoms = on
        self._unused_s = RANDOMS_EVERY_S
        if not on:
            self.randoms = None

    def columns(self, records: Records) -> Columns:
        """Return the records and the factors of their lines, except the gain."""
        located = self.model.locate(records) if self._has_factors else None
        return records, self._beyond_gain(records, located)

    def events(self, columns: Columns, weight: F4) -> EventList:
        """Return the events; those on lines without sensitivity have weight 0."""
        return self._events(columns, self.model.locate(columns[0]), weight)

    def taken_in(self, records: Records, weight: F4) -> tuple[Columns, EventList]:
        """Return both, locating the lines once."""
        located = self.model.locate(records)
        columns = records, self._beyond_gain(records, located)
        return columns, self._events(columns, located, weight)

    def _events(self, columns: Columns, located: LocatedEvents, weight: F4) -> EventList:
        records, beyond_gain = columns
        seen = located.gain * beyond_gain
        visible = seen > 0
        addend = np.zeros(len(records), dtype=np.float32)
        # each is read once: jobs call this beside the image
        randoms, of_decays = self.randoms, (self.scatter, self.prompt_gamma)
        if randoms is not None:
            addend += randoms.of_records(records, located) * np.float32(self.time_share)
        for rate in of_decays:
            if rate is not None:
                addend += rate.of_records(records, located)
        np.divide(addend, seen, out=addend, where=visible)
        return EventList(located.lors, np.where(visible, weight, np.float32(0.0)), addend)

    @property
    def _has_factors(self) -> bool:
        return bool(self.model.factors) or self.model.mu is not None

    def _beyond_gain(self, records: Records, located: LocatedEvents | None) -> F4:
        if located is None or not self._has_factors:
            return np.ones(len(records), dtype=np.float32)
        seen = self.model.multiplicative(records, located)
        return np.asarray(seen / np.maximum(located.gain, 1e-30), dtype=np.float32)
