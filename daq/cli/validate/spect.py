"""Validation of SPECT: sensitivity and resolution of collimators, scatter by three windows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from daq.cli.validate.result_line import CheckFigure, Line, Scope, relative
from emulator.physics.materials import cross_sections
from emulator.trials.bare_collimator import energies_behind
from emulator.trials.cameras import (
    counts_per_photon,
    gaussian_fwhm_mm,
    half_maximum_mm,
    ideal_camera,
    line_spread_mm,
    source_before,
    triple_window,
    window_about,
)
from hw.physics.nuclides import load_nuclide
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner

DISTANCE_MM = 100.0
SENSITIVITY_TOLERANCE, FOLLOWED_TOLERANCE, RESOLUTION_TOLERANCE = 0.04, 0.04, 0.05
"""GATE's figures have no errors given; cross-sections of lead and NaI are known to 1 to 2 %."""

FOLLOWED_PHOTONS = 1.2e8
"""Aimed ones, of which some 50,000 are counted: 0.4 % of error, a tenth of the tolerance."""

GATE = "GATE 10 of the same head (Siemens Symbia Intevo as opengate has it), in air, window of 20 %"
TEW_SOURCE = (
    "GATE 10 of the same head: TEW with side windows of 6 % over the unscattered counts of the "
    "208 keV window, point 5 cm deep in water"
)
CZT_CPS_PER_MBQ = 398.0
PHOTONS_AT_ONCE = 2_000_000


class _Case(NamedTuple):
    """A collimator with a line, GATE's counts per photon and FWHM in mm at 10 cm."""

    preset: str
    nuclide: str
    energy_keV: float
    per_photon: float
    fwhm_mm: float


LEHR = (_Case("gamma_head_lehr", "Tc-99m", 140.511, 1.054e-4, 6.97),)
MELP = (
    _Case("gamma_head_melp", "Lu-177", 208.366, 1.175e-4, 11.1),
    _Case("gamma_head_melp", "Lu-177", 112.95, 1.797e-4, 10.65),
)


def lehr(scope: Scope) -> list[Line]:
    """Compare the LEHR collimator with GATE, for 99mTc at 10 cm."""
    return [*_lines_of(LEHR, scope), _narrow_window(scope), _followed_line(LEHR[0], scope)]


def melp(scope: Scope) -> list[Line]:
    """Compare the MELP collimator with GATE, for both lines of 177Lu at 10 cm."""
    return [*_lines_of(MELP, scope), _followed_line(MELP[0], scope)]


def _lines_of(cases: Sequence[_Case], scope: Scope) -> list[Line]:
    lines: list[Line] = []
    for done, case in enumerate(cases):
        lines += _camera_lines(case, scope)
        scope.progress(done + 1, len(cases))
    return lines


def _camera_lines(case: _Case, scope: Scope) -> list[Line]:
    events = round(scope.counts(4e5))
    rate, sigma = counts_per_photon(
        case.preset, case.nuclide, case.energy_keV, distance_mm=DISTANCE_MM, events=events,
        seed=scope.seed,
    )  # fmt: skip
    place = line_spread_mm(
        case.preset, case.nuclide, case.energy_keV, distance_mm=DISTANCE_MM, events=events,
        seed=scope.seed,
    )  # fmt: skip
    fwhm, fwhm_sigma = with_error(place)
    name = f"{load_collimator(case)}, {case.nuclide} {case.energy_keV:.0f} keV at 10 cm"
    expected_mm = collimator_fwhm_mm(case)
    return [
        CheckFigure(f"{name}: counts per photon", rate, sigma, case.per_photon,
               relative(SENSITIVITY_TOLERANCE, case.per_photon),
               f"{GATE}; counts of all lines over photons of this one", "", ".3e"),
        CheckFigure(f"{name}: FWHM", fwhm, fwhm_sigma, case.fwhm_mm,
               relative(RESOLUTION_TOLERANCE, case.fwhm_mm),
               f"{GATE}; half maximum after NEMA NU 1", "mm", ".2f"),
        CheckFigure(f"{name}: FWHM of a fitted Gaussian", gaussian_fwhm_mm(place), fwhm_sigma,
               expected_mm, None, "Anger's formula √(R_c² + R_i²), holes with 2/µ less length",
               "mm", ".2f"),
    ]  # fmt: skip


