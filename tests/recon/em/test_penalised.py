"""The relative-difference prior and BSREM: gradient, maximum, and what is refused."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import minimize

from oracles.reconstruction import random_lines
from recon.core.events import EventList, Lors
from recon.core.grid import ImageGrid
from recon.em.event_store import EventStore
from recon.em.list_mode_osem import osem
from recon.em.penalised import Bsrem, Penalty, RelativeDifference, neighbours, relaxation
from recon.em.problem import EmModel, OsemError
from recon.projector.operator import Projector

GRID = ImageGrid((7, 6, 5), (4.0, 4.0, 5.0))
BACKGROUND = 0.3
Array = np.ndarray


def columns(lines: Lors) -> Array:
    """Return the projector's own matrix (lines, voxels): it is not what is tested here."""
    projector, n_voxels = Projector(GRID), int(np.prod(GRID.shape))
    units = np.eye(n_voxels, dtype=np.float32).reshape(n_voxels, *GRID.shape)
    return np.stack([projector.forward(unit, lines) for unit in units], axis=1).astype(np.float64)


class Dense:
    """A tiny problem whose objective is written down with its matrix, in double precision."""

    def __init__(self) -> None:
        lines = random_lines(400, radius_mm=30.0, z_mm=14.0)
        self.matrix = columns(lines)
        truth = np.ones(GRID.shape)
        truth[2:4, 2:4, 1:3] = 5.0
        truth[5:] = 0.0
        crossing = self.matrix.sum(axis=1) > 0
        mean = self.matrix @ truth.reshape(-1) * 0.3
        self.counts = np.where(crossing, np.random.default_rng(1).poisson(mean + BACKGROUND), 0)
        exposure = self.matrix.sum(axis=0)
        self.exposure = exposure.reshape(GRID.shape).astype(np.float32)
        self.mask = self.exposure > 0
        chosen = EventList.plain(lines.take(np.repeat(np.arange(400), self.counts)))
        addend = np.full(len(chosen), BACKGROUND, np.float32)
        self.events = EventList(chosen.lors, chosen.weight, addend)

    def model(self, subsets: int) -> EmModel:
        store = EventStore.build([self.events], subsets=subsets)
        return EmModel.of(Projector(GRID), store, self.exposure, self.mask)

    def loss(self, image: Array, penalty: Penalty) -> float:
        """Return what is to be minimised: R - L."""
        expected = self.matrix @ image + BACKGROUND
        hit = self.counts > 0
        likelihood = self.counts[hit] @ np.log(expected[hit]) - self.matrix.sum(axis=0) @ image
        return float(slow_penalty(image.reshape(GRID.shape), penalty) - likelihood)

    def slope(self, image: Array, penalty: Penalty) -> Array:
        expected = self.matrix @ image + BACKGROUND
        hit = self.counts > 0
        up = self.matrix[hit].T @ (self.counts[hit] / expected[hit]) - self.matrix.sum(axis=0)
        of_prior = penalty.of(image.reshape(GRID.shape).astype(np.float32))[1]
        return np.asarray(of_prior.reshape(-1) - up, dtype=np.float64)


def slow_penalty(image: Array, penalty: Penalty) -> float:
    """The formula, pair by pair, by shifting whole images."""
    total, kappa = 0.0, penalty.kappa.astype(np.float64)
    steps = [s for s in itertools.product((-1, 0, 1), repeat=3) if s > (0, 0, 0)]
    for step in steps:
        one = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(step, image.shape, strict=True))
        two = tuple(
            slice(max(0, -s), n + min(0, -s)) for s, n in zip(step, image.shape, strict=True)
        )
        a, b = image[one], image[two]
        weight = min(GRID.voxel_mm) / np.linalg.norm(np.array(step) * GRID.voxel_mm)
        below = a + b + penalty.gamma * np.abs(a - b) + penalty.epsilon
        total += (weight * kappa[one] * kappa[two] * (a - b) ** 2 / below).sum()
    return float(penalty.strength * total)


@pytest.fixture(scope="module")
def dense() -> Dense:
    return Dense()


