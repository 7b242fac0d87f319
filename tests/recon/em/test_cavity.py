"""The sensitivity where matter ends: in a cavity, and at the rim of a cylinder."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from hw.scanner.preset_file import load_scanner
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityRatio
from recon.em.sensitivity_lines import sampled_lines
from recon.projector.operator import Projector

MU_PER_MM, RADIUS_MM, CAVITY_MM = 0.0096, 90.0, 14.0


def test_the_rim_of_a_cylinder_is_as_sensitive_as_its_lines() -> None:
    """It was 2.4 % more within 4 mm of the rim, and 1 % within 10 mm."""
    system = ReconSystem.of(load_scanner("caremibrain"))
    x, y, z = system.grid.axes_mm()
    r = np.hypot(x, y)
    water = (np.clip(100.0 - r + 0.5, 0, 1) * (np.abs(z) < 75)).astype(np.float32) * MU_PER_MM
    mu = np.ascontiguousarray(water, np.float32)
    projector = Projector(system.grid, threads=2)
    with_matter = np.zeros(system.grid.shape)
    without = np.zeros(system.grid.shape)
    for lines in sampled_lines(system, samples=1_500_000):
        through = np.exp(-projector.forward(mu, lines.lors))
        with_matter += projector.back(lines.weight * through, lines.lors)
        without += projector.back(lines.weight, lines.lors)
    projector.close()
    found = SensitivityRatio(system, threads=2).of(mu_per_mm=mu) * without
    for inner, outer, within in ((0, 80, 0.004), (80, 90, 0.004), (90, 96, 0.004), (96, 100, 0.01)):
        ring = (r >= inner) & (r < outer) & (np.abs(z) < 60)
        assert found[ring].sum() == pytest.approx(with_matter[ring].sum(), rel=within), inner


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
