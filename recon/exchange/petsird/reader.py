"""Reads PETSIRD list mode: the header, then the coincidences as our records, in parts.

Times are those of the blocks: PETSIRD has no others. The events of a block are spread evenly over
it in their order. Bins become the crystals that :mod:`recon.exchange.petsird.scanner_fit` finds for
them; an energy becomes the middle of its bin, a time difference that of its TOF bin, 0 where there
is only one.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE, FLAG_DELAYED
from hw.arrays import F8
from hw.bounded_files import regular_file
from recon.core.tof import HALF_C_MM_PER_PS
from recon.exchange.errors import ExchangeError
from recon.exchange.event_parts import Part
from recon.exchange.petsird.time_blocks import DONE, FULL, OTHER, TORN, decode_blocks
from recon.exchange.petsird.versions import NEWEST, schema_of
from recon.exchange.petsird.yardl import Schema, YardlError, read_opening

ROWS = 1 << 20
MOST_KEV, MOST_TOF_MM = 1e5, 1e5
_MOVEMENTS = {2: "bed movement", 3: "gantry movement"}


@dataclass
class Skipped:
    """What a file holds that is not read, counted by kind."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, number: int = 1) -> None:
        """Count something skipped."""
        if number:
            self.counts[what] = self.counts.get(what, 0) + number


@dataclass(frozen=True)
class BinMap:
    """What detection bins, energy bins and TOF bins stand for.

    crystal, doi : of each detecting element of each module (module · elements + element)
    energy_dkeV : (energy bins,) the middle of each in 0.1 keV
    tof_ps : (TOF bins,) t_first − t_second, the middle of each
    """

    crystal: npt.NDArray[np.uint32]
    doi: npt.NDArray[np.uint8]
    energy_dkeV: npt.NDArray[np.uint16]
    tof_ps: npt.NDArray[np.int32]


