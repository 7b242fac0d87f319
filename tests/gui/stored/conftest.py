"""Real stored runs and the console's page of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.folder.run_config import RunConfig, default_settings
from gui.app.window import ConsoleWindow
from gui.stored.runs_page import RunsPage
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.runs.stored_run import store_run

Pump = Callable[..., None]
SHAPE = (20, 16, 12)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one with an image of two frames whose hottest voxel is known."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("monday", "tuesday"):
        config = RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"), name=name,
            settings=default_settings(load_scanner("bench2")),
        )  # fmt: skip
        store_run(config, root)
    images = root / "monday" / "images"
    images.mkdir()
    volume = np.full((*SHAPE, 2), 1000.0, np.float32)
    volume[4, 5, 6, 1] = 9000.0
    nib.save(nib.Nifti1Image(volume, np.diag([2.0, 2.0, 3.0, 1.0])), images / "bsrem.nii.gz")
    about = {
        "unit": "Bq/mL",
        "patient_position": "HFS",
        "corrections": {"decay": True, "scatter": False},
    }
    (images / "bsrem.json").write_text(json.dumps(about), encoding="utf-8")
    return root


@pytest.fixture
def page(
    runs: Path, console: ConsoleWindow, pump: Pump, monkeypatch: pytest.MonkeyPatch
) -> RunsPage:
    monkeypatch.setattr(RunsPage, "root", runs)
    console.pages.show_page("Runs")
    pump(lambda: console.runs.table.rowCount() >= 2, bound_s=30)
    return console.runs
