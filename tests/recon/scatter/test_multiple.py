"""Multiple scatter: single scatter by chains is the integral's, more of it a Monte Carlo's."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from hw.jit import kernel
from hw.physics.block_efficiency import BlockEfficiency
from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.scatter import EnergyWindow, ScatterOptions, SingleScatter
from recon.scatter.detector import BlockResponse
from recon.scatter.multiple import scattered_pairs, smooth_ratio
from recon.scatter.photon_kernels import drawn_depth, stopped
from recon.scatter.samples import crystal_weights, mean_weights
from recon.scatter.single_kernels import slab_depth_mm

RADIUS_MM, HALF_MM, MU = 60.0, 40.0, 0.0096


@pytest.fixture(scope="module")
def system() -> ReconSystem:
    brain = load_scanner("caremibrain")
    image = msgspec.structs.replace(brain.image, shape=(36, 36, 24), voxel_mm=(4.0, 4.0, 4.0))
    return ReconSystem.of(msgspec.structs.replace(brain, image=image))


@pytest.fixture(scope="module")
def body(system: ReconSystem) -> np.ndarray:
    x, y, z = system.grid.axes_mm()
    return np.asarray((np.hypot(x, y) < RADIUS_MM) & (np.abs(z) < HALF_MM), np.float32)


def test_single_scatter_by_chains_is_that_by_integration(
    system: ReconSystem, body: np.ndarray
) -> None:
    window = EnergyWindow.of(system.scanner)
    simulation = SingleScatter(
        system, body * np.float32(MU), window, options=ScatterOptions(chains=0)
    )
    table = simulation.table(body)
    integral = table.rates.sum() / table.samples.per_module**2  # of pairs of module middles
    once, _ = scattered_pairs(
        system, BlockResponse.of(system.scanner, window), body, simulation.mu, chains=8_000
    )
    rows = table.samples.rows
    by_chains = once[rows[:, 0], rows[:, 1]].sum() * body.sum()
    by_chains *= system.detection.crystal_area_mm2**2
    # 4 %: 2 % noise of the chains; a module's middle stands for it, points lie every 18 mm
    assert by_chains == pytest.approx(float(integral), rel=0.04)


@kernel
def drawn_at_a_slant(table: np.ndarray, mu: float, incidence: float, out: np.ndarray) -> None:
    state = np.full(1, 7, np.uint64)
    for i in range(out.shape[0]):
        out[i, 0] = drawn_depth(table, 15.0, state)
        out[i, 1] = stopped(table, mu, 15.0, out[i, 0], incidence)


@pytest.mark.parametrize("incidence", [1.0, 0.6, 0.3])
@pytest.mark.parametrize("mu", [0.0774, 0.11])  # of 511 keV and of a scattered photon
def test_drawn_depths_are_those_of_a_slab_at_any_slant(mu: float, incidence: float) -> None:
    out = np.zeros((200_000, 2))
    drawn_at_a_slant(np.array([[0.0, 0.0, 0.0774, 0.0]]), mu, incidence, out)
    depth, weight = out.T
    through = mu * 15.0 / incidence
    error = weight.std() / math.sqrt(len(weight))
    assert weight.mean() == pytest.approx(-incidence * math.expm1(-through), abs=4 * error + 1e-9)
    density = np.exp(-np.linspace(0.0, through, 100_001))
    mean = np.average(np.linspace(0.0, 15.0, 100_001), weights=density)
    assert slab_depth_mm(15.0, mu, incidence) == pytest.approx(mean, rel=1e-3)
    assert np.average(depth, weights=weight) == pytest.approx(mean, rel=0.01)  # noise: 0.5 %


@pytest.mark.parametrize("bend", [0.0, 0.3])
def test_the_smoothed_ratio_follows_a_bend_and_loses_noise(
    system: ReconSystem, bend: float
) -> None:
    rng = np.random.default_rng(3)
    rows = np.argwhere(np.triu(system.allowed, 1))
    axes = system.detection.axes[:, 2]
    cosine = (axes[rows[:, 0]] * axes[rows[:, 1]]).sum(axis=1)
    true = 0.5 - bend * (1 + cosine)  # of scatter in a head: least where the modules are near
    single = rng.uniform(1.0, 2.0, len(rows))
    noisy = single * true * rng.normal(1.0, 0.15, len(rows))
    exact = smooth_ratio(system, rows, single * true, single)
    found = smooth_ratio(system, rows, noisy, single)
    inner = cosine < math.cos(math.radians(120))
    assert exact[inner] == pytest.approx(true[inner], rel=0.02)
    assert np.std((found - exact) / true) < 0.15 / 1.5  # neighbours have 0.3 of the weight


def test_a_crystal_at_a_blocks_edge_has_the_weight_that_it_counts(system: ReconSystem) -> None:
    module = system.scanner.module
    of_place = np.linspace(0.5, 1.0, module.n_u // 2)
    of_place = np.concatenate([of_place, of_place[::-1]]).astype(np.float32)
    along_u = np.tile(of_place, (49, 49, 1))
    seen = BlockEfficiency(along_u, np.full((49, 49, 4), 0.7, np.float32))
    edged = replace(system, detection=replace(system.detection, efficiency=seen))
    weight = [
        crystal_weights(one, 2)[1].reshape(module.n_v, module.n_u, 4) for one in (edged, system)
    ]
    node = int((0.5 - 0.5 / math.sqrt(3)) * module.n_u)  # of Gauss and Legendre
    expected = np.broadcast_to(of_place / of_place[node], weight[0].shape[:2])
    assert weight[0].sum(axis=2) / weight[1].sum(axis=2) == pytest.approx(expected, rel=1e-6)
    assert mean_weights(edged, 2).sum() == pytest.approx(expected.mean(), rel=1e-6)


def isotropic(rng: np.random.Generator, count: int) -> np.ndarray:
    cosine, turn = rng.uniform(-1, 1, count), rng.uniform(0, 2 * np.pi, count)
    sine = np.sqrt(1 - cosine**2)
    return np.stack([sine * np.cos(turn), sine * np.sin(turn), cosine], axis=1)


def followed(
    rng: np.random.Generator, place: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Follow photons through the cylinder, plainly; return places, directions, energies, orders."""
    place, direction = place.copy(), direction.copy()
    energy, order = np.full(len(place), 511.0), np.zeros(len(place), int)
    alive = np.arange(len(place))
    while len(alive):
        alpha = energy[alive] / 511.0
        log = np.log1p(2 * alpha)
        total = (1 + alpha) / alpha**2 * (2 * (1 + alpha) / (1 + 2 * alpha) - log / alpha)
        total += log / (2 * alpha) - (1 + 3 * alpha) / (1 + 2 * alpha) ** 2
        mu = MU * total / 0.5743  # Klein and Nishina's at 511 keV, in units of 2π r_e²
        moved = place[alive] + direction[alive] * (rng.exponential(size=len(alive)) / mu)[:, None]
        inside = (np.hypot(moved[:, 0], moved[:, 1]) < RADIUS_MM) & (np.abs(moved[:, 2]) < HALF_MM)
        alive, moved = alive[inside], moved[inside]
        place[alive] = moved
        order[alive] += 1
        todo = np.arange(len(alive))
        cosine = np.zeros(len(alive))
        while len(todo):  # by rejection from even angles: at most 2 in units of r_e²/2
            drawn = rng.uniform(-1, 1, len(todo))
            ratio = 1 / (1 + energy[alive[todo]] / 511.0 * (1 - drawn))
            density = ratio**2 * (ratio + 1 / ratio - 1 + drawn**2)
            taken = rng.uniform(0, 2, len(todo)) < density
            cosine[todo[taken]] = drawn[taken]
            todo = todo[~taken]
        energy[alive] /= 1 + energy[alive] / 511.0 * (1 - cosine)
        side = np.cross(direction[alive], [0.37, -0.51, 0.78])
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        other, turn = np.cross(direction[alive], side), rng.uniform(0, 2 * np.pi, len(alive))
        across = np.cos(turn)[:, None] * side + np.sin(turn)[:, None] * other
        sine = np.sqrt(1 - cosine**2)
        direction[alive] = cosine[:, None] * direction[alive] + sine[:, None] * across
        alive = alive[energy[alive] > 300]
    return place, direction, energy, order


