"""Real runs, closed with their manifests, and a place for their copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rigs.runs.stored_run import store_run


@pytest.fixture
def store(tmp_path: Path, make_config: Any) -> Callable[[str], Path]:
    """Make a closed run of a name, with an image and a log in folders of their own."""

    def make(name: str) -> Path:
        folder = store_run(make_config(name=name), tmp_path / "runs")
        for place in ("images/bsrem.nii.gz", "logs/daq.log"):
            (folder / place).parent.mkdir()
            (folder / place).write_bytes(place.encode() * 1000)
        return folder

    return make


@pytest.fixture
def folder(store: Callable[[str], Path]) -> Path:
    return store("ours")


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    place = tmp_path / "disk"
    place.mkdir()
    return place
