"""The emulator's own dead time, through its data frames, to a true rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text

RUN_TAG = 9


def test_emulated_rates_over_live_time_are_the_trigger_rates(tmp_path: Path) -> None:
    """At 20 MBq 7 % of the time is dead; the emulator counts the triggers that fell into it."""
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=2e7, seed=11)
    settings = default_settings(load_scanner("bench2"))
    run = Run(
        RunConfig(scanner_toml=scanner_to_toml_text("bench2"), settings=settings, run_tag=RUN_TAG),
        tmp_path,
    )
    for frames in frames_of_run(prepare(config), config, periods=40, run_tag=RUN_TAG):
        run.process([bytes(frame) for frame in frames])
    run.finish()
    live = run.takers.statistics.live_time
    recorded = run.pipeline.decoder.line["singles"]
    triggers = recorded + run.pipeline.checker.links["dead_events"]
    assert (live.dead_s / live.detector_s > 0.06).all()
    np.testing.assert_allclose(recorded / live.module_s, triggers / live.detector_s, rtol=0.01)
    np.testing.assert_allclose(live.module_s + live.dead_s, live.detector_s)