def seen(
    system: ReconSystem, response: BlockResponse, place: np.ndarray, way: np.ndarray,
    energy: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return which module each photon meets, and the weight with which it is counted there."""
    weight, met = np.zeros(len(place)), np.zeros(len(place), int)
    geometry, module = system.geometry, system.scanner.module
    number = 0
    for centre, axes in zip(geometry.module_centre_mm, geometry.module_axes, strict=True):
        slope = way @ axes[2]
        reach = ((centre - place) @ axes[2] + 6.0) / np.where(slope > 0.02, slope, np.inf)
        local = (place + reach[:, None] * way - centre) @ axes.T
        hit = (slope > 0.02) & (np.abs(local[:, 0]) < module.width_mm / 2)
        hit &= np.abs(local[:, 1]) < module.height_mm / 2
        mu = np.interp(energy[hit], [200, 350, 511], response.attenuation_per_mm([200, 350, 511]))
        stopped = 1 - np.exp(-mu * module.thickness_mm / slope[hit])
        weight[hit] = stopped * response.recorded_share(energy[hit])
        met[hit], number = number, number + 1
    return met, weight


def test_multiple_over_single_is_that_of_a_plain_monte_carlo(
    system: ReconSystem, body: np.ndarray
) -> None:
    window = EnergyWindow.of(system.scanner)
    response = BlockResponse.of(system.scanner, window)
    once, again = scattered_pairs(
        system, response, body, body * np.float32(MU), chains=40_000, threads=2
    )
    allowed = np.triu(system.allowed, 1)
    found = (again * allowed).sum() / (once * allowed).sum()
    rng, count = np.random.default_rng(3), 150_000
    radius, turn = RADIUS_MM * np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    start = np.stack(
        [radius * np.cos(turn), radius * np.sin(turn), rng.uniform(-HALF_MM, HALF_MM, count)], 1
    )
    way = isotropic(rng, count)
    pairs = [followed(rng, start, sign * way) for sign in (1, -1)]
    (a, weight_a), (b, weight_b) = (seen(system, response, *pair[:3]) for pair in pairs)
    weight, order = weight_a * weight_b * system.allowed[a, b], pairs[0][3] + pairs[1][3]
    wanted = weight[order > 1].sum() / weight[order == 1].sum()
    error = 1 / math.sqrt((weight[order > 1] > 0.05).sum())
    assert 0.1 < wanted < 0.6
    # 3 sigma of the plain one, and 5 %: voxels of 8 mm, at most 3 collisions, middles of modules
    assert found == pytest.approx(wanted, rel=0.05 + 3 * error)


def test_nothing_that_shines_or_scatters_gives_nothing(
    system: ReconSystem, body: np.ndarray
) -> None:
    response = BlockResponse.of(system.scanner, EnergyWindow.of(system.scanner))
    for activity, mu in ((body * 0, body), (body, body * 0)):
        once, again = scattered_pairs(system, response, activity, mu, chains=16)
        assert not once.any()
        assert not again.any()


def test_threads_do_not_matter(system: ReconSystem, body: np.ndarray) -> None:
    response = BlockResponse.of(system.scanner, EnergyWindow.of(system.scanner))
    about = (system, response, body, body * np.float32(MU))
    once, again = scattered_pairs(*about, chains=160, threads=1)
    same = scattered_pairs(*about, chains=160, threads=3)
    assert np.array_equal(once, same[0])
    assert np.array_equal(again, same[1])
