"""What `tomoshibi validate emulator` computes: the list of checks, each loaded when it runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from daq.cli.validation_figure import Check, Line, NotRun, Scope

CHECKS = (
    Check("attenuation", "µ of water against NIST", "validation_matter", "attenuation"),
    Check("narrow-beam", "transmission through 10 cm of water", "validation_matter", "narrow_beam"),
    Check("compton", "Klein–Nishina angles and the edge", "validation_matter", "scattering"),
    Check("half-life", "F-18 from its counts", "validation_source", "half_life"),
    Check("point", "sensitivity in the centre", "validation_source", "point"),
    Check("line", "NEMA NU 2 sensitivity", "validation_source", "line"),
    Check("tof", "shift of the time difference", "validation_source", "time_of_flight"),
    Check("scatter", "scatter fractions in NEMA's phantom", "validation_nema", "scatter_fractions"),
    Check("randoms", "delayeds, 2τ·S·S and the truth", "validation_rates", "randoms"),
    Check("dead-time", "both models against the textbook", "validation_rates", "dead_time"),
    Check("necr", "NECR curve in NEMA's phantom", "validation_necr", "necr"),
    Check("spectra", "energies of singles against GATE", "validation_spectra", "spectra"),
    Check("lehr", "LEHR collimator with Tc-99m", "validation_spect", "lehr"),
    Check("melp", "MELP collimator with Lu-177", "validation_spect", "melp"),
    Check("tew", "triple energy window on Lu-177", "validation_spect", "scatter_windows"),
    Check("czt", "sensitivity of a CZT column", "validation_spect", "czt"),
    Check("pacing", "a minute in real time", "validation_pacing", "pacing", needs_time=True),
)

SUITES = {"emulator": CHECKS}


def run_check(check: Check, scope: Scope) -> list[Line]:
    """Return the figures of one check."""
    if check.needs_time and scope.quick:
        return [NotRun(check.words, "--quick leaves it out")]
    module = importlib.import_module(f"daq.cli.{check.module}")
    function: Callable[[Scope], list[Line]] = getattr(module, check.function)
    return function(scope)