def _followed_line(case: _Case, scope: Scope) -> Line:
    """Return the counts per photon with the photons that scatter in the collimator."""
    instrument = ideal_camera(case.preset, case.nuclide, source_before(case.preset, DISTANCE_MM))
    low_keV, high_keV = window_about(case.energy_keV, 0.2)
    rng = np.random.default_rng(scope.seed)
    parts = max(1, round(scope.counts(FOLLOWED_PHOTONS) / PHOTONS_AT_ONCE))
    count, photons = 0, 0.0
    for part in range(parts):
        deposit, _, emitted = energies_behind(
            instrument, case.energy_keV, photons=PHOTONS_AT_ONCE, distance_mm=DISTANCE_MM,
            seed=1000 * scope.seed + part,
        )  # fmt: skip
        sigma = instrument.response.energy_sigma * np.sqrt(deposit)
        read_out = deposit + sigma * rng.normal(size=len(deposit))
        count += int(((read_out >= low_keV) & (read_out <= high_keV)).sum())
        photons += emitted
        scope.progress(part + 1, parts)
    name = f"{load_collimator(case)}, {case.nuclide} {case.energy_keV:.0f} keV at 10 cm"
    return CheckFigure(
        f"{name}: counts per photon, followed through the collimator", count / photons,
        math.sqrt(count) / photons, case.per_photon, relative(FOLLOWED_TOLERANCE, case.per_photon),
        f"{GATE}; each photon followed through holes and septa, with its scatter there", "", ".3e",
    )  # fmt: skip


def load_collimator(case: _Case) -> str:
    """Return the name of a case's collimator."""
    collimator = load_scanner(case.preset).collimator
    return collimator.name if collimator else case.preset


def with_error(place_mm: np.ndarray, parts: int = 8) -> tuple[float, float]:
    """Return the FWHM of positions and its standard error, from parts of them."""
    each = [half_maximum_mm(place_mm[k::parts]) for k in range(parts)]
    return half_maximum_mm(place_mm), float(np.std(each, ddof=1)) / math.sqrt(parts)


def collimator_fwhm_mm(case: _Case) -> float:
    """Return the resolution by H. O. Anger's formula (J. Nucl. Med. 5 (1964) 515).

    R_c = d·(l + z + g)/l of holes d wide with effective length l = L − 2/µ, z before them and g
    behind, where the depth of interaction is taken as half of the crystal.
    """
    scanner: Scanner = load_scanner(case.preset)
    hole = scanner.collimator
    assert hole is not None
    lead = cross_sections(hole.material)
    length_mm = hole.length_mm - 2 / float(lead.mu_per_mm[round(case.energy_keV)])
    behind_mm = hole.gap_mm + scanner.module.thickness_mm / 2
    geometric = hole.hole_mm * (length_mm + DISTANCE_MM + behind_mm) / length_mm
    return math.hypot(geometric, scanner.response.position_fwhm_mm)


def _narrow_window(scope: Scope) -> Line:
    """Return the cps/MBq of LEHR in a window of 15 %."""
    case = LEHR[0]
    rate, sigma = counts_per_photon(
        case.preset, case.nuclide, case.energy_keV, width=0.15, distance_mm=DISTANCE_MM,
        events=round(scope.counts(4e5)), seed=scope.seed,
    )  # fmt: skip
    per_MBq = 1e6 * photons_per_decay(case.nuclide, case.energy_keV)
    return CheckFigure(
        "LEHR, Tc-99m, window of 15 %, 10 cm", rate * per_MBq, sigma * per_MBq, 88.1,
        relative(SENSITIVITY_TOLERANCE, 88.1), GATE.replace("20 %", "15 %"), "cps/MBq", ".1f",
    )  # fmt: skip


def photons_per_decay(nuclide: str, energy_keV: float) -> float:
    """Return the intensity of a nuclide's line (ICRP 107)."""
    return sum(
        line.intensity
        for line in load_nuclide(nuclide).lines
        if abs(line.energy_keV - energy_keV) < 1.0
    )


def scatter_windows(scope: Scope) -> list[Line]:
    """Compare how much of ¹⁷⁷Lu's primary counts the triple energy window recovers."""
    share, sigma = triple_window(events=round(scope.counts(5e5)), seed=scope.seed)
    return [
        CheckFigure("TEW, Lu-177 208 keV, 5 cm deep: primary recovered", share, sigma, 1.03, 0.05,
               TEW_SOURCE, "", ".3f")
    ]  # fmt: skip


def czt(scope: Scope) -> list[Line]:
    """Measure the sensitivity of a CZT column, whose preset is a design."""
    rate, sigma = counts_per_photon(
        "czt_cardiac", "Tc-99m", 140.511, distance_mm=DISTANCE_MM, events=round(scope.counts(4e5)),
        seed=scope.seed,
    )  # fmt: skip
    per_MBq = 1e6 * photons_per_decay("Tc-99m", 140.511)
    return [
        CheckFigure("CZT column, Tc-99m at 10 cm", rate * per_MBq, sigma * per_MBq, CZT_CPS_PER_MBQ,
               None, "published of cameras of this class; the preset is a design", "cps/MBq", ".0f")
    ]  # fmt: skip