class PetsirdFile:
    """An open file; ``header`` is its first step, :meth:`parts` reads the rest.

    ``skipped`` counts what was left out, ``until_ms`` is the end of the last block read.
    """

    def __init__(self, path: Path) -> None:
        """Open and read the header; raises ExchangeError if it is not PETSIRD."""
        self.path = path
        self.skipped = Skipped()
        self.until_ms = 0
        try:
            with regular_file(path) as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise ExchangeError(f"{path} cannot be read: {error}; give a PETSIRD file") from error
        self._view = memoryview(self._map)
        try:
            self.schema, at = read_opening(self._view)
            self.header: dict[str, Any]
            self.header, self._at = self.schema.codec("PETSIRD.Header").read(self._view, at)
            _check_schema(self.schema)
        except ExchangeError as error:
            self.close()
            raise ExchangeError(f"{path}: {error}") from error

    def __enter__(self) -> PetsirdFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._view.release()
        self._map.close()

    def parts(
        self, bins: BinMap, *, progress: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[Part]:
        """Yield prompts and delayeds as records, in the order of the file.

        progress : called with the bytes read and the total

        Raises
        ------
        ExchangeError
            if the file ends too early or the scanner moves during the scan.
        """
        data = np.frombuffer(self._view, np.uint8)
        n_bins = len(bins.crystal) * len(bins.energy_dkeV)
        state = np.array([self._at, 0, 0, 0], np.int64)
        rows, number = np.empty((ROWS, 5), np.int64), np.zeros(1, np.int64)
        try:
            while True:
                why = decode_blocks(data, state, rows, number, n_bins)
                if why == TORN:
                    raise ExchangeError(
                        f"{self.path} ends, or is damaged, at byte {state[0]} of {len(data)}: copy "
                        "it again"
                    )
                if why == FULL and not number[0]:
                    rows = np.empty((2 * len(rows), 5), np.int64)
                    continue
                found = rows[: number[0]]
                yield False, records_of(found[found[:, 0] >= 0], bins)
                yield True, records_of(found[found[:, 0] < 0], bins, delayed=True)
                number[0] = 0
                progress(int(state[0]), len(data))
                if why == OTHER:
                    yield from self._other(state, bins)
                if why == DONE:
                    break
        finally:
            del data
        self.until_ms = int(state[2])
        self.skipped.add("coincidences of bins that the scanner does not have", int(state[3]))

    def _other(self, state: npt.NDArray[np.int64], bins: BinMap) -> Iterator[Part]:
        """Read one block that holds more than plain coincidences."""
        block = self.schema.codec("PETSIRD.TimeBlock")
        (case, value), at = block.read(self._view, int(state[0]))
        state[0], state[1] = at, state[1] - 1
        if case in _MOVEMENTS:
            raise ExchangeError(
                f"{self.path} has a {_MOVEMENTS[case]} at {value['timeInterval']['start']} ms: "
                "only scans at rest are read"
            )
        if case != 0:
            self.skipped.add("blocks of signals, dead times and singles histograms")
            return
        self.skipped.add("singles", sum(map(len, value["singleEvents"])))
        self.skipped.add("blocks with triples or more", bool(value["tripleEvents"]))
        time = value["timeInterval"]
        for delayed, name in ((False, "promptEvents"), (True, "delayedEvents")):
            events = [event for row in value[name] for pairs in row for event in pairs]
            found = np.array(
                [[time["start"], time["stop"], *e["detectionBins"], e["tofIdx"]] for e in events],
                np.int64,
            ).reshape(-1, 5)
            known = (found[:, 2:4] < len(bins.crystal) * len(bins.energy_dkeV)).all(axis=1)
            state[3] += int((~known).sum())
            state[2] = max(int(state[2]), time["stop"])
            yield delayed, records_of(found[known], bins, delayed=delayed)


def _check_schema(schema: Schema) -> None:
    """Raise if the file's event blocks have types that the kernels cannot read."""
    ours = schema_of(NEWEST)
    same = schema.shape("PETSIRD.EventTimeBlock") == ours.shape("PETSIRD.EventTimeBlock")
    if not same or _blocks(schema) != _blocks(ours):
        raise YardlError(
            "its blocks of events are not those of PETSIRD 0.9 to 0.12: rewrite it with the "
            "petsird package of one of these versions"
        )


def _blocks(schema: Schema) -> list[str]:
    """Return the kinds of time blocks in the order of their case numbers."""
    found = schema.definition("TimeBlock")
    return [case["tag"] for case in found["type"]] if found else []


def records_of(
    rows: npt.NDArray[np.int64], bins: BinMap, *, delayed: bool = False
) -> npt.NDArray[np.void]:
    """Return decoded rows (time_blocks.decode_blocks) as ``COINCIDENCE`` records."""
    records = np.zeros(len(rows), COINCIDENCE)
    if not len(rows):
        return records
    start, stop = np.where(rows[:, 0] < 0, -1 - rows[:, 0], rows[:, 0]), rows[:, 1]
    records["time_ps"] = _spread(start, stop)
    n_energy = len(bins.energy_dkeV)
    first, first_energy = np.divmod(rows[:, 2], n_energy)
    second, second_energy = np.divmod(rows[:, 3], n_energy)
    tof_ps = bins.tof_ps[np.minimum(rows[:, 4], len(bins.tof_ps) - 1)]
    turned = bins.crystal[first] < bins.crystal[second]
    a, b = np.where(turned, first, second), np.where(turned, second, first)
    records["crystal_a"], records["crystal_b"] = bins.crystal[a], bins.crystal[b]
    records["doi_a"], records["doi_b"] = bins.doi[a], bins.doi[b]
    records["tof_ps"] = np.where(turned, -tof_ps, tof_ps)
    energy_a = np.where(turned, first_energy, second_energy)
    energy_b = np.where(turned, second_energy, first_energy)
    records["energy_a"], records["energy_b"] = (
        bins.energy_dkeV[energy_a],
        bins.energy_dkeV[energy_b],
    )
    records["flags"] = FLAG_DELAYED if delayed else 0
    return records


def _spread(
    start_ms: npt.NDArray[np.int64], stop_ms: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return times (ps) spread evenly over each block, in the order of the events."""
    new = np.flatnonzero(np.diff(start_ms, prepend=start_ms[0] - 1))
    count = np.diff(new, append=len(start_ms))
    place = np.arange(len(start_ms)) - np.repeat(new, count)
    length_ps = (stop_ms - start_ms) * 1_000_000_000
    return start_ms * 1_000_000_000 + length_ps * (2 * place + 1) // (2 * np.repeat(count, count))


def energy_middles(edges_keV: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint16]:
    """Return the middle of each energy bin in 0.1 keV; a single 0 if there are no edges."""
    if len(edges_keV) < 2:
        return np.zeros(1, np.uint16)
    middles_keV = _middles(edges_keV, MOST_KEV, "energy")
    return np.clip(np.rint(middles_keV * 10), 0, 65535).astype(np.uint16)


def tof_middles(edges_mm: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.int32]:
    """Return t_first − t_second (ps) in the middle of each TOF bin; 0 for a single bin."""
    if len(edges_mm) < 3:
        return np.zeros(1, np.int32)
    middles_mm = _middles(edges_mm, MOST_TOF_MM, "time-of-flight")
    return np.rint(middles_mm / HALF_C_MM_PER_PS).astype(np.int32)


def _middles(edges: npt.NDArray[np.floating[Any]], most: float, what: str) -> F8:
    """Return the middles of bins; edges must ascend and number at most ``most``."""
    found = np.asarray(edges, np.float64)
    if not ((np.abs(found) <= most).all() and (np.diff(found) > 0).all()):
        raise ExchangeError(
            f"the edges of the {what} bins do not ascend within ±{most:g}: the file is damaged"
        )
    return np.asarray((found[1:] + found[:-1]) / 2)
