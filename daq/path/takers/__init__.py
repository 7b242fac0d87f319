"""The consumers of a run's event path: every stream, count and table, listed once.

A live run and sorting again build the same list, so both yield the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from daq.folder.appended_file import AppendedFile
from daq.folder.listmode_log import ListmodeWriter
from daq.folder.singles_log import SinglesWriter, singles_head
from daq.path.pipeline import Output, Taker
from daq.path.takers.module_timing import ModuleTiming
from daq.path.takers.projections import projection_counter
from daq.path.takers.rates import RunRates
from daq.path.takers.statistics import RunStatistics
from daq.path.takers.streams import FurtherStreams, PairStream
from hw.messages.sort_settings import SortSettings
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry


class RunTakers(Taker):
    """All takers of one run's outputs, in this order; the logs are two of them.

    Parameters
    ----------
    stall_ps : the decoder's stall bound
    listmode, singles : logs to create, None for none; the latter only if there are windowed singles
    head : what the logs' heads say of the run
    """

    def __init__(
        self,
        scanner: Scanner,
        geometry: Geometry,
        settings: SortSettings,
        *,
        stall_ps: int,
        listmode: Path | None = None,
        singles: Path | None = None,
        head: dict[str, Any] | None = None,
    ) -> None:
        """Create the logs; raises StorageError."""
        head = head or {}
        pair_log = ListmodeWriter(listmode, head) if listmode else None
        singles_log = (
            SinglesWriter(singles, singles_head(head, settings))
            if singles and settings.singles_windows
            else None
        )
        self._logs = [log for log in (pair_log, singles_log) if log]
        self.pairs = PairStream(settings, pair_log)
        self.streams = FurtherStreams(settings, listmode=pair_log, singles=singles_log)
        self.rates = RunRates(scanner.n_modules, settings)
        self.statistics = RunStatistics(scanner, geometry, settings, stall_ps=stall_ps)
        self.timing = ModuleTiming(settings, geometry.crystal_module)
        self.projections = projection_counter(scanner, settings)

    def __iter__(self) -> Iterator[Taker]:
        """Yield the takers in the order in which they take an output."""
        yield from (self.pairs, self.streams, self.rates, self.statistics, self.timing)
        if self.projections is not None:
            yield self.projections

    def take(self, output: Output) -> None:
        for taker in self:
            taker.take(output)

    def finish(self) -> None:
        for taker in self:
            taker.finish()

    def summary(self) -> dict[str, Any]:
        return {key: value for taker in self for key, value in taker.summary().items()}

    def save(self, folder: Path) -> None:
        for taker in self:
            taker.save(folder)

    @property
    def files(self) -> list[AppendedFile]:
        """The logs' open files."""
        return [log.file for log in self._logs]

    def close_logs(self, end: dict[str, Any]) -> None:
        """Write totals (``end``: the list-mode log's) and close the logs; raises StorageError."""
        self.pairs.close(end)
        self.streams.close()

    def abandon_logs(self) -> None:
        """Close the logs as they are."""
        for log in self._logs:
            log.abandon()
