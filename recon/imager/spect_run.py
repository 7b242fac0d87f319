"""A SPECT run in the live imager: the image while the head turns or the columns swivel.

Singles are sorted into views as they come (memory is fixed), and a running image is improved by one
small subset of views at a time: OSEM on all that was counted so far, exposures and scatter brought
up to date every ``REFRESH_S``. No event is dropped for lack of time; only the number of updates is
limited. Until the cameras have seen half a turn the image is smeared; ``note`` says how far they
are. At the end of the run offline reconstruction runs on the same counts, as far as ``FINISH_S``
allows, so that the last image is the offline one.

An imager that joined late, or lost batches, says so until then, and counts the run's own list at
its end (:mod:`recon.imager.spect_past`), within ``CATCH_UP_S``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coincidence.events import ANGLE, SINGLE
from hw.arrays import Records
from hw.errors import TomoshibiError
from hw.messages.imager import RunBegin, SinglesBatch
from hw.messages.pictures import ImageMessage
from hw.messages.sort_settings import EnergyWindow
from hw.scanner.description import Scanner
from hw.scanner.preset_file import parse_scanner
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.mu_map import load_mu_map
from recon.imager.run_base import Batch, Clock, Final, LiveRun, Stopped, Used
from recon.imager.spect_past import count_from_list
from recon.imager.stream_ledger import Missing
from recon.spect.offline import Problem, counter_of, in_Bq_per_mL, problem_of, solved, turn_seen_deg
from recon.spect.osem import SpectOsem
from recon.spect.peaks import SpectError, peaks_of
from recon.spect.run import SpectOptions, SpectRun
from recon.spect.sidecar import UNIT
from recon.spect.views import ViewCounter

VIEWS_PER_UPDATE = 6
PERIOD_S, REFRESH_S, FINISH_S = 0.25, 2.0, 7.0
CATCH_UP_S = 60.0
BUDGET_S = 0.12
"""Time for updates within a period; one update is always done."""

LIVE_FWHM_MM = 8.0
"""Post-filter of images during the run, which have few counts; the last one is not filtered."""

SHARE_MARGIN = 1e-3
"""How far live shares may exceed 1: a period may reach beyond a batch's end."""


