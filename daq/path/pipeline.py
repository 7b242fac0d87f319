"""The event path of one run: frames → check → singles → order → prompts and delayeds.

The same object serves a live run, which logs what was checked before anything else is done with it,
a replay and sorting again. Three stages in a row, each with its own state, so that each can run in
its own thread (``stream``): *take* checks and decodes frames, then calibrates and selects singles;
*arrange* puts them in order; *pair* makes pairs. :mod:`daq.path.takers` handles the output. There
is no clock and no I/O.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration, no_calibration
from coincidence.events import ANGLE, END_OF_TIME_PS, SINGLE, Rotation
from coincidence.order import TimeOrder
from coincidence.select import Selector, window_table
from coincidence.sorter import CoincidenceSorter, SortCounts
from daq.path.angles import angle_track
from daq.path.decode import DEFAULT_STALL_PS, STATE_NAMES, Decoder
from daq.path.frame_check import CheckedFrames, FrameChecker
from daq.path.stage_threads import run_stages
from hw.arrays import Records
from hw.messages.sort_settings import SortSettings
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, allowed_module_pairs
from hw.wire.protocol import HEADER_BYTES, WORD_BYTES

Frames = Sequence[bytes | memoryview]

_NO_ANGLES: Records = np.empty(0, ANGLE)
_DEPTH = 5  # arrays in flight: one made, two waiting between threads, one used, one to spare


@dataclass(frozen=True)
class Progress:
    """How far a run had come when a batch left the first stage, counted since its start.

    watermark_ps, newest_ps : how far the frames of all live modules had come, and the newest of any
        module
    decoded : (modules,) i8, singles of each module
    accepted, windowed : singles in a coincidence window, and in windows for singles
    """

    watermark_ps: int
    newest_ps: int
    decoded: npt.NDArray[np.int64]
    accepted: int
    windowed: int


@dataclass(frozen=True)
class Taken:
    """A batch after the first stage: its accepted frames, their calibrated singles in any energy
    window, and the angles they reported, both in order of arrival.
    """

    checked: CheckedFrames
    horizons_ps: npt.NDArray[np.int64]
    singles: Records
    angles: Records
    horizon_ps: int
    progress: Progress


@dataclass(frozen=True)
class Arranged:
    """A batch after the second stage: the singles that became final, in order of time.

    accepted : those in a coincidence window; singles : the windowed ones
    """

    taken: Taken
    accepted: Records
    singles: Records


@dataclass(frozen=True)
class Output:
    """The results of one batch of frames.

    prompts, delayeds : (n,) COINCIDENCE
    accepted : (n,) SINGLE, those accepted in a coincidence window that became final, in order of
        time; valid until the next batch
    singles : (n,) SINGLE, windowed singles, in order of time; valid until the next batch
    triples : (n,) TRIPLE
    angles : (n,) ANGLE, of moving modules in order of arrival, each module's in order of time. All
        that ``singles`` need come with them or before
    checked : the n frames that were accepted
    horizons_ps : (n + 1,) i8, the horizon before each of them, and after the last
    """

    prompts: Records
    delayeds: Records
    accepted: Records
    singles: Records
    triples: Records
    angles: Records
    checked: CheckedFrames
    horizons_ps: npt.NDArray[np.int64]
    progress: Progress

    @property
    def watermark_ps(self) -> int:
        """How far the frames of all live modules have come."""
        return self.progress.watermark_ps


class Taker(ABC):
    """Takes a run's outputs, one after another, and summarises them at the end."""

    @abstractmethod
    def take(self, output: Output) -> None:
        """Take the output of a batch of frames; may raise StorageError."""

    def finish(self) -> None:  # noqa: B027  (most have nothing open)
        """Close what is open after the last output."""

    def summary(self) -> dict[str, Any]:
        """Return its part of the run's summary (docs/file-format.md)."""
        return {}

    def save(self, folder: Path) -> None:  # noqa: B027  (most have no tables)
        """Write its tables to a run's folder; raises StorageError."""


