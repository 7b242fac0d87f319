"""A short closed run of the emulator, made without processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text


def emulated(root: Path, name: str, **more: Any) -> Path:
    """Write a closed run of a point source of O-15 in bench2, 0.31 s."""
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=4e6, seed=5)
    run = Run(
        RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=default_settings(load_scanner("bench2")),
            run_tag=9,
            name=name,
            labels={"nuclide": "O-15"},
            **more,
        ),
        root,
    )
    for frames in frames_of_run(prepare(config), config, periods=60, run_tag=9):
        run.process([bytes(frame) for frame in frames])
    run.finish()
    run.write_summary()
    return run.folder
