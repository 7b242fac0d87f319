"""GATE's singles as our prompts and delayeds, with the truth of each prompt."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from coincidence.events import COINCIDENCE
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry, crystal_at

WINDOW_NS = 5.0
DELAY_NS = 500.0


class GateRun(NamedTuple):
    """Records and duration (s); ``scattered`` and ``random`` are the truth of each prompt."""

    prompts: np.ndarray
    delayeds: np.ndarray
    scattered: np.ndarray
    random: np.ndarray
    duration_s: float


def gate_run(path: Path, scanner: Scanner, *, lld_keV: float, uld_keV: float) -> GateRun:
    """Blur the energies with the preset's resolution, apply the window, pair all singles."""
    with np.load(path) as data:
        rng = np.random.default_rng(0)
        sigma = scanner.response.energy_fwhm_511 / 2.3548 * np.sqrt(511.0 * data["E_keV"])
        energy = data["E_keV"] + rng.normal(size=len(sigma)) * sigma
        order = np.argsort(data["t_ns"])
        order = order[(energy[order] >= lld_keV) & (energy[order] <= uld_keV)]
        singles = {key: data[key][order] for key in ("event", "t_ns", "block", "xyz_mm")}
        singles["scatters"] = data["n_scatter_object"][order]
    singles["energy"] = energy[order]
    geometry = build_geometry(scanner)
    block = singles["block"].astype(np.int64)
    singles["crystal"], singles["doi"] = crystal_at(scanner, geometry, block, singles["xyz_mm"])
    one, two = _pairs(singles["t_ns"], 0.0)
    allowed = geometry.allowed_pairs[block[one], block[two]]
    one, two = one[allowed], two[allowed]
    random = singles["event"][one] != singles["event"][two]
    scattered = ~random & (singles["scatters"][one].astype(int) + singles["scatters"][two] > 0)
    late_one, late_two = _pairs(singles["t_ns"], DELAY_NS)
    allowed = geometry.allowed_pairs[block[late_one], block[late_two]]
    delayeds = _records(singles, late_one[allowed], late_two[allowed])
    return GateRun(_records(singles, one, two), delayeds, scattered, random, 0.2)


def _pairs(time_ns: np.ndarray, delay_ns: float) -> tuple[np.ndarray, np.ndarray]:
    """Return every pair whose later single comes delay..delay + window after the earlier one."""
    first = np.searchsorted(time_ns, time_ns + delay_ns, side="right" if delay_ns == 0 else "left")
    stop = np.searchsorted(time_ns, time_ns + delay_ns + WINDOW_NS)
    number = np.maximum(stop - first, 0)
    one = np.repeat(np.arange(len(time_ns)), number)
    two = np.repeat(first, number) + np.arange(len(one)) - np.repeat(
        np.cumsum(number) - number, number
    )  # fmt: skip
    keep = one != two
    return one[keep], two[keep]


def _records(singles: dict[str, np.ndarray], one: np.ndarray, two: np.ndarray) -> np.ndarray:
    swap = singles["crystal"][one] > singles["crystal"][two]
    a, b = np.where(swap, two, one), np.where(swap, one, two)
    records = np.zeros(len(a), dtype=COINCIDENCE)
    for side, index in (("a", a), ("b", b)):
        records[f"crystal_{side}"] = singles["crystal"][index]
        records[f"doi_{side}"] = singles["doi"][index]
        records[f"energy_{side}"] = np.round(singles["energy"][index] * 10)
    return records