class SpectLiveRun(LiveRun):
    """Live reconstruction of one SPECT run.

    Raises
    ------
    ReconError
        if the run can have no image: no photopeak window, or peaks of two nuclides.
    """

    records = (SINGLE, ANGLE)

    def __init__(self, begin: RunBegin, *, clock: Clock = time.monotonic, threads: int = 1) -> None:
        scanner = parse_scanner(begin.scanner_toml)
        grid = ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
        super().__init__(begin, grid, clock=clock, late_is_lost=True)
        windows = begin.settings.singles_windows
        self._options = SpectOptions(threads=threads)
        names, self.message = _one_nuclide(windows)
        self._peaks = peaks_of(scanner, windows, names=names, calibrated=bool(begin.calibration))
        self._counter = self._new_counter(scanner)
        self._run = SpectRun(
            scanner, windows, (), mu=self._mu(begin.mu_map), calibrated=bool(begin.calibration)
        )
        self._problem: Problem | None = None
        self._image: Image | None = None
        self._refreshed_s = self._imaged_s = -1e9
        self._update = 0
        self._shares: list[float] = []
        self._cut = ""
        self._missed, self._caught_up = "", False

    def _new_counter(self, scanner: Scanner) -> ViewCounter:
        windows = self.begin.settings.singles_windows
        return counter_of(scanner, windows, self._peaks, self._options)

    def _mu(self, path: str) -> Image | None:
        if not path:
            return None
        try:
            return load_mu_map(Path(path), self._grid)
        except ReconError as error:
            self.message = f"attenuation is not corrected: {error}"
            return None

    def restate(self, begin: RunBegin) -> None:
        """Accept a repeated announcement; SPECT settings cannot change during a run."""

    def close(self) -> None:
        """Do nothing: there is no background work."""

    def _counts_of(self, batch: Batch) -> tuple[int, ...] | None:
        return (batch.singles, batch.angles) if isinstance(batch, SinglesBatch) else None

    def _take(self, batch: SinglesBatch, missing: Missing, *records: Records) -> None:
        singles, angles = records
        if missing.batches:
            self._counter.gap()
            self._say_missed(missing, batch, *records)
        if self._are_shares(batch.live_share):
            self._shares = batch.live_share
        at_end = batch.watermark_ps >= 2**61  # the flush at the end of a run has no time
        until_ps = self._counter.end_ps if at_end else batch.watermark_ps
        self._counter.take(singles, angles, watermark_ps=until_ps)
        self._fresh = self._fresh or bool(batch.singles)

    def _say_missed(self, missing: Missing, batch: SinglesBatch, *records: Records) -> None:
        """Remember in words what the image lacks."""
        if missing.batches < batch.sequence:
            self._missed = self._missed or "batches of singles were lost"
            return
        times = np.concatenate([one["time_ps"] for one in records])
        since_s = int(times.min(initial=batch.watermark_ps)) * 1e-12
        self._missed = f"from {since_s:.1f} s on: the imager was not there before"

    def _catch_up(self, stopped: Stopped) -> None:
        """Count the run's list in place of an incomplete stream, if it holds all."""
        ledger, deadline = self._ledger, self._clock() + CATCH_UP_S
        if ledger.seen >= ledger.total:
            return
        counter = self._new_counter(self._run.scanner)
        try:
            count_from_list(
                Path(self.begin.folder), self.begin.run, counter, singles=ledger.total,
                stopped=lambda: stopped() or self._clock() > deadline,
            )  # fmt: skip
        except (TomoshibiError, OSError) as error:
            self._missed = self._missed or "the last batches of singles were lost"
            self.message = f"not all of what was missed is in the image: {error}"
            return
        counter.end_ps = max(counter.end_ps, self._counter.end_ps)
        self._counter, self._missed, self._caught_up = counter, "", True
        self.message = "caught up: the image has what it missed"

    def _are_shares(self, shares: Sequence[float]) -> bool:
        sound = all(0.0 <= share <= 1.0 + SHARE_MARGIN for share in shares) and any(shares)
        return sound and len(shares) == self._run.scanner.n_modules

    def image(self, *, budget_s: float, catch_up_s: float | None = None) -> ImageMessage | None:
        """Return a new image if singles came since the last one; at most every PERIOD_S."""
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
        image = in_Bq_per_mL(self._image, self._grid, LIVE_FWHM_MM)
        return self._published(image, None, **self._facts(LIVE_FWHM_MM))

    def _finish(self, missing: Missing, stopped: Stopped) -> Final:
        self._catch_up(stopped)
        deadline = self._clock() + FINISH_S

        def too_late() -> bool:
            if stopped() or self._clock() > deadline:
                self._cut = "cut short, not as `tomoshibi reconstruct` makes it"
            return bool(self._cut)

        try:
            image, about = self._as_offline(too_late)
        except SpectError as error:
            self.message = f"no image: {error}"
            return Final(np.zeros(self._grid.shape, np.float32), self._facts(0.0), None)
        how = [self._cut or "finished as offline", *([self._missed] if self._missed else [])]
        about["algorithm"] = f"live OSEM, {', '.join(how)}"
        about["fraction_used"] = self._used().fraction
        return Final(image, self._facts(0.0), about if about.get("corrections") else None)

    def _used(self) -> Used:
        placed, total = self._counter.placed, self._ledger.total
        return Used(placed, total, placed / total if total else 1.0)

    def _shared(self) -> tuple[float, ...]:
        """Return each module's live share. Time without a known angle is in no view anyway; for
        modules that cannot move this is the share of the stream received."""
        seen, total = self._ledger.seen, self._ledger.total
        whole = self._run.scanner.motion is not None or not total or self._caught_up
        came = 1.0 if whole else seen / total
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
        """Do one update with the next subset of views."""
        assert self._problem is not None
        osem = self._problem.osem
        if self._image is None:
            self._image = SpectOsem(osem.channels, osem.views, osem.mask, 1).start()
        self._image, _ = osem.update(self._image, _spread(self._update, osem.subsets))
        self._update += 1

    def _as_offline(self, stopped: Stopped) -> tuple[Image, dict[str, object]]:
        """Return the image that offline reconstruction makes of the same counts."""
        state = self._state()
        problem = problem_of(state, self._counter, self._options, self._peaks)
        image = solved(problem, state, self._options, stopped=stopped)
        self._problem = problem
        return in_Bq_per_mL(image, problem.grid), problem.metadata(problem.osem)

    def _facts(self, fwhm_mm: float) -> dict[str, Any]:
        """Return what an image's message says about it."""
        about = self._problem.about if self._problem else {}
        made, seconds = about.get("corrections", {}), self._counter.end_ps * 1e-12
        prompts = int(about.get("prompts_used", 0))
        return {
            "unit": UNIT,
            "detector_time_s": seconds,
            "prompts_used": prompts,
            "delayeds_used": 0,
            "fraction_used": self._used().fraction,
            "corrections": {name: bool(entry["applied"]) for name, entry in made.items()},
            "how": {name: str(entry["how"]) for name, entry in made.items()},
            "note": self._note(fwhm_mm),
            "window_s": seconds,
            "prompts_in_window": prompts,
        }

    def _note(self, fwhm_mm: float) -> str:
        views = self._problem.osem.views if self._problem else ()
        words = [f"{len(views)} views"]
        if self._run.scanner.motion is not None and self._run.scanner.motion.kind == "gantry":
            words.append(f"{turn_seen_deg(views):.0f}° seen")
        if self._counter.damaged:
            words.append(f"{self._counter.damaged} damaged records left out")
        words.append(f"post-filter {fwhm_mm:g} mm FWHM" if fwhm_mm else "no post-filter")
        words += [one for one in (self._cut, self._missed) if one]
        return ", ".join(words)


def _one_nuclide(windows: Sequence[EnergyWindow]) -> tuple[tuple[str, ...], str]:
    """Return the photopeaks of the first nuclide, and a note if there are others."""
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
