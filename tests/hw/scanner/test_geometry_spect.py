"""Geometry of scanners that stand on an arc or move: columns are where their angle puts them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw.scanner.geometry import build_geometry, mean_interaction_depth_mm, module_poses
from hw.scanner.preset_file import load_scanner, parse_scanner
from rigs.spect_presets import COLUMNS, HEAD, as_toml

head, columns = parse_scanner(as_toml(HEAD)), parse_scanner(as_toml(COLUMNS))


def test_a_head_stands_at_plus_x_and_faces_the_axis() -> None:
    geometry = build_geometry(head)
    assert geometry.module_centre_mm[0] == pytest.approx([150, 0, 0])
    assert geometry.module_axes[0, 2] == pytest.approx([1, 0, 0])
    assert len(geometry.crystal_front_mm) == 64 * 48


def test_columns_share_their_arc() -> None:
    centre = build_geometry(columns).module_centre_mm
    for k in range(9):
        angle = math.radians(k * 10)
        assert centre[k] == pytest.approx([300 * math.cos(angle), 300 * math.sin(angle), 0])


def test_nobody_pairs_behind_collimators() -> None:
    assert not build_geometry(columns).allowed_pairs.any()
    assert not build_geometry(head).allowed_pairs.any()


def test_a_gantry_turns_the_head_about_the_axis() -> None:
    centre, axes = module_poses(head, 90.0)
    assert centre[0] == pytest.approx([0, 150, 0], abs=1e-12)
    assert axes[0] == pytest.approx(np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0]]), abs=1e-12)


def test_a_column_swivels_about_the_middle_of_its_front_face() -> None:
    angles = np.linspace(-40, 40, 9)
    centre, axes = module_poses(columns, angles)
    assert centre == pytest.approx(build_geometry(columns).module_centre_mm)
    for k, swivel in enumerate(angles):
        towards = math.radians(k * 10 + swivel)
        assert axes[k, 2] == pytest.approx([math.cos(towards), math.sin(towards), 0])
        assert axes[k, 1] == pytest.approx([0, 0, 1])


def test_axes_stay_right_handed() -> None:
    axes = module_poses(columns, -33.0)[1]
    assert np.allclose(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2])


def test_what_cannot_move_stands_at_0() -> None:
    scanner = load_scanner("caremibrain")
    centre, _ = module_poses(scanner)
    assert np.array_equal(centre, build_geometry(scanner).module_centre_mm)
    with pytest.raises(ValueError, match=r"caremibrain has no \[motion\]"):
        module_poses(scanner, 1.0)


def test_photons_behind_a_collimator_stop_before_the_middle() -> None:
    """The mean of an exponential cut off at T, by sums: 140.5 keV in NaI and in CZT."""
    for material, thickness in (("NaI", 9.5), ("CZT", 5.0)):
        mu = {"NaI": 0.243, "CZT": 0.374}[material]
        x = (np.arange(100_000) + 0.5) * thickness / 100_000
        weights = np.exp(-mu * x)
        mean = (x * weights).sum() / weights.sum()
        assert mean_interaction_depth_mm(thickness, material=material) == pytest.approx(mean, 1e-6)
        assert mean < thickness / 2
