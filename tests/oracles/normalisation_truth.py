"""Coincidences of a cylinder by plain Monte Carlo: an oracle that shares nothing with the model.

Decays are uniform in the cylinder and isotropic; straight lines cross homogeneous blocks in
whatever order they meet them; the first interaction follows an exponential length of scintillator.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from daq.calibration.fan_sums import FanSums, add_pairs, empty_fan_sums
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text

MU_LYSO = 0.0774


def small_ring() -> Scanner:
    """Return 2 rings of 8 modules of 4 × 4 crystals, made from bench2's preset text."""
    text = scanner_to_toml_text("bench2")
    for old, new in (
        ('name = "bench2"', 'name = "small_ring"'),
        ("n_rings = 1", "n_rings = 2"),
        ("modules_per_ring = 2", "modules_per_ring = 8"),
        ("n_u = 8", "n_u = 4"),
        ("n_v = 8", "n_v = 4"),
        ("min_sector_difference = 1", "min_sector_difference = 2"),
        ("[32, 32, 32]", "[24, 24, 24]"),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return parse_scanner(text)


@dataclass(frozen=True)
class Cylinder:
    """The source: sizes in mm, and its µ in 1/mm."""

    radius: float
    length: float
    mu: float = 0.0


def draw_pairs(
    scanner: Scanner, source: Cylinder, *, decays: int, seed: int, slope: float
) -> np.ndarray:
    """Return (n, 2) crystals of detected pairs.

    slope : directions are drawn only where detectors lie: for two modules from a cone of this slope
        about x, else from a band of this slope about the plane z = 0
    """
    rng, parts = np.random.default_rng(seed), []
    for first in range(0, decays, 200_000):
        n = min(200_000, decays - first)
        place, direction = _decays(rng, scanner, source, n, slope)
        alive = rng.random(n) < np.exp(-source.mu * _chord(place, direction, source))
        place, direction = place[alive], direction[alive]
        enter, leave = _crossings(scanner, place, direction)
        ends = [
            _detect(rng, scanner, place, direction, enter, leave),
            _detect(rng, scanner, place, -direction, -leave, -enter),
        ]
        both = (ends[0] >= 0) & (ends[1] >= 0)
        parts.append(np.stack([ends[0][both], ends[1][both]], axis=1))
    return np.concatenate(parts)


def _crossings(
    scanner: Scanner, place: np.ndarray, direction: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return where lines enter and leave each block, (n, m), mm along them; ∞, ∞ if they miss."""
    geometry, block = build_geometry(scanner), scanner.module
    half = np.array([block.width_mm, block.height_mm, block.thickness_mm]) / 2
    enter = np.full((len(place), scanner.n_modules), -np.inf)
    leave = -enter
    for axis in range(3):
        axes = geometry.module_axes[:, axis, :]
        middle = geometry.module_centre_mm + half[2] * geometry.module_axes[:, 2, :]
        offset = place @ axes.T - (middle * axes).sum(axis=1)
        with np.errstate(divide="ignore"):
            inverse = 1 / (direction @ axes.T)
        centre, reach = -offset * inverse, np.abs(half[axis] * inverse)
        np.maximum(enter, centre - reach, out=enter)
        np.minimum(leave, centre + reach, out=leave)
    missed = enter >= leave
    enter[missed] = leave[missed] = np.inf
    return enter, leave


def _decays(
    rng: np.random.Generator, scanner: Scanner, source: Cylinder, n: int, slope: float
) -> tuple[np.ndarray, np.ndarray]:
    r, phi = source.radius * np.sqrt(rng.random(n)), rng.random(n) * 2 * np.pi
    z = (rng.random(n) - 0.5) * source.length
    place = np.stack([r * np.cos(phi), r * np.sin(phi), z], axis=1)
    around, angle = rng.random(n) * 2 * np.pi, np.arctan(slope)
    if scanner.n_modules == 2:
        cos = 1 - rng.random(n) * (1 - np.cos(angle))
        sin = np.sqrt(1 - cos**2)
        return place, np.stack([cos, sin * np.cos(around), sin * np.sin(around)], axis=1)
    cos = (2 * rng.random(n) - 1) * np.sin(angle)
    sin = np.sqrt(1 - cos**2)
    return place, np.stack([sin * np.cos(around), sin * np.sin(around), cos], axis=1)


def _chord(place: np.ndarray, direction: np.ndarray, source: Cylinder) -> np.ndarray:
    """Return the length within the cylinder of the line through a point inside."""
    with np.errstate(divide="ignore"):
        a = (direction[:, :2] ** 2).sum(axis=1)
        b = (place[:, :2] * direction[:, :2]).sum(axis=1)
        c = (place[:, :2] ** 2).sum(axis=1) - source.radius**2
        root = np.sqrt(np.maximum(b * b - a * c, 0.0))
        ends = np.array([-source.length / 2, source.length / 2])[:, None]
        z = np.sort((ends - place[:, 2]) / direction[:, 2], axis=0)
        forward = np.minimum((-b + root) / a, z[1])
        backward = np.maximum((-b - root) / a, z[0])
    return np.asarray(forward - backward)


def _detect(
    rng: np.random.Generator,
    scanner: Scanner,
    place: np.ndarray,
    direction: np.ndarray,
    enter: np.ndarray,
    leave: np.ndarray,
) -> np.ndarray:
    """Return the crystal in which each photon first interacts, −1 if none."""
    geometry, block = build_geometry(scanner), scanner.module
    crystal = np.full(len(place), -1)
    left = rng.exponential(1 / MU_LYSO, len(place))  # scintillator still to be crossed
    enter = np.where((enter > 0) & np.isfinite(enter), enter, np.inf)
    row = np.arange(len(place))
    for _ in range(3):
        module = enter.argmin(axis=1)
        start = enter[row, module]
        met = np.isfinite(start)
        inside = np.where(met, leave[row, module] - np.where(met, start, 0.0), 0.0)
        stops = met & (left < inside) & (crystal < 0)
        k, m = np.flatnonzero(stops), module[stops]
        at = place[k] + direction[k] * (start[k] + left[k])[:, None]
        local = np.einsum("nij,nj->ni", geometry.module_axes[m],
                          at - geometry.module_centre_mm[m])  # fmt: skip
        iu = np.floor((local[:, 0] + block.width_mm / 2) / block.pitch_u_mm).astype(int)
        iv = np.floor((local[:, 1] + block.height_mm / 2) / block.pitch_v_mm).astype(int)
        iu, iv = np.clip(iu, 0, block.n_u - 1), np.clip(iv, 0, block.n_v - 1)
        crystal[k] = m * scanner.crystals_per_module + iu + block.n_u * iv
        left = left - inside
        enter[row, module] = np.inf
    return crystal


def thinned(
    pairs: np.ndarray,
    scanner: Scanner,
    epsilon: np.ndarray,
    geometric: np.ndarray | None = None,
    *,
    seed: int,
) -> np.ndarray:
    """Keep pairs of allowed modules with probability ε_a ε_b g over its largest value."""
    module = pairs // scanner.crystals_per_module
    factor = epsilon[pairs[:, 0]] * epsilon[pairs[:, 1]]
    if geometric is not None:
        factor = factor * geometric[module[:, 0], module[:, 1]]
    factor = factor * allowed_pairs(scanner)[module[:, 0], module[:, 1]]
    return pairs[np.random.default_rng(seed).random(len(pairs)) < factor / factor.max()]


def allowed_pairs(scanner: Scanner) -> np.ndarray:
    """Return (m, m) bool; no module with itself."""
    return build_geometry(scanner).allowed_pairs & ~np.eye(scanner.n_modules, dtype=bool)


def fan_sums(
    scanner: Scanner, prompts: np.ndarray, delayeds: np.ndarray | None = None, *, factor: int = 1
) -> FanSums:
    """Return the fan sums of pairs of crystals."""
    sums = empty_fan_sums(scanner.n_crystals, scanner.n_modules, delayed_factor=factor)
    for pairs, fans, table in (
        (prompts, sums.prompts, sums.pair_prompts),
        (delayeds, sums.delayeds, sums.pair_delayeds),
    ):
        if pairs is not None:
            records = np.zeros(len(pairs), dtype=[("crystal_a", "<u4"), ("crystal_b", "<u4")])
            records["crystal_a"], records["crystal_b"] = pairs.T
            add_pairs(records, scanner.crystals_per_module, fans, table)
    return sums
