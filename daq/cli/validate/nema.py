"""Validation in NEMA NU 2's scatter phantom: scatter fractions, and the true one.

NEMA's scatter fraction is S/(S + T) at an activity with few randoms (NEMA NU 2-2012, section 4);
those few are subtracted from the sinogram first, by the delayeds. The true one is counted:
the share of true coincidences in which either photon was scattered in the phantom, wherever their
LOR lies.
"""

from __future__ import annotations

import math

import numpy as np

from daq.cli.validate.emulator_runs import (
    Trial,
    ideal_instrument,
    labels_of_pairs,
    narrowed,
    run_trial,
)
from daq.cli.validate.result_line import CheckFigure, Line, Scope
from emulator.engines.instrument import Instrument
from hw.scanner.geometry import build_geometry
from recon.acceptance.count_rates import LineCounts, scatter_fraction
from recon.acceptance.line_sinogram import sinogram

GATE = "GATE 10 of the same geometry, ideal modules; pairs of all unlike blocks"
ACTIVITY_BQ = 5e5  # randoms are then below 1 % of the trues, as NEMA asks
TRUE_SCATTER_FRACTION = 0.595
TOLERANCE = 0.02


def scatter_fractions(scope: Scope) -> list[Line]:
    """Return NEMA's scatter fraction in two energy windows and the true one in the first."""
    instrument = ideal_instrument(phantom="nema-scatter")
    trial = run_trial(
        instrument, scope, activity_Bq=ACTIVITY_BQ, decays=scope.counts(2e7),
        min_sector_difference=0,
    )  # fmt: skip
    lld_keV = instrument.scanner.acquisition.lld_keV
    results = [
        nema_scatter_fraction(narrowed(trial, instrument, **changes), instrument)
        for changes in (
            {"lld_keV": lld_keV, "min_sector_difference": 0},
            {"lld_keV": 400.0, "min_sector_difference": 0},
            {"lld_keV": lld_keV},
        )
    ]
    wide, narrow, in_view = results
    name = "NEMA NU 2 scatter fraction"
    return [
        CheckFigure(f"{name}, 350–650 keV", *wide, 0.478, TOLERANCE, GATE, "", ".3f"),
        CheckFigure(f"{name}, 400–650 keV", *narrow, 0.322, TOLERANCE, GATE, "", ".3f"),
        CheckFigure(f"{name}, 350–650 keV, pairs in view", *in_view, 0.48, TOLERANCE,
               "published (Sci. Rep. 9:15484); the window is a fit to it", "", ".3f"),
        true_scatter_fraction(trial),
    ]  # fmt: skip


def nema_scatter_fraction(trial: Trial, instrument: Instrument) -> tuple[float, float]:
    """Return NEMA's scatter fraction of a trial and its standard error."""
    geometry = build_geometry(instrument.scanner)
    line = LineCounts(
        ACTIVITY_BQ / 1e6, sinogram(trial.prompts, geometry), sinogram(trial.delayeds, geometry),
        trial.seconds,
    )  # fmt: skip
    found = scatter_fraction(line)
    return found.share, found.sigma


def true_scatter_fraction(trial: Trial) -> Line:
    """Return the share of true coincidences with a scattered photon, by the labels."""
    a, b = labels_of_pairs(trial.prompts, trial)
    true = a["decay"] == b["decay"]
    scattered = ((a["scatters"] > 0) | (b["scatters"] > 0))[true]
    share = float(np.mean(scattered)) if len(scattered) else 0.0
    return CheckFigure(
        "true scatter fraction in NEMA's phantom, 350–650 keV", share,
        math.sqrt(share * (1 - share) / max(1, len(scattered))), TRUE_SCATTER_FRACTION, 0.01,
        f"{GATE}, by truth", "", ".3f",
    )  # fmt: skip
