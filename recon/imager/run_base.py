"""What live runs of both modalities share: batches in, images and reports out, the end.

No sockets or sleeps here: time comes from ``clock`` (monotonic seconds), so tests can play a run at
any speed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from hw.arrays import Records
from hw.errors import TomoshibiError
from hw.messages.base import MessageError
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.messages.pictures import ImageMessage
from recon.core.frame_times import FrameTime
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.noise_file import write_parts
from recon.core.noise_parts import NoiseParts
from recon.exchange.images.nifti import write_nifti
from recon.imager.region_readings import RegionReadings
from recon.imager.stream_ledger import LatencyHistogram, Missing, RateMeter, StreamLedger
from recon.offline.kept_images.run_facts import run_facts

Batch = CoincidenceBatch | SinglesBatch
Clock = Callable[[], float]
Stopped = Callable[[], bool]


class Used(NamedTuple):
    """Number of the run's prompts (or windowed singles) used in the image."""

    events: int
    seen: int
    fraction: float


class Final(NamedTuple):
    """The last image of a run.

    facts : for its message, as in :meth:`LiveRun._published`
    about : metadata of its file; None if no file is to be written
    unfiltered : the image before the filter for display, for a file of its own, or None
    parts, unfiltered_parts : of either, which tell its noise, or None
    time : when its events were measured; None where the metadata say it
    grid : its voxels; None for those of the live image
    """

    image: Image
    facts: dict[str, Any]
    about: dict[str, Any] | None
    unfiltered: Image | None = None
    parts: NoiseParts | None = None
    unfiltered_parts: NoiseParts | None = None
    time: FrameTime | None = None
    grid: ImageGrid | None = None


