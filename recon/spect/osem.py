"""OSEM of SPECT, from projections or from single events, of one photopeak or several at once.

    λ ← λ / s_m · Σ_peaks Σ_{views of subset m} Aᵀ [ y / (Aλ + S) ],      s_m = Σ Σ Aᵀ 1

(L. A. Shepp and Y. Vardi, IEEE Trans. Med. Imaging 1 (1982) 113; H. M. Hudson and R. S. Larkin,
ibid. 13 (1994) 601). Peaks are measurements of the same λ, each with its own A and S. For a list,
y/ȳ is a sum over events, Σ w_e / ȳ(pixel of e): with weights of 1 the same as for counts, but
weights may differ and only the angle is binned.

With one subset and S = 0, Σ_j s_j λ_j = Σ y after every update, and the log-likelihood
Σ y ln ȳ − ȳ never falls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, Array
from hw.jit import kernel
from recon.core.grid import Image
from recon.spect.peaks import SpectError
from recon.spect.projector import SpectProjector
from recon.spect.views import View

Progress = Callable[[int, int, float], None]
_LEAST_SENSITIVITY = 1e-4
"""Share of the largest sensitivity: voxels seen less by a subset keep their value in its update."""


class ViewData(Protocol):
    """What was measured in each view of a peak."""

    def ratio(self, view: int, expected: F4) -> tuple[F4, float]:
        """Return y/ȳ (n_u, n_v) of a view, and Σ y ln ȳ − ȳ; ``expected`` is Aλ."""

    def total(self) -> float:
        """Return the sum of y less the expected scatter."""

    def with_scatter(self, scatter: F4) -> ViewData:
        """Return the same measurement with new expected scatter."""


@dataclass(frozen=True)
class Projections:
    """Projections: ``counts`` and ``scatter`` (views, n_u, n_v) float32."""

    counts: F4
    scatter: F4

    def ratio(self, view: int, expected: F4) -> tuple[F4, float]:
        """See :class:`ViewData`. Where nothing is expected, nothing is projected back."""
        y, mean = self.counts[view], expected + self.scatter[view]
        ratio = np.zeros_like(mean)
        np.divide(y, mean, out=ratio, where=mean > 0)
        seen = (y > 0) & (mean > 0)
        log = float((y[seen] * np.log(mean[seen], dtype=np.float64)).sum())
        return ratio, log - float(mean.sum(dtype=np.float64))

    def total(self) -> float:
        """See :class:`ViewData`."""
        return float(self.counts.sum(dtype=np.float64) - self.scatter.sum(dtype=np.float64))

    def with_scatter(self, scatter: F4) -> Projections:
        """See :class:`ViewData`."""
        return replace(self, scatter=scatter)


@kernel
def event_ratio(pixel: Array, weight: Array, mean: Array, out: Array) -> float:
    """Add w/ȳ of events to ``out`` (pixels,) f4; return Σ w ln ȳ.

    ``pixel`` : (n,) u4; ``weight`` : (n,) f4; ``mean`` : (pixels,) f4
    """
    log = 0.0
    for i in range(pixel.shape[0]):
        expected = mean[pixel[i]]
        if expected > 0.0:
            out[pixel[i]] += weight[i] / expected
            log += weight[i] * np.log(expected)
    return log


@dataclass(frozen=True)
class Events:
    """A list of singles in order of view.

    pixel : (n,) u4, iu · n_v + iv; weight : (n,) f4
    first : (views + 1,) i8, where each view's events begin
    scatter : (views, n_u, n_v) f4
    """

    pixel: npt.NDArray[np.uint32]
    weight: F4
    first: npt.NDArray[np.int64]
    scatter: F4

    @classmethod
    def of(
        cls, view: npt.NDArray[np.integer], pixel: npt.NDArray[np.integer], weight: F4, scatter: F4
    ) -> Events:
        """Sort events by view; negative views are left out."""
        order = np.argsort(view, kind="stable")
        order = order[view[order] >= 0]
        first = np.searchsorted(view[order], np.arange(len(scatter) + 1))
        chosen = pixel[order].astype(np.uint32)
        return cls(chosen, weight[order].astype(np.float32), first.astype(np.int64), scatter)

    def ratio(self, view: int, expected: F4) -> tuple[F4, float]:
        """See :class:`ViewData`."""
        mean = np.ascontiguousarray(expected + self.scatter[view])
        out = np.zeros(mean.size, np.float32)
        own = slice(self.first[view], self.first[view + 1])
        log = event_ratio(self.pixel[own], self.weight[own], mean.reshape(-1), out)
        return out.reshape(mean.shape), float(log) - float(mean.sum(dtype=np.float64))

    def total(self) -> float:
        """See :class:`ViewData`."""
        return float(self.weight.sum(dtype=np.float64) - self.scatter.sum(dtype=np.float64))

    def with_scatter(self, scatter: F4) -> Events:
        """See :class:`ViewData`."""
        return replace(self, scatter=scatter)


@dataclass(frozen=True)
class Channel:
    """A photopeak's projector and its measurement."""

    projector: SpectProjector
    data: ViewData


