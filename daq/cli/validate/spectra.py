"""Validation of energy spectra against GATE's singles, by χ² and by eye.

GATE's energies are deposits; they are blurred here by the preset's resolution, as the data's
description requires. Both spectra are per decay, so χ² compares heights, not only shapes. The plots
also show deposits without blur, where the Compton edges stand out.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from daq.calibration.plots import Curve, Panel, plot_bytes
from daq.cli.validate.emulator_runs import ideal_instrument, slices_of
from daq.cli.validate.ideal_read_out import ReadOut
from daq.cli.validate.result_line import CheckFigure, Line, NotRun, Scope
from emulator.slices import DECAYS
from hw.physics.constants import FWHM_PER_SIGMA, REFERENCE_KEV
from hw.scanner.preset_file import load_scanner

PICTURE = "validation_spectra.png"
LOW_KEV, HIGH_KEV, BINS = 100.0, 660.0, 28

Counts = npt.NDArray[Any]


class _Case(NamedTuple):
    """A file from GATE and its phantom."""

    name: str
    phantom: str
    file: str
    decays: float
    activity_Bq: float


CASES = (
    _Case("point in air", "point", "point_center_2e5decays_singles.npz", 2e5, 5e5),
    _Case("water cylinder", "cylinder", "watercyl20cm_2MBq_200ms_singles.npz", 4e5, 2e6),
)


class _Spectra(NamedTuple):
    """Histograms of ours and GATE's with the decays of each; energies blurred and not."""

    ours: Counts
    our_decays: float
    gate: Counts
    our_deposits: Counts
    gate_deposits: Counts


def spectra(scope: Scope) -> list[Line]:
    """Compare both spectra; with ``scope.plots`` draw them."""
    if scope.reference is None or not (scope.reference / "gate").is_dir():
        reason = "TOMOSHIBI_REFERENCE_DATA names no folder with gate/ in it"
        return [NotRun(f"spectrum of singles, {case.name}", reason) for case in CASES]
    lines: list[Line] = []
    panels: list[Panel] = []
    for case in CASES:
        found = _measure(case, scope, scope.reference / "gate" / case.file)
        lines += _figures(case, found)
        panels += _panels(case, found)
    if scope.plots is not None:
        scope.plots.mkdir(parents=True, exist_ok=True)
        (scope.plots / PICTURE).write_bytes(plot_bytes(panels))
    return lines


def edges_keV(fine: int = 1) -> Counts:
    """Return the bins' edges, each bin divided into ``fine``."""
    return np.linspace(LOW_KEV, HIGH_KEV, BINS * fine + 1)


def _measure(case: _Case, scope: Scope, path: Path) -> _Spectra:
    with np.load(path) as data:
        deposited = data["E_keV"].astype(np.float64)
    sigma = load_scanner("caremibrain").response.energy_fwhm_511 / FWHM_PER_SIGMA * REFERENCE_KEV
    noise = np.random.default_rng(scope.seed).normal(size=len(deposited))
    blurred = deposited + noise * sigma * np.sqrt(deposited / REFERENCE_KEV)
    instrument = ideal_instrument(phantom=case.phantom)
    read_out = ReadOut(instrument)
    ours, deposits, decays = np.zeros(BINS), np.zeros(4 * BINS), 0
    for hits in slices_of(
        instrument, scope, activity_Bq=case.activity_Bq, decays=scope.counts(2e6), labelled=True
    ):
        singles, _ = read_out.take(hits)
        ours += np.histogram(singles["energy"] / 10.0, edges_keV())[0]
        deposits += np.histogram(hits.labels["deposit_keV"], edges_keV(4))[0]
        decays += int(hits.tally[DECAYS])
    return _Spectra(
        ours, decays, np.histogram(blurred, edges_keV())[0], deposits,
        np.histogram(deposited, edges_keV(4))[0],
    )  # fmt: skip


def spectrum_chi2(ours: Counts, our_decays: float, gate: Counts, gate_decays: float) -> float:
    """Return χ² per bin of two spectra per decay, each with its own counting errors."""
    a, b = ours / our_decays, gate / gate_decays
    variance = (ours + 1) / our_decays**2 + (gate + 1) / gate_decays**2  # + 1: bins may be empty
    return float(((a - b) ** 2 / variance).sum() / len(ours))


def _figures(case: _Case, found: _Spectra) -> list[Line]:
    chi2 = spectrum_chi2(found.ours, found.our_decays, found.gate, case.decays)
    ratio = found.ours.sum() / found.our_decays / (found.gate.sum() / case.decays)
    sigma = ratio * math.sqrt(1 / found.ours.sum() + 1 / found.gate.sum())
    spread = math.sqrt(2 / BINS)
    source = f"GATE 10, gate/{case.file}, blurred by 15 % at 511 keV"
    return [
        CheckFigure(
            f"spectrum of singles, {case.name}, χ² per bin", chi2, spread, 1.0, 4 * spread,
            f"{source}; {BINS} bins of {LOW_KEV:g}–{HIGH_KEV:g} keV, tolerance 4 σ of χ²", "",
            ".2f",
        ),
        CheckFigure(
            f"singles of {LOW_KEV:g}–{HIGH_KEV:g} keV over GATE's, {case.name}", ratio, sigma, 1.0,
            0.03, source, "", ".4f",
        ),
    ]  # fmt: skip


def _panels(case: _Case, found: _Spectra) -> list[Panel]:
    """Return the panels of one case: blurred, and deposits below the photopeak."""
    scale = case.decays / found.our_decays
    fine = edges_keV(4)
    below = fine[1:] <= 500.0
    return [
        Panel(
            f"{case.name}: read-out energy",
            "keV",
            (
                Curve("GATE 10", edges_keV(), found.gate),
                Curve("emulator", edges_keV(), found.ours * scale),
            ),
        ),
        Panel(
            f"{case.name}: deposits, unblurred",
            "keV (photopeak left out)",
            (
                Curve("GATE 10", fine[: below.sum() + 1], found.gate_deposits[below]),
                Curve("emulator", fine[: below.sum() + 1], found.our_deposits[below] * scale),
            ),
        ),
    ]
