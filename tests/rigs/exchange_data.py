"""Shared by the exchange tests: synthetic records, and tools that may be absent."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from hw.scanner.description import Scanner

DICOM_TOOLS = "dciodvfy is not installed: apt-get install dicom3tools"

NO_ERRORS = ("<LowRRValue> Module=<PETImage>", "<HighRRValue> Module=<PETImage>")
"""What dciodvfy 1.00~20220618 calls an error in every gated PET image that has them. PS3.3 C.8.9.4
requires both if the beat rejection flag is Y, as it is there."""


def made_records(
    scanner: Scanner, count: int, duration_s: float, *, seed: int = 1, delayed: bool = False
) -> np.ndarray:
    """Return coincidences in order of time, each of two different crystals."""
    rng = np.random.default_rng(seed)
    records = np.zeros(count, COINCIDENCE)
    records["time_ps"] = np.sort(rng.integers(0, round(duration_s * 1e12), count))
    first = rng.integers(0, scanner.n_crystals - 1, count)
    records["crystal_a"] = first
    records["crystal_b"] = first + 1 + rng.integers(0, scanner.n_crystals - 1 - first)
    window = scanner.acquisition.window_ps
    records["tof_ps"] = rng.integers(-window, window + 1, count)
    for name in ("doi_a", "doi_b"):
        records[name] = rng.integers(0, scanner.module.doi_bins, count)
    for name in ("energy_a", "energy_b"):
        low, high = (round(10 * e) for e in (scanner.acquisition.lld_keV, 650.0))
        records[name] = rng.integers(low, high + 1, count)
    records["flags"] = int(delayed)
    return records


def dciodvfy(path: Path) -> tuple[list[str], list[str]]:
    """Return dciodvfy's errors (but ``NO_ERRORS``) and warnings; skips if it is not installed."""
    if shutil.which("dciodvfy") is None:
        pytest.skip(DICOM_TOOLS)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    said = (done.stdout + done.stderr).splitlines()
    errors = [line for line in said if line.startswith("Error") and not line.endswith(NO_ERRORS)]
    return errors, [line for line in said if line.startswith("Warning")]


def dcm2niix(folder: Path, out: Path) -> dict[str, Any]:
    """Convert a folder of one series; return what dcm2niix says of it. Skips if not installed."""
    if shutil.which("dcm2niix") is None:
        pytest.skip("dcm2niix is not installed: apt-get install dcm2niix")
    out.mkdir()
    asked = ["dcm2niix", "-f", "made", "-o", str(out), str(folder)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    (said,) = out.glob("*.json")
    return dict(json.loads(said.read_text(encoding="utf-8")))
