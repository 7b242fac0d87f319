"""The run's streams of events, hashed and logged: prompts and delayeds; windowed singles, triples
and gantry angles. They depend only on the raw log and the settings: a replay has the same hashes.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np

from coincidence.events import WINDOW_SHIFT
from coincidence.sorter import count_timing
from coincidence.tew import tew_of_run
from daq.folder.listmode_log import ListmodeHash, ListmodeWriter, RecordsHash
from daq.folder.singles_log import SinglesWriter
from daq.path.pipeline import Output, Taker
from daq.path.takers.rates import ModuleMeter
from hw.arrays import Records
from hw.messages.sort_settings import SortSettings
from hw.messages.telemetry import Telemetry
from hw.wire.block_layout import BlockKind
from hw.wire.protocol import TICK_PS_NUM, TICK_PS_SHIFT

TICK_PS = TICK_PS_NUM / 2**TICK_PS_SHIFT


class PairStream(Taker):
    """Logs prompts and delayeds, hashes them and fills the histograms of their Δt.

    timing, timing_delayed : (TIMING_BINS,) i8, in bins of ``timing_bin_ps`` around 0
    """

    def __init__(self, settings: SortSettings, log: ListmodeWriter | None = None) -> None:
        self.timing = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_delayed = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_bin_ps = timing_bin_ps(settings.window_ps)
        self._digest = ListmodeHash()
        self._log = log

    def take(self, output: Output) -> None:
        for kind, records, timing in (
            (BlockKind.PROMPTS, output.prompts, self.timing),
            (BlockKind.DELAYEDS, output.delayeds, self.timing_delayed),
        ):
            self._digest.add(kind, records)
            count_timing(records, self.timing_bin_ps, timing)
            if self._log is not None:
                self._log.append(kind, records)

    def hash(self) -> str:
        """Return the identity of the prompts and delayeds so far."""
        return self._digest.hexdigest()

    def close(self, end: dict[str, Any]) -> None:
        """Write the log's totals and close it; raises StorageError."""
        if self._log is not None:
            self._log.close(end)


def timing_bin_ps(window_ps: int) -> float:
    """Return the bin of the Δt histogram: an odd number of ticks, so that no bin holds more of
    the possible differences than another; the histogram reaches beyond ±τ."""
    ticks = 2.4 * window_ps / Telemetry.TIMING_BINS / TICK_PS
    return max(5, 2 * math.ceil(ticks / 2) + 1) * TICK_PS


class FurtherStreams(Taker):
    """Logs and counts a run's windowed singles, triples and angles, batch by batch."""

    def __init__(
        self,
        settings: SortSettings,
        *,
        listmode: ListmodeWriter | None = None,
        singles: SinglesWriter | None = None,
    ) -> None:
        self._settings = settings
        self._names = [window.name for window in settings.singles_windows]
        self._counts = np.zeros(len(self._names) + 1, dtype=np.int64)
        self._meter = ModuleMeter(len(self._names))
        self._angles = 0
        self._listmode = listmode
        self._singles = singles
        self.digest = RecordsHash(BlockKind.SINGLES, BlockKind.TRIPLES, BlockKind.ANGLES)

    def take(self, output: Output) -> None:
        if len(output.angles):
            self._angles += len(output.angles)
            self.digest.add(BlockKind.ANGLES, output.angles)
            if self._singles is not None:
                self._singles.append(BlockKind.ANGLES, output.angles)
        if len(self._names):
            self._take_singles(output.singles)
            self._meter.observe(output.watermark_ps, self._counts[1:])
        if self._settings.triples:
            self.digest.add(BlockKind.TRIPLES, output.triples)
            if self._listmode is not None:
                self._listmode.append(BlockKind.TRIPLES, output.triples)

    def _take_singles(self, singles: Records) -> None:
        self.digest.add(BlockKind.SINGLES, singles)
        numbers = singles["flags"] >> WINDOW_SHIFT
        self._counts += np.bincount(numbers, minlength=len(self._counts))
        if self._singles is not None:
            self._singles.append(BlockKind.SINGLES, singles)

    def windows(self) -> dict[str, int]:
        """Return the singles counted in each window, by its name."""
        return {name: int(n) for name, n in zip(self._names, self._counts[1:], strict=True)}

    def rates(self) -> dict[str, float]:
        """Return the singles per second in each window over the last second of detector time."""
        return dict(zip(self._names, map(float, self._meter.rates()), strict=True))

    def summary(self) -> dict[str, Any]:
        estimates = tew_of_run(self._settings, self.windows())
        return {
            "windows": self.windows(),
            "tew": {name: msgspec.to_builtins(found) for name, found in estimates.items()},
            "singles_hash": self.digest.of(BlockKind.SINGLES) if self._names else "",
            "angles_hash": self.digest.of(BlockKind.ANGLES) if self._angles else "",
            "triples_hash": self.digest.of(BlockKind.TRIPLES) if self._settings.triples else "",
        }

    def close(self) -> None:
        """Write the singles log's totals and close it; raises StorageError."""
        if self._singles is not None:
            summary = self.summary()
            end = {"windows": summary["windows"], "hash": summary["singles_hash"]}
            if self._angles:
                end |= {"angles": self._angles, "angles_hash": summary["angles_hash"]}
            self._singles.close(end)
