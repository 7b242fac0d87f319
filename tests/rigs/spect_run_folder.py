"""A small SPECT run as a folder, written without an emulator."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from coincidence.events import ANGLE, SINGLE, WINDOW_SHIFT
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.singles_log import SinglesWriter, singles_head
from hw.physics.energy_windows import spect_windows
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind

CREATED = "2026-11-21T10:00:00+00:00"


def write_spect_run(folder: Path, **config_more: Any) -> Path:
    """Write a step-and-shoot run of a camera with few pixels: counts from a warm middle.

    config_more : more of the run's configuration
    """
    text = re.sub(r"(n_[uv] = )64", r"\g<1>16", scanner_to_toml_text("gamma_head_lehr"))
    text = text.replace("[64, 64, 64]", "[16, 16, 8]").replace("[4.0, 4.0, 4.0]", "[16, 16, 16]")
    windows = [msgspec.to_builtins(window) for window in spect_windows("Tc-99m")]
    settings = default_settings(parse_scanner(text, source="test"), windows=windows)
    settings = msgspec.structs.replace(settings, window_ps=0, delay_ps=0)
    config = RunConfig(
        scanner_toml=text, settings=settings, labels={"nuclide": "Tc-99m"}, **config_more
    )
    head = {"run": folder.name, "config": msgspec.to_builtins(config), "calibration": "none"}
    head["created"] = CREATED
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(head), encoding="utf-8")
    log = SinglesWriter(folder / "singles.tmws", singles_head(head, settings))
    rng = np.random.default_rng(4)
    for step in range(40):
        singles, angles = np.zeros(800, SINGLE), np.zeros(1, ANGLE)
        singles["crystal"] = rng.integers(6, 10, 800) + 16 * rng.integers(6, 10, 800)
        singles["time_ps"] = np.sort(rng.integers(step * 10**12, (step + 1) * 10**12, 800))
        singles["flags"] = 2 << WINDOW_SHIFT
        angles["time_ps"], angles["steps"] = step * 10**12, 9000 * step
        log.append(BlockKind.ANGLES, angles)
        log.append(BlockKind.SINGLES, singles)
    log.close({})
    return folder
