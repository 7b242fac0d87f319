"""Penalised likelihood by BSREM: converges to the maximum of L(λ) - β R(λ), subsets or not.

    λ ← [ λ + α_n D(λ) ( ∇L_m(λ) / f - ∇βR(λ) ) ]₊,      ∇L_m = Gᵀ Aᵀ w / (A G λ + b) - f E
    D_j = max(λ_j, δ) / (E_j + 2 λ_j ∂²βR/∂λ_j²),         α_n = 1 / (1 + n / RELAXATION)

over subset m, with the share f of the events, in iteration n: the modified BSREM of S. Ahn and
J. A. Fessler, IEEE Trans. Med. Imaging 22 (2003) 613, who prove convergence to the maximum for
Σ α = ∞, Σ α² < ∞. With β = 0, α = 1 and δ = 0 a step is one of OSEM. The prior's curvature in D
(twice: the Hessian of pairwise differences is at most twice its diagonal) keeps a strong prior from
overshooting; δ, a small share of the uniform image, lets voxels leave 0.

The first iteration is OSEM, unless an initial image is given. Voxels stay below N / E_j, which no
maximum exceeds.

The relative-difference prior smooths an image in proportion to its level:

    R(λ) = Σ_{pairs j,k} v_jk κ_j κ_k (λ_j - λ_k)² / (λ_j + λ_k + γ |λ_j - λ_k| + ε)

J. Nuyts, D. Bequé, P. Dupont and L. Mortelmans, IEEE Trans. Nucl. Sci. 49 (2002) 56 (without
ε, which makes R differentiable where both voxels are 0: E. Ahn et al., Phys. Med. Biol. 60 (2015)
5733). Pairs are the 26 neighbours, v_jk the smallest voxel size over the distance of the centres.
With d = λ_j - λ_k and S the denominator,

    ∂/∂λ_j = v κ κ d (λ_j + 3 λ_k + γ |d| + 2 ε) / S²,     ∂²/∂λ_j² = 2 v κ κ (2 λ_k + ε)² / S³.

κ is 0 outside the mask: the border of the mask is not an edge to be smoothed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from hw.arrays import F4, F8, I8
from hw.jit import bare_kernel
from recon.core.grid import Image, ImageGrid
from recon.em.problem import EmModel, OsemError, em_quotient, em_update
from recon.projector.operator import EmSums


@dataclass(frozen=True)
class RelativeDifference:
    """The prior as the user sets it, without units.

    beta : strength: the penalty is beta · Ē · R(λ) with Ē the mean exposure, so that it scales with
        the counts and one value serves short and long scans
    gamma : edge preservation: 0 is a quadratic prior on relative differences, 2 is usual
    epsilon : ε as a share of the uniform image's level
    kappa : weight of each voxel; None for ones
    """

    beta: float
    gamma: float = 2.0
    epsilon: float = 1e-2
    kappa: Image | None = None

    def __post_init__(self) -> None:
        for name, low, high in (("beta", 0.0, 1e6), ("gamma", 0.0, 1e3), ("epsilon", 1e-6, 1e3)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise OsemError(f"prior: {name} = {value:g} must lie in {low:g}..{high:g}")

    def penalty(self, model: EmModel) -> Penalty:
        """Return the penalty scaled to one reconstruction's exposure, mask and counts."""
        kappa = np.ones(model.mask.shape, np.float32) if self.kappa is None else self.kappa
        model.projector.grid.check(kappa, what="kappa")
        if not (np.isfinite(kappa) & (kappa >= 0)).all():
            raise OsemError("kappa has voxels that are negative or not finite")
        total = float(model.exposure.sum(dtype=np.float64))
        mean = total / max(int(model.mask.sum()), 1)
        level = model.events.total_weight / total if total > 0 else 0.0
        return Penalty(
            strength=self.beta * mean,
            gamma=self.gamma,
            epsilon=max(self.epsilon * level, 1e-30),
            kappa=np.where(model.mask, kappa, 0).astype(np.float32),
            neighbours=neighbours(model.projector.grid),
        )


@dataclass(frozen=True)
class Penalty:
    """strength · R with everything in units of the image."""

    strength: float
    gamma: float
    epsilon: float
    kappa: Image
    neighbours: tuple[I8, F4]

    def of(self, image: Image) -> tuple[float, Image, Image]:
        """Return the penalty of ``image``, its gradient and the diagonal of its Hessian."""
        gradient, curvature = np.zeros_like(image), np.zeros_like(image)
        value = np.zeros(1)
        numbers = (np.float32(self.gamma), np.float32(self.epsilon), np.float32(self.strength))
        relative_differences(
            image, self.kappa, *self.neighbours, *numbers, gradient, curvature, value
        )
        return float(value[0]), gradient, curvature


def neighbours(grid: ImageGrid) -> tuple[I8, F4]:
    """Return the steps to the 26 neighbours, (26, 3), and their weights, (26,)."""
    steps = np.array([s for s in itertools.product((-1, 0, 1), repeat=3) if any(s)], dtype=np.int64)
    distance = np.sqrt(((steps * np.array(grid.voxel_mm)) ** 2).sum(axis=1))
    return steps, (min(grid.voxel_mm) / distance).astype(np.float32)


@bare_kernel
def relative_differences(
    image: F4,
    kappa: F4,
    steps: I8,
    weights: F4,
    gamma: np.float32,
    epsilon: np.float32,
    strength: np.float32,
    gradient: F4,
    curvature: F4,
    value: F8,
) -> None:
    """Add gradient and curvature to images of zeros, and the penalty to ``value[0]``.

    All images (x, y, z) float32. Every pair is visited from both sides: half its value each time.

    Parameters
    ----------
    kappa : weight of each voxel
    steps, weights : (26, 3) and (26,), see :func:`neighbours`
    gamma, epsilon : as in the prior; ``strength`` : factor of the whole penalty
    gradient, curvature : images that are added to; ``value`` : (1,)
    """
    two, three, half = np.float32(2.0), np.float32(3.0), np.float32(0.5)
    n_x, n_y, n_z = image.shape
    total = 0.0
    for x in range(n_x):
        for y in range(n_y):
            for s in range(len(steps)):
                u = x + steps[s, 0]
                v = y + steps[s, 1]
                if u < 0 or u >= n_x or v < 0 or v >= n_y:
                    continue
                dz = steps[s, 2]
                weight = weights[s] * strength
                row = np.float32(0.0)
                for z in range(max(0, -dz), min(n_z, n_z - dz)):
                    a = image[x, y, z]
                    b = image[u, v, z + dz]
                    k = weight * kappa[x, y, z] * kappa[u, v, z + dz]
                    d = a - b
                    edge = gamma * abs(d) + epsilon
                    inverse = np.float32(1.0) / (a + b + edge)
                    share = d * inverse
                    row += k * share * d
                    gradient[x, y, z] += k * share * (a + three * b + edge + epsilon) * inverse
                    other = (two * b + epsilon) * inverse
                    curvature[x, y, z] += two * k * other * other * inverse
                total += np.float64(half * row)
    value[0] += total


RELAXATION = 8.0
LEAST_SHARE = 1e-3


@dataclass
class Bsrem:
    """The updates of one reconstruction; ``warm`` skips the initial OSEM iteration."""

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

    def step(self, image: Image, update: int) -> tuple[Image, EmSums]:
        """Return the image after one update, and the sums of its subset."""
        model = self.model
        if update < model.subsets and not self.warm:
            return em_update(model, image, update)
        ratio, sums = model.ratio(image, update % model.subsets)
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
