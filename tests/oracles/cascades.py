"""Pairs of unrelated photons of one decay by plain Monte Carlo: nothing forced, nothing added up.

A uniform cylinder of matter emits two photons from each decay in independent directions. Each is
followed from collision to collision; outside, it is stopped in the slab of every module that it
crosses, or not, and counted with a probability given by its energy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

REST_KEV = 510.99895
Energy = Callable[[np.ndarray], np.ndarray]


class Cylinder(NamedTuple):
    """Along z, with its middle at 0; µ at 511 keV in 1/mm."""

    radius_mm: float
    half_mm: float
    mu_per_mm: float

    def holds(self, place: np.ndarray) -> np.ndarray:
        across = np.hypot(place[:, 0], place[:, 1])
        return (across < self.radius_mm) & (np.abs(place[:, 2]) < self.half_mm)


class Blocks(NamedTuple):
    """Faces (m, 3), axes (m, 3, 3) as rows u, v, w, width, height and thickness in mm; µ and the
    share that is counted of the photons that interact, by energy in keV."""

    faces: np.ndarray
    axes: np.ndarray
    size_mm: tuple[float, float, float]
    mu_per_mm: Energy
    counted: Energy


def pairs(
    rng: np.random.Generator,
    one_keV: float,
    other_keV: float,
    decays: int,
    source: Cylinder,
    blocks: Blocks,
) -> np.ndarray:
    """Return pairs per decay of modules a < b, (m, m): the one in a or b, the other beside."""
    place = source_places(rng, decays, source)
    seen = [
        _counted(rng, *_left(rng, place, energy, source), blocks) for energy in (one_keV, other_keV)
    ]
    both = seen[0].T @ seen[1] / decays
    return np.triu(both + both.T, 1)


def meetings(
    rng: np.random.Generator,
    gamma_keV: float,
    places: int,
    each: int,
    source: Cylinder,
    blocks: Blocks,
    loses: Energy,
) -> tuple[np.ndarray, np.ndarray]:
    """Return per decay what modules (first, second) count, (m, m), where a γ interacts in the first
    as well, weighted with ``loses`` by its energy: of annihilation photons that interact in the
    first and are counted in the second, and of those counted in both.

    From each of so many places there are ``each`` annihilations and ``each`` γ, all combined.
    """
    place = np.repeat(source_places(rng, places, source), each, axis=0)
    bare = blocks._replace(counted=np.ones_like)
    way = _isotropic(rng, len(place))
    gamma = _counted(rng, *_left(rng, place, gamma_keV, source), blocks._replace(counted=loses))
    gamma = gamma.reshape(places, each, -1).mean(axis=1)
    shape = (places, each, len(blocks.faces))
    found = []
    for first in (bare, blocks):
        one = _counted(rng, *_left(rng, place, REST_KEV, source, way), first).reshape(shape)
        two = _counted(rng, *_left(rng, place, REST_KEV, source, -way), blocks).reshape(shape)
        both = np.einsum("pb,pkb,pkc->bc", gamma, one, two, optimize=True)
        found.append(both / len(place))
    return found[0], found[1]


def source_places(rng: np.random.Generator, count: int, source: Cylinder) -> np.ndarray:
    radius = source.radius_mm * np.sqrt(rng.random(count))
    turn = rng.uniform(0, 2 * np.pi, count)
    z = rng.uniform(-source.half_mm, source.half_mm, count)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def _isotropic(rng: np.random.Generator, count: int) -> np.ndarray:
    drawn = rng.normal(size=(count, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _cross_section(energy: np.ndarray) -> np.ndarray:
    """Klein and Nishina's total, over that at 511 keV, by quadrature over angles."""
    table = np.append(np.linspace(10.0, 2000.0, 400), REST_KEV)
    cosine = np.linspace(-1, 1, 2001)
    ratio = 1 / (1 + table[:, None] / REST_KEV * (1 - cosine))
    whole = np.trapezoid(ratio**2 * (ratio + 1 / ratio - 1 + cosine**2), cosine, axis=1)
    return np.interp(energy, table[:-1], whole[:-1]) / whole[-1]


def _left(
    rng: np.random.Generator,
    place: np.ndarray,
    energy_keV: float,
    source: Cylinder,
    way: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Follow photons until they have left the cylinder; return places, directions, energies.

    way : directions at first, isotropic unless given
    """
    place, way = place.copy(), _isotropic(rng, len(place)) if way is None else way.copy()
    energy, alive = np.full(len(place), energy_keV), np.arange(len(place))
    while len(alive):
        mu = source.mu_per_mm * _cross_section(energy[alive])
        moved = place[alive] + way[alive] * (rng.exponential(size=len(alive)) / mu)[:, None]
        inside = source.holds(moved)
        alive, moved = alive[inside], moved[inside]
        place[alive] = moved
        energy[alive], way[alive] = _scattered(rng, energy[alive], way[alive])
        alive = alive[energy[alive] > 50.0]
    return place, way, energy


def _scattered(
    rng: np.random.Generator, energy: np.ndarray, way: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw new directions from the whole sphere until Klein and Nishina's density accepts them."""
    after, turned = energy.copy(), way.copy()
    todo = np.arange(len(energy))
    while len(todo):
        drawn = _isotropic(rng, len(todo))
        cosine = (drawn * way[todo]).sum(axis=1)
        ratio = 1 / (1 + energy[todo] / REST_KEV * (1 - cosine))
        taken = 2 * rng.random(len(todo)) < ratio**2 * (ratio + 1 / ratio - 1 + cosine**2)
        after[todo[taken]], turned[todo[taken]] = (energy[todo] * ratio)[taken], drawn[taken]
        todo = todo[~taken]
    return after, turned


def _counted(
    rng: np.random.Generator, place: np.ndarray, way: np.ndarray, energy: np.ndarray, blocks: Blocks
) -> np.ndarray:
    """Return the probability that each module counts each photon, (photons, modules)."""
    width, height, thickness = blocks.size_mm
    seen = np.zeros((len(place), len(blocks.faces)), np.float32)
    mu, share = blocks.mu_per_mm(energy), blocks.counted(energy)
    for m, (face, (u, v, w)) in enumerate(zip(blocks.faces, blocks.axes, strict=True)):
        slope = way @ w
        ahead = np.flatnonzero(slope > 0.02)
        to_face = ((face - place[ahead]) @ w) / slope[ahead]
        depth = rng.exponential(size=len(ahead)) / mu[ahead]
        at = place[ahead] + way[ahead] * (to_face + depth)[:, None] - face
        inside = (to_face > 0) & (at @ w < thickness)
        inside &= (np.abs(at @ u) < width / 2) & (np.abs(at @ v) < height / 2)
        seen[ahead[inside], m] = share[ahead[inside]]
    return seen
