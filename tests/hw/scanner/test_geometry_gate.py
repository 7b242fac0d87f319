"""Our geometry holds the hits of an independent simulation (GATE 10) of the same scanner."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry, crystal_at, crystal_position_mm
from hw.scanner.preset_file import load_scanner

FOLDER = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")
FILE = Path(FOLDER) / "gate" / "point_center_2e5decays_singles.npz"

pytestmark = [
    pytest.mark.reference_data,
    pytest.mark.skipif(
        not (FOLDER and FILE.is_file()),
        reason="TOMOSHIBI_REFERENCE_DATA does not name a folder with the GATE singles",
    ),
]


def test_every_hit_of_gate_lies_in_the_element_found_for_it() -> None:
    scanner = load_scanner("caremibrain")
    geometry = build_geometry(scanner)
    with np.load(FILE) as gate:
        block, points = gate["block"].astype(int), gate["xyz_mm"].astype(float)
    crystal, doi = crystal_at(scanner, geometry, block, points)
    away = np.einsum(
        "kij,kj->ki",
        geometry.module_axes[block],
        points - crystal_position_mm(geometry, crystal, doi),
    )
    half_mm = np.array([1.5625, 1.5625, 1.875]) / 2
    rounding_mm = 1e-3  # float32 coordinates in both
    assert len(points) > 100_000
    assert (np.abs(away) <= half_mm + rounding_mm).all()
