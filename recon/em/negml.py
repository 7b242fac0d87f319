"""Maximum likelihood with negative values allowed, so that cold regions have no bias: NEGML.

EM keeps every voxel positive. Where there is no activity, noise can then only lift the image, and
its mean over a cold region is above 0; the more the fewer counts and the more background. NEGML
(J. Nuyts, C. Michel and P. Dupont, IEEE Trans. Nucl. Sci. 49 (2002) 56; with a modified Poisson
likelihood K. Van Slambrouck et al., IEEE Trans. Med. Imaging 34 (2015) 126) climbs the likelihood
with a step that does not vanish where the image does:

    λ_j ← λ_j + α Σ_i a_ij (y_i - ȳ_i) / max(ȳ_i, ψ_i)  /  Σ_i a_ij (A 1)_i / max(ȳ_i, ψ_i)

and replaces Poisson's variance ȳ_i by ψ_i where it would be too small, or negative. In list mode
most lines have no event, and the sum over all lines of a_ij ȳ_i / ȳ_i is the exposure E_j:

    λ_j ← λ_j + α D_j ( Σ_events a_ij w / max(ȳ_i, ψ_i) - E_j ),     ψ_i = PSI b_i + ψ₀

with b_i the randoms and scatter of the event's line. For a line without activity the true ȳ_i is
b_i, above ψ_i: so at the truth no line is below its threshold, the expectation of the bracket is 0
everywhere, and an image that satisfies it has no bias to first order. (The term that list mode
lacks, Σ over lines below ψ of a_ij (1 - ȳ_i / ψ_i), is 0 there.) ψ₀, a hundredth of what a line
through the uniform image expects, stands in where a line has no background.

D_j is 1 over Σ_events a_ij w (A 1)_i / max(ȳ_i, ψ_i)², of which the sum over i above is the mean.
It is found once, after a first iteration of OSEM, and smoothed beside E: it may not follow the
noise, or noise and step would be correlated. α falls as in :mod:`recon.em.penalised`, which lets
subsets converge. The values stay within ± N / E_j.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from hw.arrays import F4
from recon.core.display_filter import gaussian
from recon.core.events import EventList
from recon.core.grid import Image
from recon.em.penalised import relaxation
from recon.em.problem import EmModel, em_quotient, em_update
from recon.projector.operator import EmSums

PSI = 0.5
"""ψ as a share of the line's background."""

LEAST_SHARE = 0.01
"""ψ₀ as a share of the mean line of the uniform image."""

STEP_FWHM_MM = 12.0
"""D is smoothed by so much: wider than the noise, narrower than an object."""


@dataclass
class Negml:
    """The updates of one reconstruction; the first iteration is OSEM."""

    model: EmModel
    _least: float = field(init=False, default=0.0)
    _scale: Image | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        model = self.model
        counts = np.full(model.mask.shape, model.events.total_weight, dtype=np.float32)
        self._most = em_quotient(counts, model.exposure, model.mask)

    def step(self, image: Image, update: int) -> tuple[Image, EmSums]:
        """Return the image after one update, and the sums of its subset."""
        model = self.model
        if update < model.subsets:
            return em_update(model, image, update)
        if self._scale is None:
            self._scale = self._step_size(image)
        ratio, sums = self._ratio(image, update % model.subsets)
        if sums.used <= 0:
            return image, sums
        relaxed = np.float32(relaxation(update // model.subsets))
        moved = image + relaxed * self._scale * (ratio - model.exposure)
        return np.clip(moved, -self._most, self._most), sums

    def _ratio(self, image: Image, subset: int) -> tuple[Image, EmSums]:
        """Return Gᵀ Aᵀ (w / max(ȳ, ψ)) / f of a subset's events, and their sums."""
        model = self.model
        back = np.zeros_like(image)
        used = unexplained = log_sum = signal = 0.0
        for events, line in self._along(image, subset):
            variance = self._variance(events, line)
            weight = events.weight * (line != 0)
            share = np.asarray(weight / variance, dtype=np.float32)
            back += model.projector.back(share, events.lors)
            seen = float(weight.sum(dtype=np.float64))
            used += seen
            unexplained += float(events.weight.sum(dtype=np.float64)) - seen
            log_sum += float((weight * np.log(variance)).sum(dtype=np.float64))
            signal += float((weight * line / variance).sum(dtype=np.float64))
        if used + unexplained > 0:
            back *= np.float32(model.events.total_weight / (used + unexplained))
        if model.resolution is not None:
            back = model.resolution.adjoint(back)
        return back, EmSums(used, unexplained, log_sum, signal)

    def _step_size(self, image: Image) -> Image:
        """Return D from all events, smooth; sets ψ₀ first."""
        model = self.model
        everywhere = model.mask.astype(np.float32)
        self._least = self._least_variance(everywhere)
        curvature = np.zeros_like(image)
        for subset in range(model.subsets):
            lines = self._along(image, subset)
            chords = self._along(everywhere, subset)
            for (events, line), (_, chord) in zip(lines, chords, strict=True):
                share = events.weight * chord / self._variance(events, line) ** 2
                curvature += model.projector.back(share, events.lors)
        if model.resolution is not None:
            curvature = model.resolution.adjoint(curvature)
        grid = model.projector.grid
        over, under = (gaussian(one, grid, fwhm_mm=STEP_FWHM_MM) for one in (
            model.exposure, curvature * model.mask,
        ))  # fmt: skip
        return em_quotient(em_quotient(over, under, model.mask), model.exposure, model.mask)

    def _least_variance(self, everywhere: Image) -> float:
        """Return ψ₀."""
        model = self.model
        level = model.events.total_weight / max(float(model.exposure.sum(dtype=np.float64)), 1e-30)
        total = sum(
            float(chord.sum(dtype=np.float64))
            for subset in range(model.subsets)
            for _, chord in self._along(everywhere, subset)
        )
        return max(LEAST_SHARE * level * total / max(len(model.events), 1), 1e-30)

    def _along(self, image: Image, subset: int) -> Iterator[tuple[EventList, F4]]:
        """Yield a subset's events with the projections of an image along their lines."""
        model = self.model
        seen = image if model.resolution is None else model.resolution.apply(image)
        for events in model.events.subset(subset):
            yield events, model.projector.forward(seen, events.lors)

    def _variance(self, events: EventList, line: F4) -> F4:
        """Return max(ȳ, ψ) of each event's line."""
        background = events.addend if len(events.addend) else np.zeros_like(line)
        least = np.float32(PSI) * background + np.float32(self._least)
        return np.asarray(np.maximum(line + background, least), dtype=np.float32)
