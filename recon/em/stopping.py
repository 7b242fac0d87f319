"""When to stop iterating: at a noise limit, a small change, or when the counts hold no more.

*Change* is ‖λ_k - λ_(k-1)‖ / ‖λ_k‖ from one whole iteration to the next.

*Noise* is estimated from two more images, updated in the same way, each from half of the events of
every subset, drawn at random, and half the exposure. They differ by noise alone
(:mod:`recon.core.noise_parts`). It grows with every iteration; the last image within the bound is
returned (or that of the first iteration).

*Counts* asks whether the two halves agree: the log-likelihood of each half's image for the other's
events rises as long as an iteration adds what is in both, and falls once it adds noise (cross-
validation: K. J. Coakley, IEEE Trans. Nucl. Sci. 38 (1991) 9). The image at its maximum is
returned. There is no bound to choose: more counts allow more iterations.

The noise rule doubles the time, the counts rule triples it; without either, no halves are made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.em.problem import EmModel, OsemError
from recon.projector.joseph_kernels import LEAST_EXPECTED
from recon.projector.operator import EmSums


class Step(Protocol):
    """One update of an algorithm."""

    def __call__(self, image: Image, update: int) -> tuple[Image, EmSums]:
        """Return the image after an update (counted over all iterations), and its sums."""


LEAST_LOG = math.log(LEAST_EXPECTED)
"""Log-likelihood of an event that an image cannot explain."""


@dataclass(frozen=True)
class Stopping:
    """Bounds; None for no bound. ``noise`` and ``change`` are relative (0.1 is 10 %)."""

    noise: float | None = None
    change: float | None = None
    counts: bool = False

    @property
    def needs_halves(self) -> bool:
        """Whether the events must be halved to know when to stop."""
        return self.noise is not None or self.counts

    def __post_init__(self) -> None:
        for name in ("noise", "change"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < 10.0:
                raise OsemError(f"stop at {name} = {value:g}: must lie in 0..10")

    @classmethod
    def parse(cls, text: str) -> Stopping:
        """Return the rule given by ``noise=0.1``, ``change=0.01``, ``counts``, comma-separated."""
        rules = [part.strip() for part in text.split(",")]
        bounds: dict[str, float] = {}
        for rule in rules:
            name, _, value = rule.partition("=")
            try:
                number = float(value)
            except ValueError:
                number = math.nan
            if rule != "counts" and (name not in ("noise", "change") or math.isnan(number)):
                raise OsemError(f'stop rule "{rule}": write noise=0.1, change=0.01 or counts')
            if rule != "counts":
                bounds[name] = number
        return cls(**bounds, counts="counts" in rules)


class Made(NamedTuple):
    """A model, and the step of the algorithm on it."""

    model: EmModel
    step: Step


@dataclass
class Watch:
    """The image in the making, and what the stopping rule needs to know about it.

    whole, halves : how the image is made, and how those of the halves of the events are, if wanted
    """

    whole: Made
    halves: list[Made]
    stopping: Stopping
    image: Image
    change: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    agreement: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = self.image
        self._halves = [self.image for _ in self.halves]

    def update(self, update: int) -> EmSums:
        """Update the image, and those of the halves if any, with one subset."""
        for half, image in enumerate(self._halves):
            self._halves[half] = self.halves[half].step(image, update)[0]
        self.image, sums = self.whole.step(self.image, update)
        return sums

    def iteration_done(self, *, explained: bool) -> str:
        """Record change, noise and agreement; return the reason to stop, or nothing."""
        if not explained:
            self.image = np.zeros_like(self.image)
            return "no event can be explained"
        before, self._before = self._before, self.image
        self.change.append(_relative_change(before, self.image))
        if self._halves:
            self.noise.append(NoiseParts(np.stack(self._halves), 0.5).relative(self.image))
        if self.stopping.counts:
            self.agreement.append(self._agreement())
        too_far = self._too_far()
        if too_far and len(self.change) > 1:
            self.image = before
            return f"{too_far}: the image is that of the iteration before"
        return too_far or self._still()

    def _too_far(self) -> str:
        bound = self.stopping.noise
        if bound is not None and self.noise[-1] > bound:
            return f"noise {100 * self.noise[-1]:.3g} % above {100 * bound:.3g} %"
        if len(self.agreement) > 1 and self.agreement[-1] < self.agreement[-2]:
            return "the halves of the counts agree less"
        return ""

    def _still(self) -> str:
        bound = self.stopping.change
        if bound is not None and self.change[-1] < bound:
            return f"change {100 * self.change[-1]:.3g} % below {100 * bound:.3g} %"
        return ""

    def _agreement(self) -> float:
        """Return the log-likelihood of each half's image for the other half's events."""
        total = 0.0
        for half, image in enumerate(self._halves):
            other = self.halves[1 - half].model
            total -= other.expected(image)
            for subset in range(other.subsets):
                sums = other.ratio(image, subset)[1]
                total += sums.log_likelihood + sums.unexplained * LEAST_LOG
        return total


def _relative_change(before: Image, after: Image) -> float:
    size = float(np.linalg.norm(after))
    return float(np.linalg.norm(after - before)) / size if size > 0 else 0.0
