"""The sensitivity in a cavity: every line through its middle is spared the same matter."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityRatio

MU_PER_MM, RADIUS_MM, CAVITY_MM = 0.0096, 90.0, 14.0


def test_a_cavity_of_28_mm_is_as_sensitive_as_its_lines() -> None:
    scanner = load_scanner("caremibrain")
    image = msgspec.structs.replace(scanner.image, shape=(54, 54, 38), voxel_mm=(4.0, 4.0, 4.0))
    system = ReconSystem.of(msgspec.structs.replace(scanner, image=image))
    x, y, z = system.grid.axes_mm()
    water = ((np.hypot(x, y) < RADIUS_MM) & (np.abs(z) < 70)).astype(np.float32) * MU_PER_MM
    # partly filled voxels at the cavity's edge: 4³ points each
    fine = (np.arange(4) + 0.5) - 2.0
    share = sum(
        (((x + a) ** 2 + (y + b) ** 2 + (z + c) ** 2) < CAVITY_MM**2).astype(np.float32)
        for a in fine for b in fine for c in fine
    ) / np.float32(64)  # fmt: skip
    ratio = SensitivityRatio(system, threads=2)
    full = ratio.of(mu_per_mm=np.ascontiguousarray(water, np.float32))
    hollow = ratio.of(mu_per_mm=np.ascontiguousarray(water * (1 - share), np.float32))
    middle = (x**2 + y**2 + z**2) < 5.0**2
    gained = float((hollow / full)[np.broadcast_to(middle, full.shape)].mean())
    # within 5 mm of the middle a line is spared 26 to 28 mm of water
    assert gained == pytest.approx(math.exp(MU_PER_MM * 2 * CAVITY_MM), rel=0.025)
