"""The checks of `tomoshibi validate emulator`, each loaded when it runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from daq.cli.validate.result_line import Check, Line, NotRun, Scope

CHECKS = (
    Check("attenuation", "µ of water against NIST", "matter", "attenuation"),
    Check("narrow-beam", "transmission through 10 cm of water", "matter", "narrow_beam"),
    Check("compton", "Klein–Nishina angles and the edge", "matter", "scattering"),
    Check("positron-range", "in water, against Geant4", "positron_range", "ranges"),
    Check("half-life", "F-18 from its counts", "sources_in_air", "half_life"),
    Check("point", "sensitivity in the centre", "sources_in_air", "point"),
    Check("line", "NEMA NU 2 sensitivity", "sources_in_air", "line"),
    Check("tof", "shift of the time difference", "sources_in_air", "time_of_flight"),
    Check("scatter", "scatter fractions in NEMA's phantom", "nema", "scatter_fractions"),
    Check("randoms", "delayeds, 2τ·S·S and the truth", "count_rates", "randoms"),
    Check("dead-time", "both models against the textbook", "count_rates", "dead_time"),
    Check("necr", "NECR curve in NEMA's phantom", "necr", "necr"),
    Check("spectra", "energies of singles against GATE", "spectra", "spectra"),
    Check("lehr", "LEHR collimator with Tc-99m", "spect", "lehr"),
    Check("melp", "MELP collimator with Lu-177", "spect", "melp"),
    Check("tew", "triple energy window on Lu-177", "spect", "scatter_windows"),
    Check("czt", "sensitivity of a CZT column", "spect", "czt"),
    Check("pacing", "a minute in real time", "pacing", "pacing", needs_time=True),
)

SUITES = {"emulator": CHECKS}


def run_check(check: Check, scope: Scope) -> list[Line]:
    """Return the figures of one check."""
    if check.needs_time and scope.quick:
        return [NotRun(check.words, "--quick leaves it out")]
    module = importlib.import_module(f"daq.cli.validate.{check.module}")
    function: Callable[[Scope], list[Line]] = getattr(module, check.function)
    return function(scope)