def some_penalty(gamma: float = 2.0) -> Penalty:
    kappa = np.random.default_rng(3).random(GRID.shape, dtype=np.float32) + np.float32(0.5)
    kappa[0] = 0.0
    return Penalty(1.7, gamma, 0.05, kappa, neighbours(GRID))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_value_and_gradient_equal_the_formula(gamma: float) -> None:
    """The oracle's gradient is its central difference: exact to h² where R is smooth."""
    penalty = some_penalty(gamma)
    image = np.random.default_rng(4).random(GRID.shape) + 0.1
    value, gradient, curvature = penalty.of(image.astype(np.float32))
    assert value == pytest.approx(slow_penalty(image, penalty), rel=1e-5)
    step = 1e-4
    for place in [(0, 0, 0), (1, 0, 0), (3, 3, 2), (6, 5, 4), (6, 0, 2)]:
        moved = [image.copy(), image.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        values = [slow_penalty(one, penalty) for one in moved]
        slope = (values[0] - values[1]) / (2 * step)
        bend = (values[0] + values[1] - 2 * slow_penalty(image, penalty)) / step**2
        assert gradient[place] == pytest.approx(slope, rel=1e-4, abs=1e-4)
        assert curvature[place] == pytest.approx(bend, rel=1e-3, abs=1e-3)


def test_flat_and_empty_images_cost_nothing() -> None:
    for level in (0.0, 3.0):
        value, gradient, _ = some_penalty().of(np.full(GRID.shape, level, np.float32))
        assert value == 0.0 and not gradient.any()


@pytest.mark.parametrize("subsets", [4, 8])
@pytest.mark.parametrize("beta", [0.1, 1.0])
def test_bsrem_reaches_the_maximum_of_a_long_reference_run(
    dense: Dense, beta: float, subsets: int
) -> None:
    """L-BFGS-B on the dense objective is the reference. Its gap falls at every full pass."""
    model = dense.model(subsets)
    penalty = RelativeDifference(beta).penalty(model)
    bounds = [(0, None) if seen else (0, 0) for seen in dense.mask.reshape(-1)]
    best = minimize(
        dense.loss,
        model.start(None).reshape(-1).astype(np.float64),
        args=(penalty,),
        jac=dense.slope,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 3000, "ftol": 1e-13, "gtol": 1e-8, "maxcor": 30},
    )
    bsrem = Bsrem(model, penalty)
    image = model.start(None)
    gaps = []
    for update in range(60 * subsets):
        image = bsrem.step(image, update)[0]
        if update % subsets == subsets - 1:
            gaps.append(dense.loss(image.reshape(-1).astype(np.float64), penalty) - best.fun)
    # the first pass is OSEM, which does not know the prior; float32 keeps 1e-6 of |objective|
    steps = np.diff(gaps[1:])
    assert (steps < 1e-6 * abs(best.fun)).all()
    # of the 935 events' log-likelihood, 0.2 is a fifth of what one degree of freedom is worth
    assert -1e-3 < gaps[-1] < 0.2


def test_without_strength_it_goes_where_mlem_goes(dense: Dense) -> None:
    args = (Projector(GRID), dense.events, dense.exposure, dense.mask)
    bare = osem(*args, iterations=60, subsets=1)
    free = osem(*args, iterations=30, subsets=4, prior=RelativeDifference(0.0))
    # 30 relaxed passes of 4 subsets are worth about 60 of MLEM
    assert free.log_likelihood[-1] == pytest.approx(bare.log_likelihood[-1], rel=5e-3)


def test_a_stronger_prior_makes_a_smoother_image_of_the_same_counts(dense: Dense) -> None:
    rough = []
    for beta in (0.0, 0.1, 1.0):
        made = osem(
            Projector(GRID),
            dense.events,
            dense.exposure,
            dense.mask,
            iterations=20,
            subsets=4,
            prior=RelativeDifference(beta),
        )
        rough.append(float(np.abs(np.diff(made.image, axis=0)).mean() / made.image.mean()))
        expected = np.vdot(dense.exposure.astype(np.float64), made.image)
        background = BACKGROUND * (dense.matrix.sum(axis=1) > 0).sum()
        # the prior takes a little: λ·∇R ≥ 0 lowers Σ E λ
        assert 0.85 < (expected + background) / dense.counts.sum() < 1.01
    assert rough[0] > 1.2 * rough[1] > 1.4 * rough[2]


def test_a_warm_start_stays_at_the_maximum(dense: Dense) -> None:
    args = (Projector(GRID), dense.events, dense.exposure, dense.mask)
    plan = {"subsets": 4, "prior": RelativeDifference(0.5)}
    far = osem(*args, iterations=40, **plan)
    on = osem(*args, iterations=1, initial=far.image, **plan)
    # one more pass with full steps, subset noise included
    assert np.linalg.norm(on.image - far.image) < 0.1 * np.linalg.norm(far.image)


def test_steps_shrink_as_the_proof_asks() -> None:
    steps = np.array([relaxation(n) for n in range(100_000)])
    assert (np.diff(steps) < 0).all() and steps.sum() > 70 and (steps**2).sum() < 10


def test_no_counts_give_an_empty_image() -> None:
    empty = EventList.plain(random_lines(0))
    exposure = np.ones(GRID.shape, np.float32)
    made = osem(
        Projector(GRID), empty, exposure, GRID.cylinder(12.0), prior=RelativeDifference(1.0)
    )
    assert not made.image.any()


@pytest.mark.parametrize(
    ("name", "value"),
    [("beta", -1.0), ("beta", math.nan), ("gamma", -0.1), ("epsilon", 0.0), ("beta", math.inf)],
)
def test_absurd_priors_are_refused(name: str, value: float) -> None:
    with pytest.raises(OsemError, match=f"prior: {name}"):
        RelativeDifference(**{"beta": 1.0, name: value})


def test_kappa_that_does_not_fit_is_refused(dense: Dense) -> None:
    model = dense.model(1)
    with pytest.raises(OsemError, match="kappa"):
        RelativeDifference(1.0, kappa=np.full(GRID.shape, np.nan, np.float32)).penalty(model)
