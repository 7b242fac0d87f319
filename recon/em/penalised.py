"""Penalised likelihood by BSREM: converges to the maximum of L(λ) - β R(λ), subsets or not.

    λ ← [ λ + α_n D(λ) ( ∇L_m(λ) / f - ∇βR(λ) ) ]₊,      ∇L_m = Gᵀ Aᵀ w / (A G λ + b) - f E
    D_j = max(λ_j, δ) / (E_j + 2 λ_j ∂²βR/∂λ_j²),         α_n = 1 / (1 + n / RELAXATION)

over subset m, with the share f of the events, in iteration n: the modified BSREM of S. Ahn and
J. A. Fessler, IEEE Trans. Med. Imaging 22 (2003) 613, who prove convergence to the maximum for
Σ α = ∞, Σ α² < ∞. With β = 0, α = 1 and δ = 0 a step is one of OSEM. The prior's curvature in D
(twice: the Hessian of pairwise differences is at most twice its diagonal) keeps a strong prior from
overshooting; δ, a small share of the uniform image, lets voxels leave 0.

The first iteration is OSEM, unless it starts from an image that was given. Voxels stay below
N / E_j, which no maximum exceeds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.core.grid import Image
from recon.em.prior import Penalty
from recon.em.problem import EmModel, em_quotient, em_update
from recon.projector.operator import EmSums

RELAXATION = 8.0
LEAST_SHARE = 1e-3


@dataclass
class Bsrem:
    """One reconstruction's steps; ``warm`` leaves the first iteration of OSEM out."""

    model: EmModel
    penalty: Penalty
    warm: bool = False

    def __post_init__(self) -> None:
        model = self.model
        total = float(model.exposure.sum(dtype=np.float64))
        level = model.events.total_weight / total if total > 0 else 0.0
        self._least = np.float32(LEAST_SHARE * level)
        counts = np.full(model.mask.shape, model.events.total_weight, dtype=np.float32)
        self._most = em_quotient(counts, model.exposure, model.mask)

    def step(self, image: Image, update: int, half: int | None = None) -> tuple[Image, EmSums]:
        """Return the image after one update, and the sums of its subset."""
        model = self.model
        if update < model.subsets and not self.warm:
            return em_update(model, image, update, half)
        ratio, sums = model.ratio(image, update % model.subsets, half)
        if sums.used <= 0:
            return image, sums
        _, slope, curvature = self.penalty.of(image)
        gradient = ratio - model.exposure - slope
        scale = np.maximum(image, self._least)
        scale = em_quotient(scale, model.exposure + 2 * image * curvature, model.mask)
        relaxed = np.float32(relaxation(update // model.subsets))
        moved = image + relaxed * scale * gradient
        return np.clip(moved, np.float32(0.0), self._most), sums


def relaxation(iteration: int) -> float:
    """Return the step size α of an iteration."""
    return 1.0 / (1.0 + iteration / RELAXATION)
