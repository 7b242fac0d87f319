"""When to stop iterating: enough noise, or too little change.

*Change* is ‖λ_k - λ_(k-1)‖ / ‖λ_k‖ from one whole iteration to the next.

*Noise* comes from two more images, of the events of the even and of the odd subsets, with the same
corrections and half the exposure. They differ by noise alone; the image of all events has half
their difference d as its deviation (independent halves: σ(λ) = σ(d) / 2):

    noise = sqrt( mean (λ_even - λ_odd)² ) / 2 / mean λ      over the object,

the object being the voxels above a quarter of the maximum after a blur of 3 voxels FWHM. It grows
with every iteration, and the image returned is the last one within the bound (the first iteration's
at least). Asking for noise doubles the time; without it nothing is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import gaussian_filter

from recon.em_model import EmModel, OsemError
from recon.grid import Image
from recon.projector import EmSums
from recon.tof import FWHM_PER_SIGMA

Step = Callable[[Image, int], tuple[Image, EmSums]]
"""Returns the image after an update (counted from 0 over all iterations), and the sums."""

OBJECT_SHARE = 0.25
OBJECT_FWHM_VOXELS = 3.0


@dataclass(frozen=True)
class Stopping:
    """Bounds; None is no bound. ``noise`` and ``change`` are relative (0.1 is 10 %)."""

    noise: float | None = None
    change: float | None = None

    def __post_init__(self) -> None:
        for name in ("noise", "change"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 10.0:
                raise OsemError(f"stop at {name} = {value:g}: must lie in 0..10")

    @classmethod
    def parse(cls, text: str) -> Stopping:
        """Return the rule written as ``noise=0.1``, ``change=0.01`` or both with a comma."""
        bounds: dict[str, float] = {}
        for part in text.split(","):
            name, _, value = part.strip().partition("=")
            try:
                number = float(value)
            except ValueError:
                number = float("nan")
            if name not in ("noise", "change") or number != number:
                raise OsemError(f'stop rule "{part}": write noise=0.1 or change=0.01')
            bounds[name] = number
        return cls(**bounds)


@dataclass
class Watch:
    """The image being made by ``step``, and what its stopping rule has to know of it."""

    model: EmModel
    stopping: Stopping
    image: Image
    step: Step
    change: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self.image
        self._halves = []
        if self.stopping.noise is not None:
            if self.model.subsets % 2:
                raise OsemError(
                    f"a bound on noise needs an even number of subsets, not {self.model.subsets}"
                )
            self._halves = [self.image, self.image]

    def update(self, update: int) -> EmSums:
        """Update the image, and the half's image if noise is asked for, with one subset."""
        if self._halves:
            half = update % 2
            self._halves[half] = self.step(self._halves[half], update)[0]
        self.image, sums = self.step(self.image, update)
        return sums

    def iteration_done(self, *, explained: bool) -> str:
        """Note change and noise; return why to stop, or nothing."""
        if not explained:
            self.image = np.zeros_like(self.image)
            return "no event can be explained"
        before, self._before = self._before, self.image
        self.change.append(_relative_change(before, self.image))
        if self._halves:
            self.noise.append(relative_noise(self.image, self._halves[0], self._halves[1]))
        bound = self.stopping.noise
        if bound is not None and self.noise[-1] > bound:
            if len(self.noise) > 1:
                self.image = before
            return f"noise {100 * self.noise[-1]:.3g} % above {100 * bound:.3g} %"
        bound = self.stopping.change
        if bound is not None and self.change[-1] < bound:
            return f"change {100 * self.change[-1]:.3g} % below {100 * bound:.3g} %"
        return ""


def relative_noise(image: Image, even: Image, odd: Image) -> float:
    """Return the relative noise of ``image`` in the object, from the images of its halves."""
    smooth = gaussian_filter(image, OBJECT_FWHM_VOXELS / FWHM_PER_SIGMA)
    inside = smooth > OBJECT_SHARE * smooth.max(initial=0.0)
    mean = float(image[inside].mean(dtype=np.float64)) if inside.any() else 0.0
    if mean <= 0:
        return 0.0
    difference = (even[inside].astype(np.float64) - odd[inside]) / 2
    return float(np.sqrt((difference**2).mean())) / mean


def _relative_change(before: Image, after: Image) -> float:
    size = float(np.linalg.norm(after))
    return float(np.linalg.norm(after - before)) / size if size > 0 else 0.0
