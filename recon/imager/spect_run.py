"""A SPECT run in the live imager: the image while the head turns or the columns swivel.

Singles are sorted into views as they come (memory is fixed), and a running image is improved by one
small subset of views at a time: OSEM on all that was counted so far, exposures and scatter brought
up to date every ``REFRESH_S``. No event is left out for want of time; what is short is the number
of updates. Until the cameras have seen half a turn the image is smeared; ``note`` says how far they
came. At the end of the run the offline reconstruction is done on the same counts, as far as
``FINISH_S`` allows, so that the last image is the offline one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from coincidence.events import ANGLE, SINGLE
from hw.messages.codec import ImageMessage, MessageError
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd, SinglesBatch
from hw.messages.sort_settings import EnergyWindow
from hw.scanner.preset_file import parse_scanner
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.mu_map import load_mu_map
from recon.exchange.images.nifti import write_nifti
from recon.imager.stream_ledger import LatencyHistogram, RateMeter
from recon.spect.offline import Problem, counter_of, in_Bq_per_mL, problem_of, solved, turn_seen_deg
from recon.spect.osem import SpectOsem
from recon.spect.peaks import SpectError, peaks_of
from recon.spect.run import SpectOptions, SpectRun
from recon.spect.sidecar import UNIT

VIEWS_PER_UPDATE = 6
PERIOD_S, REFRESH_S, FINISH_S = 0.25, 2.0, 7.0
BUDGET_S = 0.12
"""Time for updates within a period; one update is always done."""

LIVE_FWHM_MM = 8.0
"""Post-filter of images on the way: they have few counts, and the last one has none."""

SHARE_MARGIN = 1e-3
"""By which live shares may exceed 1: a period may reach beyond a batch's end."""

Clock = Callable[[], float]


