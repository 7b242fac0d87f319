"""Corrections of the live image: found for the run, computed in the background and reported.

Cheap corrections (randoms, live time, decay) hold from the first image. Those that take seconds are
computed by a :class:`JobSlot`, in its own thread at low priority, and applied when ready:

- **sensitivity** with normalisation and µ map, at the start and whenever either changes;
- a **head contour** in place of a µ map, from the first image of ``CONTOUR_PROMPTS``;
- **scatter** (:mod:`recon.live.scatter_job`).

Meanwhile the image uses the corrections available, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daq.folder.calibration_set import load_set_for, scanner_hash
from hw.errors import TomoshibiError
from hw.messages.imager import RunBegin
from hw.messages.live_settings import LiveSettings
from hw.physics.nuclides import nuclide_of
from hw.scanner.description import Scanner
from recon.attenuation.head_contour import head_contour_mu
from recon.core.correction_record import Corrections
from recon.core.grid import Image, ImageGrid, ReconError
from recon.core.mu_map import load_mu_map
from recon.core.quantification import BQ_PER_ML, EMISSIONS, load_calibration
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity_cache import sensitivity
from recon.lines.model import LineFactor
from recon.lines.normalisation import Normalisation, lacks_normalisation
from recon.live.background_job import JobSlot
from recon.live.final_resolution import FinalResolution, final_resolution
from recon.live.frame_renewal import FrameRenewal
from recon.live.imager import ExposureOf, LiveImager
from recon.live.lines import CrystalLines
from recon.live.scatter_job import LiveScatter
from recon.scatter import EnergyWindow

POLL_S = 0.05
CONCLUDING_ROUNDS, WHOLE_ROUNDS = 2, 4
"""Of image and scatter at the end, from what the run had found; and, as offline, from nothing, or
with prompt γ.
"""

CONTOUR_PROMPTS = 200_000
LEAST_FRACTION, LEAST_HALF_LIFE_S = 1e-6, 1e-3
LEAST_TRUE_SHARE = 0.1

Stopped = Callable[[], bool]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class _Lines:
    """Factors, µ map, and the sensitivity made with them."""

    factors: list[LineFactor]
    mu_per_mm: Image | None
    sensitivity: Image


class LiveCorrections:
    """The corrections of one run; call :meth:`advance` before every image."""

    def __init__(
        self, begin: RunBegin, imager: LiveImager[CrystalLines], system: ReconSystem
    ) -> None:
        self._begin = begin
        self._imager = imager
        self._lines = imager.lines
        self._system = system
        self._contour: Image | None = None
        self._finds_contour = False
        self._job: JobSlot[_Lines] = JobSlot("sensitivity")
        settings = begin.settings
        window = EnergyWindow.of(system.scanner, lld_keV=settings.lld_keV, uld_keV=settings.uld_keV)
        self._nuclide, _ = nuclide_of({"nuclide": begin.nuclide})
        self._scatter = LiveScatter(imager, system, window, self._nuclide)
        self._frames = FrameRenewal(imager)
        self._errors: dict[str, str] = {}
        self.message = ""
        self._settings = begin.live
        self._factor: float | None = None
        self._load_factor(begin.live.activity)
        self._apply(begin.live)

    @property
    def settings(self) -> LiveSettings:
        """The present settings."""
        return self._settings

    def change(self, settings: LiveSettings) -> None:
        """Change the corrections from now on."""
        if settings != self._settings:
            if settings.activity != self._settings.activity:
                self._load_factor(settings.activity)
            self._settings = settings
            self._apply(settings)

    def close(self) -> None:
        """Stop background work."""
        self._scatter.close()
        self._frames.close()
        self._job.stop()

    # --- what is in force ---------------------------------------------------------------------

    def _apply(self, settings: LiveSettings) -> None:
        self._lines.switch_randoms(on=settings.wants("randoms"))
        self._scatter.switch_prompt_gamma(on=settings.wants("prompt_gamma"))
        if not settings.wants("scatter"):
            self._scatter.forget()
        if self._wanted() != (bool(self._lines.factors), self._lines.mu_per_mm is not None):
            self._make_lines()

    def _wanted(self) -> tuple[bool, bool]:
        """Whether normalisation and a µ map should be applied, if the run has them."""
        normalised = bool(self._begin.calibration) and self._settings.wants("normalisation")
        normalised &= "normalisation" not in self._errors
        return normalised, self._mu_from() == "map" or self._contour_used() is not None

    def _mu_from(self) -> str:
        asked = self._settings.attenuation
        if asked == "auto":
            return "map" if self._begin.mu_map else "none"
        if asked == "map" and not self._begin.mu_map:
            return "none"
        return asked

    def _contour_used(self) -> Image | None:
        return self._contour if self._mu_from() == "contour" else None

    def _make_lines(self, head: Image | None = None) -> None:
        """Make factors, µ map and sensitivity in the background.

        head : image to find the contour in, if that is to be done
        """
        self._job.stop()
        self._finds_contour = head is not None
        normalised, _ = self._wanted()
        path = Path(self._begin.mu_map) if self._mu_from() == "map" else None
        contour, grid = self._contour_used(), self._system.grid
        calibration = Path(self._begin.calibration) if normalised else None
        system = self._system
        self._scatter.restart()

        def work(stopped: Stopped) -> _Lines:
            mu = contour if path is None else load_mu_map(path, grid)
            if head is not None:
                mu = head_contour_mu(head, grid)
            factors: list[LineFactor] = []
            if calibration is not None:
                try:
                    factors = [load_normalisation(calibration, system.scanner)]
                except ReconError as error:  # the image goes on with the rest
                    self._fail("normalisation", str(error))
            return _Lines(factors, mu, sensitivity(system, factors, mu, stopped=stopped))

        self._job.begin(work)

    def advance(self) -> None:
        """Apply what is ready and start what is due."""
        of = ExposureOf(live=self._dead_time(), decay=self._decay())
        self._imager.exposure_of = of
        self._take_lines()
        self._find_contour()
        self._scatter.take()
        if self._can_scatter():
            self._scatter.begin()
        self._imager.true_share = self._true_share()
        self._frames.advance()

    def _true_share(self) -> float:
        """Return the share of the prompts that remains after subtraction."""
        imager, share = self._imager, 1.0
        if self._lines.randoms is not None and imager.seconds > 0:
            per_s = imager.books.prompts / max(imager.books.wall_s, 1e-9)
            share -= self._lines.randoms.total_per_s / max(per_s, 1e-9)
        if self._lines.scatter is not None:
            share -= float(self._lines.scatter.about.get("share_of_prompts") or 0.0)
        if self._lines.prompt_gamma is not None:
            share -= self._scatter.prompt_gamma_share
        return min(1.0, max(share, LEAST_TRUE_SHARE))

    def conclude(self, timeout_s: float, stopped: Stopped, progress: Progress) -> None:
        """Finish work in progress and estimate scatter anew from all events, within a time limit.

        Where the time is over before the last round, the image's record says so.

        ``stopped`` is polled; True ends it. ``progress`` is called with the share that is done.
        """
        clock = self._imager.clock
        deadline = clock() + timeout_s
        self._scatter.close()  # what is under way, at low priority, is of fewer events
        self.wait(timeout_s, stopped, frames=False)
        self._imager.use_the_rest(stopped)
        found = self._lines.scatter is not None and not self._scatter.has_gammas
        rounds = CONCLUDING_ROUNDS if found else WHOLE_ROUNDS
        for done in range(rounds):
            if not self._can_scatter() or stopped():
                return
            progress(done / rounds)
            self._scatter.conclude(last=done == rounds - 1)
            self.wait(deadline - clock(), stopped, frames=done == rounds - 1)
            if clock() >= deadline and self._scatter.job.running:
                self._scatter.unsettled = f"found anew {done} of {rounds} times, then time was over"
                self.message = f"scatter was {self._scatter.unsettled}: reconstruct the run"
                return

    def final_resolution(self, grid: ImageGrid) -> FinalResolution:
        """Return the resolution model of the run's last image, on its voxels."""
        return final_resolution(self._system.scanner, grid, self._nuclide, self._lines.mu_per_mm)

    def wait(
        self, timeout_s: float, stopped: Stopped = lambda: False, *, frames: bool = True
    ) -> None:
        """Wait for work in progress, on ``frames`` too, up to a time limit; apply its results."""
        deadline = self._imager.clock() + timeout_s
        jobs = (self._job, self._scatter.job, self._frames.job)
        for job in jobs if frames else jobs[:2]:
            while job.running and not stopped():
                if self._imager.clock() >= deadline:
                    return
                job.wait(POLL_S)
        self._take_lines()
        self._scatter.take()
        self._frames.advance()

    def _can_scatter(self) -> bool:
        return self._lines.mu_per_mm is not None and self._settings.wants("scatter")

    def _take_lines(self) -> None:
        made = self._job.take()
        if made is not None:
            if self._finds_contour:
                self._contour = made.mu_per_mm
            self._lines.correct(made.factors, made.mu_per_mm)
            self._imager.correct(made.sensitivity)
        elif self._job.error:
            self._fail("attenuation", self._job.error)

    def _fail(self, name: str, why: str) -> None:
        if self._errors.get(name) != why and why != "stopped":
            self._errors[name] = why
            self.message = f"{name} is not corrected: {why}"

    def _find_contour(self) -> None:
        if self._mu_from() != "contour" or self._contour is not None or self._job.busy:
            return
        if self._imager.books.prompts < CONTOUR_PROMPTS or "attenuation" in self._errors:
            return
        self._make_lines(head=self._imager.shown().image)

    # --- what is told -------------------------------------------------------------------------

    def _dead_time(self) -> bool:
        return self._imager.intake.live_known and self._settings.wants("dead_time")

    def _decay(self) -> bool:
        half_life_s = self._begin.half_life_s
        return LEAST_HALF_LIFE_S <= half_life_s < math.inf and self._settings.wants("decay")

    def told(self) -> Corrections:
        """Return every correction with how it was applied, or why not."""
        told = Corrections()
        told.apply("sensitivity", "geometry and stopping power")
        if self._system.detection.efficiency.known:
            settings = self._begin.settings
            window = f"{settings.lld_keV:g}-{settings.uld_keV:g} keV"
            told.apply("block_efficiency", f"photons followed through a block, {window}")
        self._tell_lines(told)
        self._tell_rates(told)
        self._tell_times(told)
        self._tell_scale(told)
        return told

    def _tell_scale(self, told: Corrections) -> None:
        if self.unit == BQ_PER_ML:
            told.apply("calibration", "the scanner's activity calibration")
        elif not self._settings.wants("calibration"):
            told.leave("calibration", "switched off")
        else:
            why = f"no activity calibration: {self._no_set()}"
            if self._begin.calibration:
                why = "no activity calibration"
            told.miss("calibration", self._errors.get("calibration", why))

    def _no_set(self) -> str:
        """Return why the run has no calibration set."""
        why = self._begin.uncalibrated
        return "the run has no calibration set" + (f": {why}" if why else "")

    @property
    def scale(self) -> float:
        """The factor from emissions/s/mL to :attr:`unit`."""
        if self._factor is None or not self._settings.wants("calibration"):
            return 1.0
        return self._factor / self._begin.beta_plus_fraction

    @property
    def unit(self) -> str:
        """The unit of the image."""
        known = self._factor is not None and self._settings.wants("calibration")
        return BQ_PER_ML if known else EMISSIONS

    def _load_factor(self, path: str) -> None:
        self._factor = None
        if not path:
            return
        if not LEAST_FRACTION <= self._begin.beta_plus_fraction <= 1.0:
            self._fail("calibration", "the run's nuclide is not known")
            return
        try:
            found = load_calibration(Path(path))
            scanner = self._system.scanner
            found.check(scanner=scanner.name, scanner_hash=scanner_hash(scanner))
        except ReconError as error:
            self._fail("calibration", str(error))
            return
        self._factor = found.factor

    def _tell_lines(self, told: Corrections) -> None:
        ready = "not ready yet" if self._job.busy else ""
        way = self._mu_from()
        if self._lines.mu_per_mm is not None:
            how = {"map": "the run's µ map", "contour": "head contour found in the early image"}
            told.apply("attenuation", how.get(way, way))
        elif way == "none":
            without = "the run has no µ map" if not self._begin.mu_map else "switched off"
            told.leave("attenuation", without)
        else:
            waiting = ready or f"waits for {CONTOUR_PROMPTS} prompts"
            told.miss("attenuation", self._errors.get("attenuation", waiting))
        if self._lines.factors:
            told.apply("normalisation", "the run's calibration set")
        elif not self._begin.calibration:
            told.leave("normalisation", self._no_set())
        elif not self._settings.wants("normalisation"):
            told.leave("normalisation", "switched off")
        else:
            told.miss("normalisation", self._errors.get("normalisation", ready))

    def _tell_rates(self, told: Corrections) -> None:
        if not self._settings.wants("randoms"):
            told.leave("randoms", "switched off")
        elif self._lines.randoms is None:
            told.miss("randoms", "no delayeds have come")
        else:
            told.apply("randoms", f"fan sums of {self._lines.delayeds} delayeds")
        if not self._settings.wants("scatter"):
            told.leave("scatter", "switched off")
        elif self._lines.scatter is not None:
            told.apply("scatter", self._scatter.how())
        elif self._lines.mu_per_mm is None:
            told.miss("scatter", "needs attenuation")
        else:
            told.miss("scatter", self._scatter.lacks)
        self._tell_prompt_gamma(told)

    def _tell_prompt_gamma(self, told: Corrections) -> None:
        if not self._begin.nuclide:
            told.leave("prompt_gamma", "not known whether it is needed: the nuclide is not known")
        elif not self._scatter.has_prompt_gamma:
            no = f"not needed: {self._begin.nuclide} has no γ that come with its positrons"
            told.leave("prompt_gamma", no)
        elif not self._settings.wants("prompt_gamma"):
            told.leave("prompt_gamma", "switched off")
        elif self._lines.prompt_gamma is not None:
            share = 100 * self._scatter.prompt_gamma_share
            told.apply("prompt_gamma", f"simulated with the scatter, {share:.0f} % of the prompts")
        elif not self._settings.wants("scatter"):
            told.miss("prompt_gamma", "found together with scatter, which is switched off")
        else:
            told.miss("prompt_gamma", self._scatter.job.error or "waits for scatter")

    def _tell_times(self, told: Corrections) -> None:
        if self._dead_time():
            share = self._imager.intake.live_share
            told.apply("dead_time", f"live share {share:.3f} of the pairs, less what piled up")
        elif not self._settings.wants("dead_time"):
            told.leave("dead_time", "switched off")
        else:
            told.miss("dead_time", "live times have not been told")
        if self._decay():
            told.apply("decay", f"to the start, half-life {self._begin.half_life_s:.5g} s")
        elif not self._settings.wants("decay"):
            told.leave("decay", "switched off")
        else:
            told.miss("decay", "the run's nuclide is not known")


def load_normalisation(path: Path, scanner: Scanner) -> Normalisation:
    """Return the normalisation in a run's calibration set; raises ReconError if it has none."""
    try:
        found = load_set_for(path, scanner)
    except TomoshibiError as error:
        raise ReconError(str(error)) from error
    if why := lacks_normalisation(found):
        raise ReconError(f"{path}: {why}")
    return Normalisation.of_set(
        found.efficiency, found.block_profile, found.geometric, scanner, masked=found.masked
    )
