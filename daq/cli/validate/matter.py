"""Validation of photons in matter: attenuation coefficients, a narrow beam, Compton scatter."""

from __future__ import annotations

import itertools
import math

import numpy as np

from daq.cli.validate.result_line import CheckFigure, Line, Scope, relative

NIST = "NIST X-ray mass attenuation coefficients (Hubbell and Seltzer, NISTIR 5632), liquid water"

NIST_WATER_CM2_PER_G = {
    100.0: 0.1707,
    150.0: 0.1505,
    200.0: 0.1370,
    300.0: 0.1186,
    400.0: 0.1061,
    500.0: 0.09687,
    600.0: 0.08956,
    800.0: 0.07865,
}
"""µ/ρ with coherent scatter by energy in keV, from table 4 of NIST."""

ENERGIES_KEV = (511.0, 140.5)
REST_KEV = 510.99895
BINS = 50


def nist_water_per_cm(energy_keV: float) -> float:
    """Return water's µ/ρ · 1 g/cm³ from NIST's table: a cubic through four points, log-log."""
    energies = np.array(list(NIST_WATER_CM2_PER_G))
    at = int(np.clip(np.searchsorted(energies, energy_keV) - 2, 0, len(energies) - 4))
    near = energies[at : at + 4]
    values = [NIST_WATER_CM2_PER_G[e] for e in near]
    x, y, point = np.log(near), np.log(values), math.log(energy_keV)
    total = 0.0
    for i, j in enumerate(range(4)):
        others = [k for k in range(4) if k != j]
        total += y[i] * math.prod((point - x[k]) / (x[j] - x[k]) for k in others)
    return math.exp(total)


def attenuation(scope: Scope) -> list[Line]:
    """Compare the emulator's table for water with NIST's."""
    from emulator.physics.materials import cross_sections

    water = cross_sections("water")
    lines: list[Line] = []
    for energy_keV in ENERGIES_KEV:
        grid = np.arange(len(water.mu_per_mm))
        total = 10 * np.interp(energy_keV, grid, water.mu_per_mm + water.coherent_per_mm)
        expected = nist_water_per_cm(energy_keV)
        lines.append(
            CheckFigure(
                f"µ(water) at {energy_keV:g} keV",
                float(total),
                0.0,
                expected,
                relative(0.005, expected),
                f"{NIST}; with coherent scatter",
                "1/cm",
                ".5f",
            )
        )
    return lines


def narrow_beam(scope: Scope) -> list[Line]:
    """Fly a pencil beam through 10 cm of water with the emulation's own tracking."""
    from emulator.trials.beam import SLAB_MM, transmitted, water_slab

    photons, slab = round(scope.counts(2e6)), water_slab()
    lines: list[Line] = []
    for energy_keV in ENERGIES_KEV:
        share = transmitted(slab, energy_keV, photons=photons, seed=scope.seed) / photons
        expected = math.exp(-nist_water_per_cm(energy_keV) * SLAB_MM / 10)
        sigma = math.sqrt(share * (1 - share) / photons)
        lines.append(
            CheckFigure(
                f"narrow beam through 10 cm of water, {energy_keV:g} keV",
                share,
                sigma,
                expected,
                relative(0.01, expected),
                f"exp(−µx), {NIST}",
                "",
                ".4f",
            )
        )
    return lines


def klein_nishina_shares(edges: np.ndarray, energy_keV: float) -> np.ndarray:
    """Return the share of scatters between successive cos θ, by integrating the formula.

    dσ/dΩ ∝ P²·(P + 1/P − sin²θ), P = 1/(1 + (E/mₑc²)(1 − cos θ)): O. Klein, Y. Nishina, Z. Phys.
    52 (1929) 853. Simpson's rule on 20 parts of each bin.
    """
    shares = []
    for low, high in itertools.pairwise(edges):
        cosine = np.linspace(low, high, 21)
        p = 1 / (1 + energy_keV / REST_KEV * (1 - cosine))
        density = p**2 * (p + 1 / p - (1 - cosine**2))
        weight = np.ones(21)
        weight[1:-1:2], weight[2:-1:2] = 4, 2
        shares.append((density * weight).sum() * (high - low))
    return np.array(shares) / np.sum(shares)


def scattering(scope: Scope) -> list[Line]:
    """Compare angles with the formula by χ², and the largest energy transferred with the edge."""
    from emulator.trials.beam import compton_cosines

    lines: list[Line] = []
    count = round(scope.counts(2e6))
    for energy_keV in (511.0, 140.5):
        cosine, given_keV = compton_cosines(energy_keV, scatters=count, seed=scope.seed)
        edges = np.linspace(-1, 1, BINS + 1)
        found, _ = np.histogram(cosine, edges)
        expected = klein_nishina_shares(edges, energy_keV) * count
        chi2 = float(((found - expected) ** 2 / expected).sum()) / (BINS - 1)
        spread = math.sqrt(2 / (BINS - 1))
        lines.append(
            CheckFigure(
                f"angles of Compton scatter, {energy_keV:g} keV, χ² per degree of freedom",
                chi2,
                spread,
                1.0,
                4 * spread,
                f"Klein and Nishina, Z. Phys. 52 (1929) 853; {BINS} bins of cos θ, tolerance 4 σ "
                "of χ²",
                "",
                ".2f",
            )
        )
        if energy_keV == 511.0:
            edge_keV = 2 * energy_keV**2 / (REST_KEV + 2 * energy_keV)
            lines.append(
                CheckFigure(
                    "Compton edge of 511 keV",
                    float(given_keV.max()),
                    0.0,
                    edge_keV,
                    0.1,
                    "2E²/(mₑc² + 2E)",
                    "keV",
                    ".2f",
                )
            )
    return lines
