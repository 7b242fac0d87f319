"""Validation of real time: the rate at which an emulator's frames come, against the wall clock."""

from __future__ import annotations

from daq.cli.validate.result_line import CheckFigure, Line, Scope
from emulator.config import EmulatorConfig
from emulator.trials.pacing import measure_pacing

DURATION_S = 60.0


def pacing(scope: Scope) -> list[Line]:
    """Emulate a minute in real time and compare both clocks."""
    config = EmulatorConfig(activity_Bq=2e5, seed=scope.seed, threads=scope.threads)
    found = measure_pacing(config, duration_s=DURATION_S)
    return [
        CheckFigure("emulated over wall time, 60 s in real time", 1 + found.error, 0.0, 1.0, 0.005,
               "the wall clock; brain phantom of 0.2 MBq in caremibrain, frames over ZeroMQ", "",
               ".5f"),
        CheckFigure("most that it lagged behind", 1e3 * found.max_lag_s, 0.0, float("nan"), None,
               "told by the emulator itself", "ms", ".0f"),
    ]  # fmt: skip
