"""Planar pictures of a SPECT run: windowed singles per crystal, in all and in the last seconds.

Plain counts, not corrected for uniformity, scatter or collimator. Memory is fixed: one array of all
pictures and one more for each second of the recent past. Windows or crystals beyond ``MOST_CELLS``
are left out of the pictures, never of the logs; the number of windows shows it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from coincidence import events
from coincidence.events import WINDOW_SHIFT, as_words
from daq.folder.run_folder import write_arrays
from daq.path.pipeline import Output, Taker
from daq.path.takers.rates import Recent
from hw.arrays import Array
from hw.jit import kernel
from hw.messages.pictures import Projections
from hw.messages.sort_settings import SortSettings
from hw.scanner.description import Scanner

FILE_NAME = "projections.npz"
RECENT_S = 5
"""The recent pictures cover the last 5 s of detector time, or less at the start."""

MOST_CELLS = 1 << 21
"""Windows × crystals: 8 MiB of counts. 63 windows of 8 heads of 4096 crystals just fit."""

_STEP_PS = 1_000_000_000_000
_NUMBER_SHIFT = np.uint64(events.FLAGS_SHIFT + WINDOW_SHIFT)
_NUMBER_MASK = np.uint64(events.BYTE_FIELD >> WINDOW_SHIFT)
_CRYSTAL_FIELD = np.uint64(events.CRYSTAL_FIELD)

Counts = npt.NDArray[np.uint32]


@kernel
def count_pictures(words: Array, counts: Array) -> int:
    """Count windowed singles into ``counts`` (windows, crystals) u4; return how many were counted.

    ``words`` : (n, 2) i8, singles as words, with the window's number in their flags
    """
    n = 0
    for i in range(words.shape[0]):
        word = np.uint64(words[i, 1])
        window = np.int64((word >> _NUMBER_SHIFT) & _NUMBER_MASK) - 1
        crystal = np.int64(word & _CRYSTAL_FIELD)
        if 0 <= window < counts.shape[0] and crystal < counts.shape[1]:
            counts[window, crystal] += np.uint32(1)
            n += 1
    return n


class ProjectionCounter(Taker):
    """Accumulates a run's pictures of windowed singles.

    counts : (windows, crystals) u4 since the start
    """

    def __init__(self, scanner: Scanner, settings: SortSettings) -> None:
        room = MOST_CELLS // scanner.n_crystals
        self.windows = tuple(w.name for w in settings.singles_windows[:room])
        self._scanner = scanner
        self.counts: Counts = np.zeros((len(self.windows), scanner.n_crystals), np.uint32)
        self._recent = Recent(self.counts.copy(), span_ps=RECENT_S * _STEP_PS, step_ps=_STEP_PS)
        self._watermark_ps = 0
        self._published = 0

    def take(self, output: Output) -> None:
        self.observe(output.singles, output.watermark_ps)

    def observe(self, singles: npt.NDArray[np.void], watermark_ps: int) -> None:
        """Add windowed singles, complete up to a watermark."""
        count_pictures(as_words(singles), self.counts)
        self._watermark_ps = max(self._watermark_ps, watermark_ps)
        if self._recent.due(self._watermark_ps):
            self._recent.add(self._watermark_ps, self.counts.copy())

    def recent(self) -> tuple[Counts, float]:
        """Return the counts of the last seconds (windows, crystals) u4, and how many seconds."""
        (begin_ps, before), _ = self._recent.ends(RECENT_S * _STEP_PS)
        return self.counts - before, max(0, self._watermark_ps - begin_ps) * 1e-12

    def message(self, run: str, *, angles_deg: list[float | None], wall_ns: int) -> Projections:
        """Return the pictures as they are published."""
        self._published += 1
        block, (recent, recent_s) = self._scanner.module, self.recent()
        return Projections(
            run=run,
            sequence=self._published,
            windows=list(self.windows),
            modules=self._scanner.n_modules,
            n_u=block.n_u,
            n_v=block.n_v,
            pitch_mm=(block.pitch_u_mm, block.pitch_v_mm),
            counts=self.counts.tobytes(),
            recent=recent.tobytes(),
            detector_time_s=self._watermark_ps * 1e-12,
            recent_s=recent_s,
            angles_deg=angles_deg,
            published_wall_ns=wall_ns,
        )

    def save(self, folder: Path) -> None:
        block = self._scanner.module
        shape = (len(self.windows), self._scanner.n_modules, block.n_v, block.n_u)
        write_arrays(
            folder / FILE_NAME,
            compressed=True,
            counts=self.counts.reshape(shape),
            windows=np.array(self.windows, dtype=np.str_),
            pitch_mm=np.array([block.pitch_u_mm, block.pitch_v_mm]),
            detector_s=self._watermark_ps * 1e-12,
        )


def projection_counter(scanner: Scanner, settings: SortSettings) -> ProjectionCounter | None:
    """Return the counter of a run's pictures; None if it is not a SPECT run."""
    if scanner.modality != "SPECT" or not settings.singles_windows:
        return None
    return ProjectionCounter(scanner, settings)