class LiveRun(ABC):
    """One run in the live imager; create a new one for each RunBegin of another run.

    records : dtypes of the parts after a batch's header

    Parameters
    ----------
    late_is_lost : whether what came before a late joining counts as lost
    clock : monotonic seconds, the same clock as the messages' ``*_wall_ns``
    """

    records: ClassVar[tuple[np.dtype[np.void], ...]]

    def __init__(
        self, begin: RunBegin, grid: ImageGrid, *, clock: Clock, late_is_lost: bool = False
    ) -> None:
        self.begin = begin
        self.final: ImageMessage | None = None
        self.message = ""
        self._clock = clock
        self._grid = grid
        self._ledger = StreamLedger(begin.run, late_is_lost=late_is_lost)
        self._latency = LatencyHistogram()
        self._rate = RateMeter()
        self._event_wall_ns = 0
        self._fresh = False
        self._finishing = 0.0
        self._noise = 0.0
        self._image_path = ""
        folder = Path(begin.folder) if begin.folder else None
        self._regions = RegionReadings(folder, clock=clock)

    # --- what a modality does -----------------------------------------------------------------

    @abstractmethod
    def _counts_of(self, batch: Batch) -> tuple[int, ...] | None:
        """Return how many of each of ``records`` follow a header; None if not for this run."""

    @abstractmethod
    def _take(self, batch: Any, missing: Missing, *records: Records) -> None:
        """Use a batch's records; ``missing`` is what was lost before them."""

    @abstractmethod
    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image if events came since the last one."""

    def catch_up(self) -> None:  # noqa: B027  (not every modality can)
        """Take in a little of what was missed before joining; called when an image is out."""

    @abstractmethod
    def _finish(self, missing: Missing, stopped: Stopped) -> Final:
        """Return the final image; ``missing`` is what was lost at the end."""

    @abstractmethod
    def _used(self) -> Used:
        """Return how many events are in the image."""

    @abstractmethod
    def restate(self, begin: RunBegin) -> None:
        """Apply a repeated announcement of the run: the way it is imaged may have changed."""

    @abstractmethod
    def close(self) -> None:
        """Stop background work."""

    # --- what is the same for all -------------------------------------------------------------

    def take(self, batch: Batch, parts: list[bytes]) -> None:
        """Take in one batch for the next image. A batch of the other kind is ignored.

        Raises
        ------
        MessageError
            if the parts do not match the header.
        """
        counts = self._counts_of(batch)
        if counts is None:
            return
        sizes = [len(part) for part in parts]
        expected = [n * one.itemsize for n, one in zip(counts, self.records, strict=True)]
        if sizes != expected:
            raise MessageError(
                f"{type(batch).__name__} {batch.sequence}: parts of {sizes} bytes, expected "
                f"{expected}: start all processes from the same installation"
            )
        missing = self._ledger.take(batch) if self.final is None else None
        if missing is None:
            return
        self._take(batch, missing, *map(np.frombuffer, parts, self.records))
        self._event_wall_ns = max(self._event_wall_ns, batch.event_wall_ns)

    def end(self, end: RunEnd, *, stopped: Stopped) -> ImageMessage | None:
        """Finish the run: return the final image, also written to its folder; None if already done.

        ``stopped`` is polled throughout: it may send reports.
        """
        if end.run != self.begin.run or self.final is not None:
            return None
        made = self._finish(self._ledger.end(end), stopped)
        self._grid = made.grid or self._grid
        self.final = self._published(made.image, made.parts, final=True, **made.facts)
        if self.begin.folder and made.about is not None:
            self._write_files(made, {**made.about, **self._identity(), "run": self.begin.run})
        return self.final

    def report(self) -> ImagerReport:
        """Return the statistics of this run so far."""
        used = self._used()
        return ImagerReport(
            run=self.begin.run,
            images=self._rate.count,
            rate_Hz=self._rate.rate_Hz,
            latency_p50_ms=self._latency.percentile(50),
            latency_p99_ms=self._latency.percentile(99),
            fraction_used=used.fraction,
            prompts_used=used.events,
            prompts_seen=used.seen,
            batches_lost=self._ledger.batches_lost,
            final=self.final is not None,
            image_path=self._image_path,
            finishing=self._finishing,
            noise=self._noise,
            message=self._words(),
        )

    def _words(self) -> str:
        """Return the notes, each once."""
        words = "; ".join(one for one in (self.message, self._regions.message) if one)
        self.message = self._regions.message = ""
        return words

    def _published(
        self, image: Image, parts: NoiseParts | None, *, final: bool = False, **facts: Any
    ) -> ImageMessage:
        """Return an image's message; ``facts`` are the fields that differ between modalities.

        parts : of the image, which tell the noise in its regions; None if not known
        """
        now_s = self._clock()
        self._noise = float(facts.get("noise", 0.0))
        if not final:  # the last image ends when the run ends, not when its last event was seen
            self._rate.add(now_s)
            self._latency.add(now_s * 1e3 - self._event_wall_ns * 1e-6)
        return ImageMessage(
            run=self.begin.run,
            sequence=self._rate.count,
            shape=self._grid.shape,
            voxel_mm=self._grid.voxel_mm,
            image=image.tobytes(),
            event_wall_ns=self._event_wall_ns,
            published_wall_ns=int(now_s * 1e9),
            rate_Hz=self._rate.rate_Hz,
            final=final,
            regions=self._regions.of(image, parts, self._grid) if self._regions.wanted() else [],
            **facts,
        )

    def _identity(self) -> dict[str, Any]:
        """Return what the run's folder says that its images are of."""
        try:
            return run_facts(Path(self.begin.folder))
        except TomoshibiError as error:
            self.message = f"the final image does not say what it is of: {error}"
            return {}

    def _write_files(self, made: Final, about: dict[str, Any]) -> None:
        frames = () if made.time is None else (made.time,)
        self._write("live.nii.gz", made.image, about, made.parts, frames)
        if made.unfiltered is None:
            return
        plain, noise = {**about, "post_filter_fwhm_mm": 0.0}, made.unfiltered_parts
        plain.pop("relative_noise", None)
        if noise is not None:
            plain["relative_noise"] = noise.relative(made.unfiltered)
        self._write("live_unfiltered.nii.gz", made.unfiltered, plain, noise, frames)

    def _write(
        self,
        name: str,
        image: Image,
        about: dict[str, Any],
        parts: NoiseParts | None,
        frames: tuple[FrameTime, ...],
    ) -> None:
        path = Path(self.begin.folder) / "images" / name
        try:
            path.parent.mkdir(exist_ok=True)  # never the run's folder: one put away is gone
            write_nifti(path, image, self._grid, about, frames)
            write_parts(path, [parts])
        except (OSError, ReconError) as error:
            self.message = f"the final image could not be written: {error}"
        else:
            self._image_path = self._image_path or str(path)