class Pipeline:
    """Checks, decodes, selects, orders and pairs, and counts everything on the way.

    Parameters
    ----------
    geometry : of the same scanner
    settings : windows and how coincidences are sorted
    run_tag : of the frames that belong to the run
    calibration : of energies, times and positions; None for hits as read out
    stall_ps : a module that is silent so long holds up the others no more
    recorded : whether the frames are from a raw log; see :meth:`FrameChecker.check`
    """

    def __init__(
        self,
        scanner: Scanner,
        geometry: Geometry,
        settings: SortSettings,
        *,
        run_tag: int,
        calibration: Calibration | None = None,
        stall_ps: int = DEFAULT_STALL_PS,
        recorded: bool = False,
    ) -> None:
        """``recorded``: the frames are from a raw log; see :meth:`FrameChecker.check`."""
        self.recorded = recorded
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
        self._margin_ps = calibration.margin_ps
        self._decoded = Rotation(SINGLE, depth=1)

    @property
    def accepted(self) -> npt.NDArray[np.int64]:
        """Singles accepted in a coincidence window, per module."""
        return self.selector.accepted

    @property
    def spectrum(self) -> npt.NDArray[np.int64]:
        """Calibrated energies of all singles, (256,)."""
        return self.selector.spectrum

    @property
    def counts(self) -> SortCounts:
        """What the sorter counted: prompts, delayeds, multiples ..."""
        return self.sorter.counts

    @property
    def newest_ps(self) -> int:
        """The newest frame end of any module: the run's detector time."""
        return self.decoder.newest_ps

    @property
    def all_ended(self) -> bool:
        """Whether every module has sent its LAST frame."""
        return self.decoder.all_ended

    @property
    def held(self) -> int:
        """The number of singles waiting for the horizon."""
        return self.order.held

    @property
    def links(self) -> npt.NDArray[np.void]:
        """The frame checker's state of each module's link, (modules,) LINK."""
        return self.checker.links

    @property
    def module_singles(self) -> npt.NDArray[np.int64]:
        """Singles decoded of each module, (modules,)."""
        return np.asarray(self.decoder.line["singles"])

    @property
    def module_states(self) -> list[str]:
        """Whether each module is live, stalled, silent or ended."""
        return [STATE_NAMES[state] for state in self.decoder.line["state"]]

    @property
    def module_angles_deg(self) -> list[float | None]:
        """The angle of each module; [] if the scanner cannot move."""
        return self.angles.degrees() if self.angles else []

    def process(self, frames: Frames) -> Output:
        """Take a batch of frames as received; return the coincidences that became final."""
        return self.sort(self.check(frames))

    def check(self, frames: Frames) -> CheckedFrames:
        """Return the frames of a batch that are accepted; all of them must be sorted, in order."""
        return self.checker.check(frames, recorded=self.recorded)

    def sort(self, checked: CheckedFrames) -> Output:
        """Sort checked frames; return the coincidences that became final."""
        return self.pair(self.arrange(self._decode(checked)))

    def stream(self, batches: Iterable[Frames], *, threads: int = 1) -> Iterator[Output]:
        """Yield :meth:`process` of each batch; with ``threads`` > 1 the stages share the cores."""
        return run_stages(batches, (self.take, self.arrange, self.pair), threads=threads)

    def take(self, frames: Frames) -> Taken:
        """First stage: check and decode frames, calibrate and select their singles."""
        return self._decode(self.check(frames))

    def _decode(self, checked: CheckedFrames) -> Taken:
        words = (len(checked.payload) - HEADER_BYTES * len(checked)) // WORD_BYTES
        out = self._decoded.next(words)
        count = self.decoder.decode(checked, out)
        angles = self.angles.take(checked) if self.angles else _NO_ANGLES
        singles = self.selector.select(out[:count])
        horizon_ps = self.decoder.horizon_ps - self._margin_ps
        return Taken(
            checked, self.decoder.horizons_ps, singles, angles, horizon_ps, self._progress()
        )

    def arrange(self, taken: Taken) -> Arranged:
        """Second stage: order what is final."""
        ordered = self.order.release(taken.singles, taken.horizon_ps)
        return Arranged(taken, *self.selector.split(ordered))

    def pair(self, arranged: Arranged) -> Output:
        """Third stage: pair the singles."""
        taken = arranged.taken
        found = self.sorter.push(arranged.accepted, taken.horizon_ps)
        return Output(
            prompts=found.prompts,
            delayeds=found.delayeds,
            accepted=arranged.accepted,
            singles=arranged.singles,
            triples=found.triples,
            angles=taken.angles,
            checked=taken.checked,
            horizons_ps=taken.horizons_ps,
            progress=taken.progress,
        )

    def finish(self) -> Output:
        """Process everything still held: the run is over, nothing more will come."""
        nothing = self.checker.check([])
        horizons_ps = np.array([self.decoder.horizon_ps])
        all_ps, none = int(END_OF_TIME_PS), np.empty(0, SINGLE)
        progress = replace(self._progress(), watermark_ps=self.newest_ps)
        taken = Taken(nothing, horizons_ps, none, _NO_ANGLES, all_ps, progress)
        return self.pair(self.arrange(taken))

    def _progress(self) -> Progress:
        return Progress(
            watermark_ps=self.decoder.watermark_ps,
            newest_ps=self.decoder.newest_ps,
            decoded=self.module_singles.copy(),
            accepted=int(self.selector.accepted.sum()),
            windowed=int(self.selector.windowed.sum()),
        )


def pairs_in_view(scanner: Scanner, min_sector_difference: int) -> npt.NDArray[np.bool_]:
    """Return the allowed module pairs, (m, m) bool; a module never pairs with itself."""
    allowed = allowed_module_pairs(scanner, min_sector_difference=min_sector_difference)
    return allowed & ~np.eye(len(allowed), dtype=np.bool_)
