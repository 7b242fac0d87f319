"""Scatter and prompt γ of the live image: found in the background from a quick image, as offline.

At ``SCATTER_PROMPTS``, and again when the prompts have doubled or ``SCATTER_EVERY_S`` have passed,
a sample of the kept events is reconstructed with the corrections known so far, as
:mod:`recon.offline.scatter_step` does it, and scatter estimated from that image. The live image
itself would not do: it follows changed corrections only slowly. Prompt γ of the run's nuclide are
simulated from the same image, and both amounts found together.

Events are of all the time that the ring holds, in which the activity may have decayed. What is
found is kept per second of exposure: scatter decays, and is missed in dead time, as trues are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hw.physics.nuclides import Nuclide
from recon.core.grid import Image
from recon.core.resolution import GaussianResolution
from recon.core.scanner_tables import ReconSystem
from recon.em.list_mode_osem import osem
from recon.lines.model import LineModel
from recon.live.background_job import JobSlot
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from recon.live.memory import Sample
from recon.projector.operator import Projector
from recon.scatter import (
    EnergyWindow,
    PromptGammas,
    ScatterError,
    ScatterRate,
    SingleScatter,
    estimate_scatter,
)
from recon.scatter.cascades import may_have_prompt_gamma
from recon.scatter.quick_image import PSF_FWHM_MM, QUICK_ITERATIONS, QUICK_SUBSETS
from recon.scatter.rate import counted_per_s, settled

SCATTER_PROMPTS, LAST_PROMPTS = 200_000, 20_000
"""Fewest prompts that scatter is estimated from; the latter at the end of a run, which has no more
to wait for (offline, a frame's own scatter needs as many)."""

SCATTER_EVERY_S = 30.0
SCATTER_GROWTH = 2.0

SAMPLE, LAST_SAMPLE = 500_000, 1_500_000
"""Number of prompts that the quick image and the tails are of; the latter at the end of a run."""

CORES = os.cpu_count() or 1

MOST_SIGMA = 0.1
"""Scatter whose amount is less certain, relative to itself, is left out: in a head it is about as
much as the trues, so a tenth of it is a tenth of the image."""


@dataclass(frozen=True)
class Found:
    """What one job found, per second of exposure.

    prompt_gamma : None where the nuclide has none, or they are not wanted
    """

    scatter: ScatterRate
    prompt_gamma: ScatterRate | None
    prompt_gamma_share: float = 0.0


class LiveScatter:
    """The scatter of one run, and its prompt γ; applied to the imager's lines when ready.

    job : what is under way
    """

    def __init__(
        self,
        imager: LiveImager[CrystalLines],
        system: ReconSystem,
        window: EnergyWindow,
        nuclide: Nuclide | None = None,
    ) -> None:
        """nuclide : of the run, None if not known"""
        self.job: JobSlot[Found] = JobSlot("scatter")
        self.prompt_gamma_share = 0.0
        self._nuclide = nuclide if nuclide and may_have_prompt_gamma(nuclide, window) else None
        self._with_gammas = True
        self._gammas: PromptGammas | None = None
        self._imager = imager
        self._lines = imager.lines
        self._system = system
        self._window = window
        self._simulation: SingleScatter | None = None
        self._at_s, self._at_prompts = 0.0, 0
        self._least = SCATTER_PROMPTS
        self.unsettled = ""
        """Why the final image's scatter is not what it would become, "" if it is."""

    def close(self) -> None:
        """Stop what is under way."""
        self.job.stop()

    @property
    def lacks(self) -> str:
        """Why there is no estimate."""
        few = self._imager.intake.used < self._least
        return self.job.error or (f"waits for {self._least} prompts" if few else "not ready yet")

    def forget(self) -> None:
        """Stop, and leave scatter in the image; the next :meth:`begin` starts at once."""
        self.close()
        self._lines.scatter = self._lines.prompt_gamma = None
        self._at_s, self._at_prompts = 0.0, 0

    def switch_prompt_gamma(self, *, on: bool) -> None:
        """Correct for prompt γ from now on, or leave them in the image."""
        if on != self._with_gammas:
            self._with_gammas = on
            self.forget()

    @property
    def has_prompt_gamma(self) -> bool:
        """Whether the run's nuclide has prompt γ."""
        return self._nuclide is not None

    def restart(self) -> None:
        """Forget all: the lines have another µ map or other factors."""
        self.forget()
        self._simulation = self._gammas = None

    def take(self) -> None:
        """Apply what is ready."""
        made = self.job.take()
        if made is not None:
            self._lines.scatter, self._lines.prompt_gamma = made.scatter, made.prompt_gamma
            self.prompt_gamma_share = made.prompt_gamma_share

    def begin(self) -> None:
        """Start an estimate if one is due; the lines must have a µ map."""
        now_s, prompts = self._now_s, self._imager.intake.used
        due = prompts >= SCATTER_GROWTH * self._at_prompts or now_s - self._at_s >= SCATTER_EVERY_S
        if due:
            self._start(SAMPLE)

    @property
    def has_gammas(self) -> bool:
        """Whether prompt γ is estimated with the scatter; where it is half the prompts, that takes
        more rounds.
        """
        return self._with_gammas and self._nuclide is not None

    def conclude(self, *, last: bool) -> None:
        """Start an estimate from all events that a run had; ``last``: the one that stays."""
        self._start(LAST_SAMPLE, last=last)

    @property
    def _now_s(self) -> float:
        return self._imager.intake.watermark_ps * 1e-12

    def _start(self, most: int, *, last: bool = False) -> None:
        imager = self._imager
        self._least = LAST_PROMPTS if most == LAST_SAMPLE else SCATTER_PROMPTS
        if self.job.busy or imager.intake.used < self._least:
            return
        self._at_s, self._at_prompts = self._now_s, imager.intake.used
        of = imager.exposure_of
        sample = imager.memory.sample_of_all(most, live=of.live, decay=of.decay)
        over = most == LAST_SAMPLE  # then it is all that is to be done
        threads = CORES if over else 1
        work = self._work(sample, imager.exposure_s, threads=threads, last=last)
        self.job.begin(work, aside=not over)

    def how(self) -> str:
        """Return in words how the scatter in use was found."""
        scatter = self._lines.scatter
        about = {} if scatter is None else scatter.about
        words = f"simulated from the image at {self._at_s:.0f} s"
        words += f", {self.unsettled}" if self.unsettled else ""
        share = about.get("share_of_prompts") or 0.0
        if scatter is None or share <= 0:
            return words
        error = 100 * share * relative_sigma(scatter)
        return f"{words}, {100 * share:.0f} ± {error:.0f} % of the prompts{_note(scatter)}"

    def _work(
        self, sample: Sample, exposure_s: float, *, threads: int, last: bool
    ) -> Callable[[Callable[[], bool]], Found]:
        """Return the work; what the image's thread may replace meanwhile is taken here, or once.

        threads : all cores are free once the run is over
        last : whether the estimate is the run's last one
        """
        lines, mu = self._lines, self._lines.mu_per_mm
        assert mu is not None
        estimate, randoms, model = self._imager.estimate_of_all, lines.randoms, lines.model
        exposure = estimate.sensitivity * np.float32(exposure_s)
        mask, before = estimate.mask, lines.scatter
        previous = None if before is None else before.scaled(sample.exposure)
        nuclide = self._nuclide if self._with_gammas else None

        def work(stopped: Callable[[], bool]) -> Found:
            if self._simulation is None:
                self._simulation = SingleScatter(self._system, mu, self._window, stopped=stopped)
            image = _quick_image(lines, sample, exposure, mask, stopped, threads=threads)
            image = image * np.float32(sample.exposure)  # the mean while the sample came
            gamma = trues_per_s = None
            if nuclide is not None:  # many γ miss the image: it does not explain all that is left
                trues_per_s = float((estimate.sensitivity * image).sum(dtype=np.float64))
                simulated = self._prompt_gammas(nuclide, mu, stopped)
                simulated = replace(simulated if last else simulated.quickly(), threads=threads)
                gamma = simulated.rate(settled(image, previous), model.factors)
            found = estimate_scatter(
                LineModel(self._system, factors=model.factors),
                image,
                mu,
                [sample.columns[0]],
                duration_s=sample.seconds,
                window=self._window,
                randoms=randoms,
                gamma=gamma,
                simulation=self._simulation,
                previous=previous,
                trues_per_s=trues_per_s,
                stopped=stopped,
            )
            check_certain(found)
            scatter = found.scaled(1.0 / sample.exposure)
            if gamma is None:
                return Found(scatter, None)
            gamma = gamma.scaled(found.gamma_scale)
            share = counted_per_s(gamma) * sample.seconds / max(len(sample.columns[0]), 1)
            return Found(scatter, gamma.scaled(1.0 / sample.exposure), share)

        return work

    def _prompt_gammas(
        self, nuclide: Nuclide, mu: Image, stopped: Callable[[], bool]
    ) -> PromptGammas:
        """Return the simulation of the run's prompt γ, which also stops with this job."""
        if self._gammas is None:
            photons = PromptGammas.pairs_of(self._system, self._window, nuclide)
            self._gammas = PromptGammas.of(self._system, mu, self._window, photons)
        return replace(self._gammas, stopped=stopped)


def relative_sigma(scatter: ScatterRate) -> float:
    """Return how uncertain the amount of scatter is, relative to itself."""
    return float(scatter.about.get("scale_sigma", 0.0) / (scatter.about.get("scale") or 1.0))


def check_certain(scatter: ScatterRate) -> None:
    """Raise :class:`ScatterError` where scatter is not known well enough to be subtracted."""
    sigma, why = relative_sigma(scatter), _note(scatter)
    if sigma > MOST_SIGMA:
        raise ScatterError(
            f"its amount is known within {100 * sigma:.1f} % only, {100 * MOST_SIGMA:.0f} % are "
            f"needed: left out until more prompts have come{why}"
        )


def _note(scatter: ScatterRate) -> str:
    """Return what should be said of an estimate, after its words; "" for nothing."""
    note = str(scatter.about.get("note") or "")
    return f"; {note}" if note else ""


def _quick_image(
    lines: CrystalLines,
    sample: Sample,
    exposure: Image,
    mask: npt.NDArray[np.bool_],
    stopped: Callable[[], bool],
    *,
    threads: int,
) -> Image:
    """Return an image of the sample, emissions per second of exposure in each voxel."""
    projector = Projector(lines.grid, tof=lines.tof, threads=threads, lanes=threads)
    resolution = GaussianResolution(lines.grid, (PSF_FWHM_MM,) * 3)
    try:
        events = lines.events(sample.columns, sample.weight)
        made = osem(
            projector, events, exposure, mask, iterations=QUICK_ITERATIONS,
            subsets=max(1, min(QUICK_SUBSETS, len(events))), resolution=resolution,
            stopped=stopped,
        )  # fmt: skip
    finally:
        projector.close()
    return made.image