class SpectLiveRun:
    """Reconstructs one SPECT run; make a new one for each RunBegin of another run.

    Raises
    ------
    ReconError
        where the run can have no image: no photopeak window, peaks of two nuclides.
    """

    def __init__(self, begin: RunBegin, *, clock: Clock = time.monotonic, threads: int = 1) -> None:
        self.begin = begin
        self.final: ImageMessage | None = None
        self.message = ""
        self._clock = clock
        scanner = parse_scanner(begin.scanner_toml)
        windows = begin.settings.singles_windows
        self._options = SpectOptions(threads=threads)
        names, self.message = _one_nuclide(windows)
        self._peaks = peaks_of(scanner, windows, names=names, calibrated=bool(begin.calibration))
        self._counter = counter_of(scanner, windows, self._peaks, self._options)
        self._grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
        self._run = SpectRun(
            scanner, windows, (), mu=self._mu(begin.mu_map), calibrated=bool(begin.calibration)
        )
        self._problem: Problem | None = None
        self._image: Image | None = None
        self._refreshed_s = self._imaged_s = -1e9
        self._update = 0
        self._next, self._seen, self._missing, self._lost = 0, 0, 0, 0
        self._shares: list[float] = []
        self._event_wall_ns = 0
        self._fresh = False
        self._latency, self._rate = LatencyHistogram(), RateMeter()
        self._image_path = ""

    @classmethod
    def of(
        cls, begin: RunBegin, *, clock: Clock = time.monotonic, threads: int = 1,
        stopped: Callable[[], bool] = lambda: False,
    ) -> SpectLiveRun:  # fmt: skip
        """Return the run that an announcement begins; it takes a second at most."""
        return cls(begin, clock=clock, threads=threads)

    def _mu(self, path: str) -> Image | None:
        if not path:
            return None
        try:
            return load_mu_map(Path(path), self._grid)
        except ReconError as error:
            self.message = f"attenuation is not corrected: {error}"
            return None

    def restate(self, begin: RunBegin) -> None:
        """Take a repeated announcement; nothing of SPECT can be changed on the way."""

    def close(self) -> None:
        """Nothing works in the background."""

    def take(self, batch: CoincidenceBatch, prompts: bytes, delayeds: bytes) -> None:
        """Leave coincidences alone: a SPECT run has none."""

    def take_singles(self, batch: SinglesBatch, parts: list[bytes]) -> None:
        """Take one batch: singles and angles as raw records; raises MessageError."""
        sizes, expected = [len(part) for part in parts], [batch.singles * 16, batch.angles * 16]
        if sizes != expected:
            raise MessageError(
                f"singles batch {batch.sequence}: parts of {sizes} bytes, expected {expected} (16 "
                "bytes a record): start all processes from the same installation"
            )
        if batch.run != self.begin.run or batch.sequence < self._next or self.final is not None:
            return
        if batch.sequence > self._next:
            self._lost += batch.sequence - self._next
            self._counter.gap()
        self._missing += max(0, batch.singles_before - self._seen - self._missing)
        self._next = batch.sequence + 1
        self._seen += batch.singles
        if self._are_shares(batch.live_share):
            self._shares = batch.live_share
        singles, angles = (np.frombuffer(p, t) for p, t in zip(parts, (SINGLE, ANGLE), strict=True))
        if batch.watermark_ps < 2**61:  # the flush at the end of a run has no time
            self._counter.take(singles, angles, watermark_ps=batch.watermark_ps)
        else:
            self._counter.take(singles, angles, watermark_ps=self._counter.end_ps)
        self._event_wall_ns = max(self._event_wall_ns, batch.event_wall_ns)
        self._fresh = self._fresh or bool(batch.singles)

    def _are_shares(self, shares: Sequence[float]) -> bool:
        sound = all(0.0 <= share <= 1.0 + SHARE_MARGIN for share in shares) and any(shares)
        return sound and len(shares) == self._run.scanner.n_modules

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image where singles came since the last one; at most every PERIOD_S."""
        began = self._clock()
        if self.final is not None or not self._fresh or began - self._imaged_s < PERIOD_S:
            return None
        self._imaged_s = began
        if not self._refresh(began):
            return None
        while True:
            self._improve()
            if self._clock() - began > BUDGET_S:
                break
        self._fresh = False
        assert self._image is not None
        return self._published(in_Bq_per_mL(self._image, self._grid, LIVE_FWHM_MM), LIVE_FWHM_MM)

    def end(self, end: RunEnd, *, stopped: Callable[[], bool]) -> ImageMessage | None:
        """Finish the run: return the final image, written to the run's folder; None if done."""
        if end.run != self.begin.run or self.final is not None:
            return None
        self._missing = max(self._missing, end.prompts - self._seen)
        deadline = self._clock() + FINISH_S
        try:
            image, about = self._finished(lambda: stopped() or self._clock() > deadline)
        except SpectError as error:
            self.message = f"no image: {error}"
            image, about = np.zeros(self._grid.shape, np.float32), {"note": str(error)}
        self.final = self._published(image, 0.0, final=True)
        if self.begin.folder and about.get("corrections"):
            self._write(image, about)
        return self.final

    def report(self) -> ImagerReport:
        """Return the statistics of this run so far."""
        words, self.message = self.message, ""
        return ImagerReport(
            run=self.begin.run,
            images=self._rate.count,
            rate_Hz=self._rate.rate_Hz,
            latency_p50_ms=self._latency.percentile(50),
            latency_p99_ms=self._latency.percentile(99),
            fraction_used=self._fraction(),
            prompts_used=self._counter.placed,
            prompts_seen=self._seen + self._missing,
            batches_lost=self._lost,
            final=self.final is not None,
            image_path=self._image_path,
            message=words,
        )

    def _fraction(self) -> float:
        """Return the share of the run's windowed singles that are in the image."""
        total = self._seen + self._missing
        return self._counter.placed / total if total else 1.0

    def _shared(self) -> tuple[float, ...]:
        """Return each module's live share. Time without a known angle is in no view anyway; of
        modules that cannot move it is the share of the stream that came here."""
        total = self._seen + self._missing
        whole = self._run.scanner.motion is not None or not total
        came = 1.0 if whole else self._seen / total
        shares = self._shares or [1.0] * self._run.scanner.n_modules
        return tuple(share * came for share in shares)

    def _state(self) -> SpectRun:
        run = self._run
        return SpectRun(
            run.scanner, run.windows, (), run.mu, self._shared(), calibrated=run.calibrated
        )

    def _refresh(self, now_s: float) -> bool:
        """Bring exposures, counts and scatter up to date; False while nothing can be imaged."""
        if self._problem is not None and now_s - self._refreshed_s < REFRESH_S:
            return True
        try:
            self._problem = problem_of(self._state(), self._counter, self._options, self._peaks)
        except SpectError:  # no counts or no angle yet
            return self._problem is not None
        self._refreshed_s = now_s
        osem = self._problem.osem
        osem.subsets = max(1, len(osem.views) // VIEWS_PER_UPDATE)
        return True

    def _improve(self) -> None:
        """Do one update, with the next subset of views."""
        assert self._problem is not None
        osem = self._problem.osem
        if self._image is None:
            self._image = SpectOsem(osem.channels, osem.views, osem.mask, 1).start()
        self._image, _ = osem.update(self._image, _spread(self._update, osem.subsets))
        self._update += 1

    def _finished(self, stopped: Callable[[], bool]) -> tuple[Image, dict[str, object]]:
        """Return the image that offline reconstruction makes of the same counts."""
        state = self._state()
        problem = problem_of(state, self._counter, self._options, self._peaks)
        image = solved(problem, state, self._options, stopped=stopped)
        self._problem = problem
        return in_Bq_per_mL(image, problem.grid), problem.metadata(problem.osem)

    def _published(self, image: Image, fwhm_mm: float, *, final: bool = False) -> ImageMessage:
        now_s = self._clock()
        if not final:
            self._rate.add(now_s)
            self._latency.add(now_s * 1e3 - self._event_wall_ns * 1e-6)
        about = self._problem.about if self._problem else {}
        made = about.get("corrections", {})
        return ImageMessage(
            run=self.begin.run,
            sequence=self._rate.count,
            shape=self._grid.shape,
            voxel_mm=self._grid.voxel_mm,
            image=image.tobytes(),
            unit=UNIT,
            detector_time_s=self._counter.end_ps * 1e-12,
            event_wall_ns=self._event_wall_ns,
            published_wall_ns=int(now_s * 1e9),
            prompts_used=int(about.get("prompts_used", 0)),
            delayeds_used=0,
            fraction_used=self._fraction(),
            corrections={name: bool(entry["applied"]) for name, entry in made.items()},
            how={name: str(entry["how"]) for name, entry in made.items()},
            rate_Hz=self._rate.rate_Hz,
            final=final,
            note=self._note(fwhm_mm),
            window_s=self._counter.end_ps * 1e-12,
            prompts_in_window=int(about.get("prompts_used", 0)),
        )

    def _note(self, fwhm_mm: float) -> str:
        views = self._problem.osem.views if self._problem else ()
        words = [f"{len(views)} views"]
        if self._run.scanner.motion is not None and self._run.scanner.motion.kind == "gantry":
            words.append(f"{turn_seen_deg(views):.0f}° seen")
        if self._counter.damaged:
            words.append(f"{self._counter.damaged} damaged records left out")
        words.append(f"post-filter {fwhm_mm:g} mm FWHM" if fwhm_mm else "no post-filter")
        return ", ".join(words)

    def _write(self, image: Image, about: dict[str, object]) -> None:
        path = Path(self.begin.folder) / "images" / "live.nii.gz"
        told = {**about, "run": self.begin.run, "algorithm": "live OSEM, finished as offline",
                "fraction_used": self._fraction()}  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_nifti(path, image, self._grid, told)
        except (OSError, ReconError) as error:
            self.message = f"the final image could not be written: {error}"
        else:
            self._image_path = str(path)


def _one_nuclide(windows: Sequence[EnergyWindow]) -> tuple[tuple[str, ...], str]:
    """Return the photopeaks of the first nuclide, and words where there are others."""
    peaks = [window for window in windows if window.kind == "photopeak"]
    nuclides = list(dict.fromkeys(window.nuclide for window in peaks))
    others = " and ".join(nuclides[1:])
    words = f"the live image is of {nuclides[0]} only, not of {others}" if others else ""
    return tuple(w.name for w in peaks if w.nuclide == nuclides[0]), words


def _spread(update: int, subsets: int) -> int:
    """Return the subset of an update: steps of about 0.618 turn visit all in an even order."""
    step = max(1, round(subsets * 0.618))
    while subsets > 1 and np.gcd(step, subsets) != 1:
        step += 1
    return (update * step) % subsets
