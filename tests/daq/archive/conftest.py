"""Real runs, closed with their manifests, and a place for their copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daq.folder.listing.manifest import write_manifest
from daq.service.run import Run
from rigs.frames_factory import sent_run

FRAMES = sent_run(n_modules=2, crystals_per_module=64, periods=40)


@pytest.fixture
def store(tmp_path: Path, make_config: Any) -> Callable[[str], Path]:
    """Make a closed run of a name, with an image and a log in folders of their own."""

    def make(name: str) -> Path:
        run = Run(make_config(name=name, run_tag=FRAMES.report.run_tag), tmp_path / "runs")
        for k in range(0, len(FRAMES.frames), 8):
            run.process(FRAMES.frames[k : k + 8])
        run.reports.append(FRAMES.report)
        run.finish()
        run.write_summary()
        write_manifest(run.folder)
        for place in ("images/bsrem.nii.gz", "logs/daq.log"):
            (run.folder / place).parent.mkdir()
            (run.folder / place).write_bytes(place.encode() * 1000)
        return run.folder

    return make


@pytest.fixture
def folder(store: Callable[[str], Path]) -> Path:
    return store("ours")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    place = tmp_path / "disk"
    place.mkdir()
    return place
