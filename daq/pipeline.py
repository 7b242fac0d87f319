"""The event path of one run: frames → raw log → singles → order → prompts and delayeds.

The same object serves a live run, a replay and a re-sort; only the raw log writer differs (None
in a replay). No I/O but the logs, no clock, no thread.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration, no_calibration
from coincidence.events import END_OF_TIME_PS, SINGLE, TRIPLE
from coincidence.order import TimeOrder
from coincidence.select import (
    SPECTRUM_BINS,
    empty_singles,
    select_singles,
    window_dkeV,
)
from coincidence.sorter import CoincidenceSorter
from daq.blocks import BlockKind
from daq.decode import DEFAULT_STALL_PS, Decoder
from daq.frame_check import FrameChecker
from daq.listmode import ListmodeHash, ListmodeWriter
from daq.rawlog import RawLogWriter
from hw.geometry import Geometry, allowed_module_pairs
from hw.messages import Telemetry
from hw.protocol import HEADER_BYTES, TICK_PS_NUM, TICK_PS_SHIFT, WORD_BYTES
from hw.scanner import Scanner
from hw.settings import SortSettings

Records = npt.NDArray[np.void]
TICK_PS = TICK_PS_NUM / 2**TICK_PS_SHIFT


@dataclass(frozen=True)
class Output:
    """What one batch of frames yielded.

    prompts, delayeds : (n,) COINCIDENCE
    accepted : (n,) SINGLE, those accepted in a coincidence window that became final, in order of
        time; valid until the next batch
    singles : (n,) SINGLE, windowed singles, in order of time
    triples : (n,) TRIPLE
    """

    prompts: Records
    delayeds: Records
    watermark_ps: int
    accepted: Records
    singles: Records
    triples: Records


class Pipeline:
    """Checks, logs, decodes, selects, orders and pairs; counts everything on the way."""

    def __init__(
        self,
        scanner: Scanner,
        geometry: Geometry,
        settings: SortSettings,
        *,
        run_tag: int,
        calibration: Calibration | None = None,
        stall_ps: int = DEFAULT_STALL_PS,
        raw_log: RawLogWriter | None = None,
        listmode: ListmodeWriter | None = None,
    ) -> None:
        self.settings = settings
        self.checker = FrameChecker(n_modules=scanner.n_modules, run_tag=run_tag)
        self.decoder = Decoder(
            n_modules=scanner.n_modules,
            crystals_per_module=scanner.crystals_per_module,
            stall_ps=stall_ps,
        )
        self.accepted = np.zeros(scanner.n_modules, dtype=np.int64)
        self.spectrum = np.zeros(SPECTRUM_BINS, dtype=np.int64)
        self.timing = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_delayed = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_bin_ps = timing_bin_ps(settings.window_ps)
        self.digest = ListmodeHash()
        self.sorter = CoincidenceSorter(
            settings,
            module_of=geometry.crystal_module,
            allowed_pairs=pairs_in_view(scanner, settings.min_sector_difference),
        )
        self.order = TimeOrder()
        self._module_of = geometry.crystal_module
        self._calibration = calibration or no_calibration(scanner.n_crystals)
        self._calibration.check_fits(scanner.n_crystals)
        self._window_dkeV = window_dkeV(settings.lld_keV, settings.uld_keV)
        self._raw_log = raw_log
        self._listmode = listmode
        self._decoded = empty_singles(1 << 14)

    def process(self, frames: Sequence[bytes | memoryview]) -> Output:
        """Take a batch of frames as received; return the coincidences that became final."""
        checked = self.checker.check(frames)
        if self._raw_log is not None:
            self._raw_log.append(checked)
        words = (len(checked.payload) - HEADER_BYTES * len(checked)) // WORD_BYTES
        if words > len(self._decoded):
            self._decoded = empty_singles(2 * words)
        count = self.decoder.decode(checked, self._decoded)
        space = self.order.free_space(count)
        new = select_singles(
            self._decoded[:count], self._calibration.gain, self._calibration.skew_ps,
            *self._window_dkeV, self._module_of, space, self.accepted, self.spectrum,
        )  # fmt: skip
        watermark_ps = self.decoder.watermark_ps
        horizon_ps = watermark_ps - self._calibration.margin_ps
        singles = self.order.release(new, horizon_ps)
        return self._emit(singles, *self.sorter.push(singles, horizon_ps), watermark_ps)

    def finish(self) -> Output:
        """Resolve everything still held: the run is over, nothing more will come."""
        singles = self.order.release(0, int(END_OF_TIME_PS))
        first = self.sorter.push(singles, int(END_OF_TIME_PS))
        return self._emit(singles, *first, self.decoder.newest_ps)

    def _emit(
        self, accepted: Records, prompts: Records, delayeds: Records, watermark_ps: int
    ) -> Output:
        for kind, records, timing in (
            (BlockKind.PROMPTS, prompts, self.timing),
            (BlockKind.DELAYEDS, delayeds, self.timing_delayed),
        ):
            self.digest.add(kind, records)
            timing += self._timing_histogram(records)
            if self._listmode is not None:
                self._listmode.append(kind, records)
        return Output(
            prompts, delayeds, min(watermark_ps, self.decoder.newest_ps), accepted,
            np.empty(0, SINGLE), np.empty(0, TRIPLE),
        )  # fmt: skip

    def _timing_histogram(self, records: Records) -> npt.NDArray[np.int64]:
        bins = Telemetry.TIMING_BINS
        index = np.floor(records["tof_ps"] / self.timing_bin_ps + bins / 2).astype(np.int64)
        return np.bincount(np.clip(index, 0, bins - 1), minlength=bins)


def timing_bin_ps(window_ps: int) -> float:
    """Return the bin of the Δt histogram: an odd number of ticks, so that no bin holds more of
    the possible differences than another; the histogram reaches beyond ±τ."""
    ticks = 2.4 * window_ps / Telemetry.TIMING_BINS / TICK_PS
    return max(5, 2 * math.ceil(ticks / 2) + 1) * TICK_PS


def pairs_in_view(scanner: Scanner, min_sector_difference: int) -> npt.NDArray[np.bool_]:
    """Return the allowed module pairs, (m, m) bool; a module never pairs with itself."""
    allowed = allowed_module_pairs(scanner, min_sector_difference=min_sector_difference)
    return allowed & ~np.eye(len(allowed), dtype=np.bool_)
