"""The event path of one run: frames → raw log → singles → order → prompts and delayeds.

The same object serves a live run, a replay and a re-sort; only the raw log writer differs (None
in a replay). Three stages in a row, each with state of its own, so that each may have a thread of
its own (``stream``): *take* checks, logs and decodes frames, calibrates and selects; *arrange*
orders; *pair* pairs and writes the list-mode log. No clock, no I/O but the logs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from coincidence.events import ANGLE, END_OF_TIME_PS, SINGLE, Records, Rotation
from coincidence.order import TimeOrder
from coincidence.select import Calibration, Selector, no_calibration, window_table
from coincidence.sorter import CoincidenceSorter, count_timing
from daq.folder.blocks import BlockKind
from daq.folder.listmode_log import ListmodeHash, ListmodeWriter
from daq.folder.raw_log import RawLogWriter
from daq.path.angles import angle_track
from daq.path.decode import DEFAULT_STALL_PS, Decoder
from daq.path.frame_check import CheckedFrames, FrameChecker
from daq.path.stage_threads import run_stages
from hw.messages.sort_settings import SortSettings
from hw.messages.telemetry import Telemetry
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, allowed_module_pairs
from hw.wire.protocol import HEADER_BYTES, TICK_PS_NUM, TICK_PS_SHIFT, WORD_BYTES

TICK_PS = TICK_PS_NUM / 2**TICK_PS_SHIFT
Frames = Sequence[bytes | memoryview]

_NO_ANGLES: Records = np.empty(0, ANGLE)
_DEPTH = 5  # arrays in flight: one made, two waiting between threads, one used, one to spare


@dataclass(frozen=True)
class Taken:
    """A batch after the first stage: its accepted frames, the singles of them in any energy
    window, calibrated, and the angles that they told, both in order of arrival."""

    checked: CheckedFrames
    watermarks_ps: npt.NDArray[np.int64]
    singles: Records
    angles: Records
    watermark_ps: int
    newest_ps: int


@dataclass(frozen=True)
class Arranged:
    """A batch after the second stage: singles that became final, in order of time.

    accepted : those in a coincidence window; singles : the windowed ones
    """

    taken: Taken
    accepted: Records
    singles: Records
    horizon_ps: int


@dataclass(frozen=True)
class Output:
    """What one batch of frames yielded.

    prompts, delayeds : (n,) COINCIDENCE
    accepted : (n,) SINGLE, those accepted in a coincidence window that became final, in order of
        time; valid until the next batch
    singles : (n,) SINGLE, windowed singles, in order of time; valid until the next batch
    triples : (n,) TRIPLE
    angles : (n,) ANGLE, where modules that move stood, in order of arrival; a module's in order of
        time. All that ``singles`` need came with them or before
    checked : the n frames that were accepted
    watermarks_ps : (n + 1,) i8, the watermark before each of them, and after the last
    """

    prompts: Records
    delayeds: Records
    watermark_ps: int
    accepted: Records
    singles: Records
    triples: Records
    angles: Records
    checked: CheckedFrames
    watermarks_ps: npt.NDArray[np.int64]


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
        calibration = calibration or no_calibration(scanner.n_crystals)
        self.settings = settings
        self.checker = FrameChecker(n_modules=scanner.n_modules, run_tag=run_tag)
        self.decoder = Decoder(
            n_modules=scanner.n_modules,
            crystals_per_module=scanner.crystals_per_module,
            stall_ps=stall_ps,
            crystal_map=calibration.crystal_map,
        )
        self.selector = Selector(
            calibration,
            window_table(settings, scanner.n_modules),
            geometry.crystal_module,
            depth=_DEPTH,
        )
        self.angles = angle_track(scanner)
        self.order = TimeOrder(depth=_DEPTH)
        self.sorter = CoincidenceSorter(
            settings,
            module_of=geometry.crystal_module,
            allowed_pairs=pairs_in_view(scanner, settings.min_sector_difference),
        )
        self.timing = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_delayed = np.zeros(Telemetry.TIMING_BINS, dtype=np.int64)
        self.timing_bin_ps = timing_bin_ps(settings.window_ps)
        self.digest = ListmodeHash()
        self._margin_ps = calibration.margin_ps
        self._raw_log = raw_log
        self._listmode = listmode
        self._decoded = Rotation(SINGLE, depth=1)

    @property
    def accepted(self) -> npt.NDArray[np.int64]:
        """Singles accepted in a coincidence window, per module."""
        return self.selector.accepted

    @property
    def spectrum(self) -> npt.NDArray[np.int64]:
        """Calibrated energies of all singles, (256,)."""
        return self.selector.spectrum

    def process(self, frames: Frames) -> Output:
        """Take a batch of frames as received; return the coincidences that became final."""
        return self.pair(self.arrange(self.take(frames)))

    def stream(self, batches: Iterable[Frames], *, threads: int = 1) -> Iterator[Output]:
        """Yield :meth:`process` of each batch; with ``threads`` > 1 the stages share the cores."""
        return run_stages(batches, (self.take, self.arrange, self.pair), threads=threads)

    def take(self, frames: Frames) -> Taken:
        """First stage: check, log and decode frames, calibrate and select their singles."""
        checked = self.checker.check(frames)
        if self._raw_log is not None:
            self._raw_log.append(checked.payload, frames=len(checked))
        words = (len(checked.payload) - HEADER_BYTES * len(checked)) // WORD_BYTES
        out = self._decoded.next(words)
        count = self.decoder.decode(checked, out)
        angles = self.angles.take(checked) if self.angles else _NO_ANGLES
        return Taken(
            checked, self.decoder.watermarks_ps, self.selector.select(out[:count]), angles,
            self.decoder.watermark_ps, self.decoder.newest_ps,
        )  # fmt: skip

    def arrange(self, taken: Taken) -> Arranged:
        """Second stage: order what is final."""
        return self._arranged(taken, taken.watermark_ps - self._margin_ps)

    def pair(self, arranged: Arranged) -> Output:
        """Third stage: pair, count and write."""
        taken = arranged.taken
        found = self.sorter.push(arranged.accepted, arranged.horizon_ps)
        for kind, records, timing in (
            (BlockKind.PROMPTS, found.prompts, self.timing),
            (BlockKind.DELAYEDS, found.delayeds, self.timing_delayed),
        ):
            self.digest.add(kind, records)
            count_timing(records, self.timing_bin_ps, timing)
            if self._listmode is not None:
                self._listmode.append(kind, records)
        return Output(
            prompts=found.prompts,
            delayeds=found.delayeds,
            watermark_ps=min(taken.watermark_ps, taken.newest_ps),
            accepted=arranged.accepted,
            singles=arranged.singles,
            triples=found.triples,
            angles=taken.angles,
            checked=taken.checked,
            watermarks_ps=taken.watermarks_ps,
        )

    def finish(self) -> Output:
        """Resolve everything still held: the run is over, nothing more will come."""
        nothing = self.checker.check([])
        newest_ps = self.decoder.newest_ps
        marks = np.array([self.decoder.watermark_ps])
        none = np.empty(0, SINGLE)
        taken = Taken(nothing, marks, none, _NO_ANGLES, newest_ps, newest_ps)
        return self.pair(self._arranged(taken, int(END_OF_TIME_PS)))

    def _arranged(self, taken: Taken, horizon_ps: int) -> Arranged:
        ordered = self.order.release(taken.singles, horizon_ps)
        return Arranged(taken, *self.selector.split(ordered), horizon_ps)


def timing_bin_ps(window_ps: int) -> float:
    """Return the bin of the Δt histogram: an odd number of ticks, so that no bin holds more of
    the possible differences than another; the histogram reaches beyond ±τ."""
    ticks = 2.4 * window_ps / Telemetry.TIMING_BINS / TICK_PS
    return max(5, 2 * math.ceil(ticks / 2) + 1) * TICK_PS


def pairs_in_view(scanner: Scanner, min_sector_difference: int) -> npt.NDArray[np.bool_]:
    """Return the allowed module pairs, (m, m) bool; a module never pairs with itself."""
    allowed = allowed_module_pairs(scanner, min_sector_difference=min_sector_difference)
    return allowed & ~np.eye(len(allowed), dtype=np.bool_)
