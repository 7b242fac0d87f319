"""What every frame of a run is reconstructed with: line models, background, sensitivity.

Estimates are the run's, scaled by the counts of each frame (:mod:`recon.offline.frame_counts`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from recon.core.frames import TimeSelection
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.em.event_store import EventStore
from recon.em.sensitivity import support_mask
from recon.em.sensitivity_cache import SensitivitySource
from recon.lines.model import LineFactor, LineModel, LineRate, ScaledRate
from recon.offline.algorithms import iterate
from recon.offline.event_preparation import prepared, thinned
from recon.offline.frame_counts import Counts, Tally
from recon.offline.motion import MovingLineModel, PoseStream
from recon.offline.options import ReconOptions
from recon.offline.run_data import RunData
from recon.projector.operator import Projector
from recon.scatter.quick_image import QUICK_ITERATIONS, QUICK_SUBSETS

QUICK_EVENTS = 1_500_000


@dataclass
class FrameModels:
    """Filled step by step: factors, then randoms, then µ, then scatter.

    span : the time that ``data`` is of; None for a whole run
    """

    data: RunData
    system: ReconSystem
    threads: int
    poses: PoseStream | None = None
    stopped: Callable[[], bool] = lambda: False
    factors: list[LineFactor] = field(default_factory=list)
    randoms: LineRate | None = None
    scatter: LineRate | None = None
    prompt_gamma: LineRate | None = None
    mu: Image | None = None
    span: TimeSelection | None = None

    def __post_init__(self) -> None:
        self._sensitivity = SensitivitySource(
            self.system, threads=self.threads, stopped=self.stopped
        )

    def of_frame(self, tally: Tally, selection: TimeSelection, part: Counts) -> FrameModels:
        """Return the models of one frame as if it were a run, its scatter still to be found."""
        data = self.data
        randoms = self.randoms
        if randoms is not None:
            randoms = ScaledRate(randoms, tally.randoms_scale(part))
        alone = replace(
            data,
            prompt_parts=lambda start_s, end_s: data.prompts(selection),
            duration_s=selection.duration_s,
        )
        return replace(self, data=alone, randoms=randoms, scatter=None, span=selection)

    def rates(self, tally: Tally, part: Counts | None) -> list[LineRate]:
        """Return randoms, scatter and prompt γ of a selection; of the whole run for None."""
        rates: list[LineRate] = []
        if self.randoms is not None:
            scale = 1.0 if part is None else tally.randoms_scale(part)
            rates.append(ScaledRate(self.randoms, scale))
        for rate in (self.scatter, self.prompt_gamma):
            if rate is not None:
                factor = self.data.delayed_factor
                scale = 1.0 if part is None else tally.scatter_scale(part, factor)
                rates.append(ScaledRate(rate, scale))
        return rates

    def model(self, rates: list[LineRate], mu: Image | None) -> LineModel:
        """Return the line model with these rates and this µ map."""
        through = None if mu is None else (Projector(self.system.grid, lanes=1), mu)
        if self.poses is None:
            return LineModel(self.system, self.factors, rates, through)
        return MovingLineModel(self.system, self.factors, rates, through, poses=self.poses)

    def sensitivity(self, selection: TimeSelection, mu: Image | None) -> Image:
        """Return the sensitivity with this µ map; with motion, its mean over the poses."""
        if self.poses is None or selection.duration_s <= 0:
            return self._sensitivity.image(self.factors, mu)
        still = self._sensitivity.image(self.factors)
        moved = self.poses.mean_over(still, self.system.grid, selection)
        if mu is None:
            return moved
        lowered = self._sensitivity.image(self.factors, mu)
        ratio = np.divide(lowered, still, out=np.ones_like(still), where=still > 0)
        return np.asarray(moved * ratio, dtype=np.float32)

    def explained_per_s(self, image: Image, mu: Image | None) -> float:
        """Return the counts per second that an image (emissions/s per voxel) makes by itself."""
        whole = TimeSelection.frame(0.0, self.data.duration_s)
        return float((self.sensitivity(whole, mu) * image).sum(dtype=np.float64))

    def quick(self, tally: Tally, mu: Image | None, *, psf_fwhm_mm: float = 0.0) -> Image:
        """Return an image of the whole run from few events and iterations, emissions/s per voxel,
        with the background known so far."""
        whole = self.span or TimeSelection.frame(0.0, self.data.duration_s)
        every = max(1, -(-tally.run.prompts // QUICK_EVENTS))
        parts = prepared(
            self.model(self.rates(tally, None), mu),
            thinned(self.data.prompts(), every),
            threads=self.threads,
            weight=float(every),
        )
        exposure = self.sensitivity(whole, mu) * np.float32(self.data.duration_s)
        mask = support_mask(exposure, self.system.grid)
        plan = ReconOptions(
            iterations=QUICK_ITERATIONS, psf_fwhm_mm=psf_fwhm_mm, threads=self.threads,
            noise_parts=0,
        )  # fmt: skip
        with EventStore.build(parts, subsets=QUICK_SUBSETS) as store:
            return iterate(self.system, store, exposure, mask, plan, stopped=self.stopped).image
