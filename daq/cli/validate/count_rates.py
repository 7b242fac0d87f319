"""Validation of count rates: randoms and dead time."""

from __future__ import annotations

import math

import numpy as np

from daq.cli.validate.emulator_runs import (
    Trial,
    ideal_instrument,
    labels_of_pairs,
    run_trial,
    slices_of,
)
from daq.cli.validate.result_line import CheckFigure, Line, Scope, relative
from emulator.detector.digitizer import EMITTED, Digitizer, digitizer_tables
from emulator.engines.instrument import Instrument
from hw.scanner.geometry import allowed_module_pairs

KNOLL = "Knoll, Radiation Detection and Measurement, 4th ed., section 4.7"
DEAD_TIME_LOADS = (0.1, 0.5, 1.0)


def randoms(scope: Scope) -> list[Line]:
    """Compare 2τ·S·S, delayeds and the randoms by truth, in a water cylinder."""
    instrument = ideal_instrument(phantom="cylinder")
    trial = run_trial(instrument, scope, activity_Bq=2e7, decays=scope.counts(1e7))
    expected = expected_randoms(trial, instrument)
    a, b = labels_of_pairs(trial.prompts, trial)
    by_truth = int((a["decay"] != b["decay"]).sum())
    delayed = len(trial.delayeds)
    source = "2τ·S₁·S₂ summed over the module pairs in view, from the singles' rates of this trial"
    return [
        CheckFigure(f"randoms over 2τ·S·S, by {how}", count / expected, math.sqrt(count) / expected,
               1.0, 0.02, source, "", ".4f")
        for how, count in (("delayed window", delayed), ("truth", by_truth))
    ]  # fmt: skip


def expected_randoms(trial: Trial, instrument: Instrument) -> float:
    """Return Σ 2τ·S_m·S_n·T over the allowed pairs of modules m < n."""
    scanner, settings = instrument.scanner, trial.settings
    module = trial.singles["crystal"] // scanner.crystals_per_module
    rate_Hz = np.bincount(module, minlength=scanner.n_modules) / trial.seconds
    allowed = allowed_module_pairs(scanner, min_sector_difference=settings.min_sector_difference)
    both = float(rate_Hz @ allowed @ rate_Hz) / 2  # each pair stands twice in the matrix
    return 2 * settings.window_ps * 1e-12 * both * trial.seconds


def dead_time(scope: Scope) -> list[Line]:
    """Compare the share of triggers recorded with the textbook's, for both models."""
    instrument = ideal_instrument(phantom="point", trigger_keV=100.0)
    preset = digitizer_tables(instrument.scanner)
    busy_ps = max(preset.dead_time_ps, preset.integration_ps)
    busy_s, modules = busy_ps * 1e-12, instrument.scanner.n_modules
    lines: list[Line] = []
    for load in DEAD_TIME_LOADS:
        digitizers = {
            kind: Digitizer(modules, preset._replace(paralysable=kind == "paralysable"))
            for kind in ("non-paralysable", "paralysable")
        }
        triggers, recorded = np.zeros(modules), {kind: np.zeros(modules) for kind in digitizers}
        periods = 0
        activity_Bq = load / busy_s * modules / 0.78  # about 0.78 triggers a decay
        for hits in slices_of(instrument, scope, activity_Bq=activity_Bq, decays=scope.counts(5e6)):
            periods += 1
            triggers += np.bincount(hits.hits["module"], minlength=modules)
            for kind, digitizer in digitizers.items():
                digitizer.take(hits.hits, hits.index)
                recorded[kind] += digitizer.counts[:, EMITTED]
        lines += _dead_time_lines(triggers, recorded, busy_s, periods)
    return lines


def _dead_time_lines(
    triggers: np.ndarray, recorded: dict[str, np.ndarray], busy_s: float, periods: int
) -> list[Line]:
    """Return a line for each model; rings differ in rate, so the law is summed over modules."""
    from emulator.slices import PERIOD_S

    load = triggers / (periods * PERIOD_S) * busy_s
    laws = {"non-paralysable": 1 / (1 + load), "paralysable": np.exp(-load)}
    lines: list[Line] = []
    for kind, law in laws.items():
        share = recorded[kind].sum() / triggers.sum()
        expected = float((law * triggers).sum() / triggers.sum())
        name = f"share recorded, {kind}, n·t = {load.mean():.2f}"
        formula = "1/(1 + n·t)" if kind == "non-paralysable" else "exp(−n·t)"
        sigma = math.sqrt(share * (1 - share) / triggers.sum())
        lines.append(
            CheckFigure(name, float(share), sigma, expected, relative(0.01, expected),
                   f"{formula}, {KNOLL}", "", ".4f")
        )  # fmt: skip
    return lines
