"""The run's further streams: windowed singles, triples and gantry angles, hashed and logged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from coincidence.events import WINDOW_SHIFT
from coincidence.tew import tew_of_run
from daq.folder.blocks import BlockKind
from daq.folder.listmode_log import ListmodeWriter, Records, RecordsHash
from daq.folder.singles_log import SinglesWriter
from daq.path.takers.rates import ModuleMeter
from hw.messages.sort_settings import SortSettings

if TYPE_CHECKING:
    from daq.path.pipeline import Output


class FurtherStreams:
    """Logs and counts a run's windowed singles, triples and angles, batch by batch.

    They depend on the raw log and the settings only, so a replay comes to the same hashes.
    """

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
        """Log and count what a batch of frames yielded; raises StorageError."""
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
        """Return the keys of the run's summary; docs/file-format.md explains them."""
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

    def abandon(self) -> None:
        """Close the singles log as it is."""
        if self._singles is not None:
            self._singles.abandon()