@dataclass
class SpectOsem:
    """Updates an image; the views are the same for all peaks.

    mask : voxels that may hold activity
    """

    channels: Sequence[Channel]
    views: Sequence[View]
    mask: npt.NDArray[np.bool_]
    subsets: int
    log_likelihood: list[float] = field(default_factory=list)
    _sensitivity: dict[int, Image] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.views:
            raise SpectError("no view has any counts or time: there is nothing to reconstruct")
        if not 1 <= self.subsets <= 1000:
            raise SpectError(f"subsets = {self.subsets}: must lie in 1..1000")
        self.subsets = min(self.subsets, len(self.views))

    def members(self, subset: int) -> list[int]:
        """Return the views of a subset: every M-th in order of camera and angle."""
        order = sorted(
            range(len(self.views)), key=lambda k: (self.views[k].module, self.views[k].angle_deg)
        )
        return order[subset :: self.subsets]

    def sensitivity(self, subset: int) -> Image:
        """Return s_m, counts per Bq of each voxel in the views of a subset."""
        if subset not in self._sensitivity:
            views = [self.views[k] for k in self.members(subset)]
            total = np.zeros(self.mask.shape, np.float32)
            for channel in self.channels:
                module = channel.projector.scanner.module
                ones = np.ones((module.n_u, module.n_v), np.float32)
                total += channel.projector.back(
                    np.broadcast_to(ones, (len(views), *ones.shape)), views
                )
            self._sensitivity[subset] = total
        return self._sensitivity[subset]

    def start(self) -> Image:
        """Return the uniform image that expects the measured primaries, in Bq per voxel."""
        seen = sum(
            float(self.sensitivity(m)[self.mask].sum(dtype=np.float64)) for m in range(self.subsets)
        )
        total = sum(channel.data.total() for channel in self.channels)
        level = max(total, 1e-3) / seen if seen > 0 else 0.0
        return np.where(self.mask, np.float32(level), np.float32(0))

    def update(self, image: Image, subset: int) -> tuple[Image, float]:
        """Return the image after one subset, and that subset's log-likelihood before it."""
        members = self.members(subset)
        views = [self.views[k] for k in members]
        total, logs = np.zeros_like(image), []
        for channel in self.channels:

            def ratio(k: int, expected: F4, data: ViewData = channel.data) -> F4:
                values, log = data.ratio(members[k], expected)
                logs.append(log)
                return values

            total += channel.projector.update(image, views, ratio)
        sensitivity = self.sensitivity(subset)
        seen = self.mask & (sensitivity > _LEAST_SENSITIVITY * float(sensitivity.max()))
        factor = np.ones_like(image)
        np.divide(total, sensitivity, out=factor, where=seen)
        return np.asarray(image * np.nan_to_num(factor, nan=1.0, posinf=1.0)), sum(logs)

    def run(
        self,
        iterations: int,
        *,
        initial: Image | None = None,
        progress: Progress = lambda done, total, log_likelihood: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Image:
        """Return the image after whole iterations, fewer if ``stopped`` returns True."""
        if not 1 <= iterations <= 1000:
            raise SpectError(f"iterations = {iterations}: must lie in 1..1000")
        image = self.start() if initial is None else initial
        for done in range(iterations * self.subsets):
            if stopped():
                break
            subset = done % self.subsets
            if subset == 0:
                self.log_likelihood.append(0.0)
            image, log = self.update(image, subset)
            self.log_likelihood[-1] += log
            progress(done + 1, iterations * self.subsets, self.log_likelihood[-1])
        return image
