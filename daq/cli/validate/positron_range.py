"""Validation of the positron range in water: against Geant4, and beside published fits."""

from __future__ import annotations

import math

import numpy as np

from daq.cli.validate.result_line import CheckFigure, Line, Scope, relative

GEANT4 = (
    "Geant4 11.4 (opengate 10.1.1): 20,000 positrons of the same spectrum that come to rest, "
    "G4EmStandardPhysics without bremsstrahlung, steps of at most 2 % of the range or 1 µm"
)

GEANT4_MM = {
    "F-18": (0.464, 0.344),
    "C-11": (0.875, 0.635),
    "N-13": (1.233, 0.875),
    "O-15": (2.089, 1.452),
    "Ga-68": (2.421, 1.658),
    "Rb-82": (4.994, 3.350),
    "I-124": (2.391, 1.663),
}
"""Mean distance in space and root mean square along one axis, with 0.5 % error of counting."""

LEVIN_HOFFMAN = {
    "F-18": (0.516, 37.9, 3.10),
    "C-11": (0.488, 23.8, 1.8),
    "N-13": (0.426, 20.2, 1.4),
    "O-15": (0.379, 18.1, 0.9),
}
"""C, k₁ and k₂ (1/mm) of their fit C·exp(−k₁|x|) + (1 − C)·exp(−k₂|x|)."""

LEVIN = "moment of the fit of Levin and Hoffman, Phys. Med. Biol. 44 (1999) 781; not used"

DECAYS = 4e5
TOLERANCE = 0.05


def ranges(scope: Scope) -> list[Line]:
    """Draw positrons in water as in a run; compare mean and root mean square."""
    from emulator.physics.materials import MU_WATER_511_PER_MM
    from emulator.trials.positrons import ways_mm

    lines: list[Line] = []
    for number, (name, (mean_mm, rms_mm)) in enumerate(GEANT4_MM.items(), 1):
        decays = round(scope.counts(DECAYS))
        ways = ways_mm(name, MU_WATER_511_PER_MM, decays=decays, seed=scope.seed)
        distance = np.linalg.norm(ways, axis=1)
        rms = math.sqrt(float((distance**2).mean()) / 3)
        root = math.sqrt(len(distance))
        mean_sigma = float(distance.std()) / root
        rms_sigma = float((distance**2).std()) / root / (6 * rms)
        lines.append(_figure(f"{name}: mean distance", distance.mean(), mean_sigma, mean_mm))
        lines.append(_figure(f"{name}: rms along an axis", rms, rms_sigma, rms_mm))
        if name in LEVIN_HOFFMAN:
            theirs = levin_hoffman_rms_mm(*LEVIN_HOFFMAN[name])
            what = f"positron range in water, {name}: rms along an axis"
            lines.append(CheckFigure(what, rms, rms_sigma, theirs, None, LEVIN, "mm", ".3f"))
        scope.progress(number, len(GEANT4_MM))
    return lines


def levin_hoffman_rms_mm(c: float, k1: float, k2: float) -> float:
    """Return the root mean square of their fit: ∫ x² e^(−kx) dx is 2/k³, ∫ e^(−kx) dx is 1/k."""
    square = 2 * c / k1**3 + 2 * (1 - c) / k2**3
    return math.sqrt(square / (c / k1 + (1 - c) / k2))


def _figure(what: str, measured: float, sigma: float, expected: float) -> CheckFigure:
    return CheckFigure(
        f"positron range in water, {what}",
        float(measured),
        sigma,
        expected,
        relative(TOLERANCE, expected),
        GEANT4,
        "mm",
        ".3f",
    )
