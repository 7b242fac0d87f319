"""PETsys TOFPET2 lists (.ldat) as convert_raw_to_group and convert_raw_to_coincidence write them.

A group is the hits of one photon: records of hits in the group (u1), index (u1), time in ps (i8),
charge (f4), channel (i4), little-endian, packed. The strongest hit comes first. A group becomes one
event: the strongest hit's channel, the earliest hit's time, the sum of the charges.

A coincidence file has two such records side by side, and every hit of the one group with every hit
of the other: 36 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from daq.importers.streams.foreign_list import Events, ForeignList, made

HIT = np.dtype([("hits", "u1"), ("index", "u1"), ("time_ps", "<i8"), ("charge", "<f4"),
                ("channel", "<i4")])  # fmt: skip
PAIR = np.dtype([("a", HIT), ("b", HIT)])


class PetsysGroups(ForeignList):
    """Groups of hits."""

    def pieces(self) -> Iterator[Events]:
        """Yield an event for each group."""
        rest = np.empty(0, HIT)
        for records in self._records(HIT):
            rest = np.concatenate([rest, records])
            starts = np.flatnonzero(rest["index"] == 0)
            if len(starts) > 1:
                yield self._events(rest[: starts[-1]])
                rest = rest[starts[-1] :]
        yield self._events(rest)

    def _events(self, hits: Events) -> Events:
        """Return the events of whole groups; groups that lack a hit are counted."""
        starts = np.flatnonzero(hits["index"] == 0)
        lone = int(starts[0]) if len(starts) else len(hits)
        self.count("hits without the first of their group", lone)
        hits, starts = hits[lone:], starts - lone
        if not len(starts):
            return made([], [], [])
        lengths = np.diff(starts, append=len(hits))
        steps = np.arange(len(hits)) - np.repeat(starts, lengths)
        in_order = np.logical_and.reduceat(hits["index"] == steps, starts)
        whole = (lengths == hits["hits"][starts]) & in_order
        self.count("groups with hits that lack", int((~whole).sum()))
        return made(
            np.minimum.reduceat(hits["time_ps"], starts),
            hits["channel"][starts],
            np.add.reduceat(hits["charge"].astype(np.float64), starts),
        )[whole]


class PetsysPairs(PetsysGroups):
    """Coincidences: each group once."""

    def pieces(self) -> Iterator[Events]:
        """Yield an event for each group of each pair."""
        rest = np.empty(0, PAIR)
        for rows in self._records(PAIR):
            rest = np.concatenate([rest, rows])
            first = (rest["a"]["index"] == 0) & (rest["b"]["index"] == 0)
            starts = np.flatnonzero(first)
            if len(starts) > 1:
                yield self._both(rest[: starts[-1]])
                rest = rest[starts[-1] :]
        yield self._both(rest)

    def _both(self, rows: Events) -> Events:
        sides = [rows[rows[of]["index"] == 0][side] for side, of in (("a", "b"), ("b", "a"))]
        return np.concatenate([self._events(side) for side in sides])
