"""Geometry: crystals stand where plain trigonometry puts them; pairs cover what they promise."""

from __future__ import annotations

import itertools
import math
import tomllib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.scanner.description import Scanner
from hw.scanner.geometry import (
    Geometry,
    allowed_module_pairs,
    build_geometry,
    crystal_at,
    crystal_position_mm,
    doi_depths_mm,
    lor_sector_difference,
    mean_interaction_depth_mm,
)
from hw.scanner.preset_file import PRESET_FOLDER, load_scanner
from oracles.crystal_corners import crystal_corners_mm

PRESETS = ("bench2", "caremibrain", "tof_brain")
SCANNERS = {name: load_scanner(name) for name in PRESETS}
GEOMETRIES = {name: build_geometry(scanner) for name, scanner in SCANNERS.items()}
FLOAT32_MM = 2e-5  # two units in the last place of a float32 near 150 mm


@pytest.fixture(params=PRESETS)
def case(request: pytest.FixtureRequest) -> tuple[Scanner, Geometry]:
    return SCANNERS[request.param], GEOMETRIES[request.param]


def position_by_trigonometry(name: str, crystal: int, doi: int) -> tuple[float, float, float]:
    """Place one crystal from the preset's own TOML, in cylindrical coordinates, without arrays."""
    preset = tomllib.loads((PRESET_FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    ring, block = preset["ring"], preset["module"]
    module, inside = divmod(crystal, block["n_u"] * block["n_v"])
    row, column = divmod(inside, block["n_u"])
    ring_number, sector = divmod(module, ring["modules_per_ring"])
    depth = (2 * doi + 1) * block["thickness_mm"] / (2 * block["doi_bins"])
    if block["doi_bins"] == 1:
        depth = 6.0803  # see the test of the mean interaction depth
    across = (2 * column + 1 - block["n_u"]) * block["width_mm"] / (2 * block["n_u"])
    outward = ring["inradius_mm"] + depth
    radius = math.hypot(outward, across)
    angle = 2 * math.pi * sector / ring["modules_per_ring"] + math.atan2(across, outward)
    z = (2 * row + 1 - block["n_v"]) * block["height_mm"] / (2 * block["n_v"])
    z += (2 * ring_number + 1 - ring["n_rings"]) * ring["ring_pitch_mm"] / 2
    return radius * math.cos(angle), radius * math.sin(angle), z


# Where crystals are


@settings(deadline=None, derandomize=True)
@given(st.sampled_from(PRESETS), st.data())
def test_crystal_stands_where_trigonometry_puts_it(name: str, data: st.DataObject) -> None:
    scanner = SCANNERS[name]
    crystal = data.draw(st.integers(0, scanner.n_crystals - 1))
    doi = data.draw(st.integers(0, scanner.module.doi_bins - 1))
    position = crystal_position_mm(GEOMETRIES[name], crystal, doi)
    assert position == pytest.approx(position_by_trigonometry(name, crystal, doi), abs=1e-4)


def test_sector_0_is_at_plus_x_and_a_quarter_turn_on_at_plus_y() -> None:
    centre = GEOMETRIES["caremibrain"].module_centre_mm
    assert centre[16] == pytest.approx([128, 0, 0])
    assert centre[16 + 4] == pytest.approx([0, 128, 0], abs=1e-12)


def test_ring_0_is_at_most_negative_z() -> None:
    z = GEOMETRIES["caremibrain"].module_centre_mm[:, 2]
    assert list(z[[0, 16, 32]]) == [-52, 0, 52]


def test_first_crystal_is_clockwise_and_at_negative_z() -> None:
    front = GEOMETRIES["caremibrain"].crystal_front_mm
    assert front[0] == pytest.approx([128, -24.21875, -52 - 24.21875])
    assert front[1] - front[0] == pytest.approx([0, 1.5625, 0], abs=FLOAT32_MM)
    assert front[32] - front[0] == pytest.approx([0, 0, 1.5625], abs=FLOAT32_MM)


def test_faces_of_caremibrain_are_256_mm_apart_and_its_axis_154_mm_long() -> None:
    scanner, geometry = SCANNERS["caremibrain"], GEOMETRIES["caremibrain"]
    corners = crystal_corners_mm(scanner, geometry, np.arange(scanner.n_crystals))
    assert np.ptp(corners[..., 2]) == pytest.approx(154, abs=FLOAT32_MM)
    first, opposite = (np.where(geometry.crystal_module == m)[0] for m in (16, 24))
    gap = corners[first, :4, 0].min() - corners[opposite, :4, 0].max()
    assert gap == pytest.approx(256, abs=FLOAT32_MM)


def test_opposite_modules_face_each_other(case: tuple[Scanner, Geometry]) -> None:
    scanner, geometry = case
    n = scanner.ring.modules_per_ring
    module = np.arange(scanner.n_modules)
    opposite = module // n * n + (module + n // 2) % n
    u, v, w = (geometry.module_axes[:, i] for i in range(3))
    assert np.allclose(w, -w[opposite]) and np.allclose(u, -u[opposite])
    assert np.array_equal(v, v[opposite])
    across = geometry.module_centre_mm - geometry.module_centre_mm[opposite]
    assert np.allclose(across, 2 * scanner.ring.inradius_mm * w)


def test_axes_are_right_handed_and_of_unit_length(case: tuple[Scanner, Geometry]) -> None:
    axes = case[1].module_axes
    assert np.allclose(axes @ axes.transpose(0, 2, 1), np.eye(3))
    assert np.allclose(np.cross(axes[:, 0], axes[:, 1]), axes[:, 2])


def test_a_turn_by_one_sector_carries_the_scanner_into_itself(
    case: tuple[Scanner, Geometry],
) -> None:
    scanner, geometry = case
    n, per_module = scanner.ring.modules_per_ring, scanner.crystals_per_module
    angle = 2 * math.pi / n
    turn = np.array(
        [[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]]
    )
    front = geometry.crystal_front_mm.reshape(scanner.ring.n_rings, n, per_module, 3)
    assert np.allclose(front @ turn.T, np.roll(front, -1, axis=1), atol=FLOAT32_MM)


def test_mirror_in_z_carries_the_scanner_into_itself(case: tuple[Scanner, Geometry]) -> None:
    front = case[1].crystal_front_mm
    mirrored = front * np.array([1, 1, -1], np.float32)
    as_set = {tuple(p) for p in np.round(front.astype(float), 3) + 0.0}
    assert {tuple(p) for p in np.round(mirrored.astype(float), 3) + 0.0} == as_set


def test_modules_do_not_overlap(case: tuple[Scanner, Geometry]) -> None:
    scanner, geometry = case
    for module in range(scanner.n_modules):
        others = geometry.crystal_module != module
        depth = np.array([[0.0], [scanner.module.thickness_mm]])
        points = geometry.crystal_front_mm[others][:, None] + (
            depth * geometry.crystal_normal[others][:, None]
        )
        local = (points - geometry.module_centre_mm[module]) @ geometry.module_axes[module].T
        block = scanner.module
        inside = (
            (np.abs(local[..., 0]) < block.width_mm / 2)
            & (np.abs(local[..., 1]) < block.height_mm / 2)
            & (local[..., 2] > 0)
            & (local[..., 2] < block.thickness_mm)
        )
        assert not inside.any()


# Shapes, ids and types, which kernels rely on


def test_arrays_have_the_promised_shapes_and_types(case: tuple[Scanner, Geometry]) -> None:
    scanner, geometry = case
    m, n = scanner.n_modules, scanner.n_crystals
    promised = {
        "module_centre_mm": ((m, 3), "f8"),
        "module_axes": ((m, 3, 3), "f8"),
        "crystal_front_mm": ((n, 3), "f4"),
        "crystal_normal": ((n, 3), "f4"),
        "crystal_module": ((n,), "u2"),
        "crystal_ring": ((n,), "u2"),
        "doi_depth_mm": ((scanner.module.doi_bins,), "f4"),
        "allowed_pairs": ((m, m), "?"),
    }
    assert set(vars(geometry)) == set(promised)
    for name, (shape, dtype) in promised.items():
        array = getattr(geometry, name)
        assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
        assert array.flags.c_contiguous and array.flags.writeable


def test_ids_count_crystals_then_sectors_then_rings(case: tuple[Scanner, Geometry]) -> None:
    scanner, geometry = case
    ids = itertools.product(
        range(scanner.ring.n_rings),
        range(scanner.ring.modules_per_ring),
        range(scanner.crystals_per_module),
    )
    for crystal, (ring, sector, _) in enumerate(ids):
        assert geometry.crystal_ring[crystal] == ring
        assert geometry.crystal_module[crystal] == ring * scanner.ring.modules_per_ring + sector


# From points back to crystals


def test_the_middle_of_each_element_is_found_in_it(case: tuple[Scanner, Geometry]) -> None:
    scanner, geometry = case
    for doi in range(scanner.module.doi_bins):
        crystal = np.arange(scanner.n_crystals)
        points = crystal_position_mm(geometry, crystal, np.full(crystal.shape, doi))
        found, depth_bin = crystal_at(scanner, geometry, geometry.crystal_module, points)
        assert np.array_equal(found, crystal) and (depth_bin == doi).all()
        assert (found.dtype, depth_bin.dtype) == (np.uint32, np.uint8)


def test_a_point_is_never_further_from_its_element_than_half_the_pitch() -> None:
    scanner, geometry = SCANNERS["caremibrain"], GEOMETRIES["caremibrain"]
    rng = np.random.default_rng(7)
    local = rng.uniform([-25, -25, 0], [25, 25, 15], (10_000, 3))
    module = rng.integers(0, scanner.n_modules, len(local))
    points = geometry.module_centre_mm[module] + np.einsum(
        "ki,kij->kj", local, geometry.module_axes[module]
    )
    crystal, doi = crystal_at(scanner, geometry, module, points)
    away = crystal_position_mm(geometry, crystal, doi) - points
    local_away = np.einsum("kij,kj->ki", geometry.module_axes[module], away)
    assert (np.abs(local_away) <= np.array([1.5625, 1.5625, 1.875]) / 2 + 1e-4).all()


def test_a_point_just_outside_counts_for_the_nearest_crystal() -> None:
    scanner, geometry = SCANNERS["bench2"], GEOMETRIES["bench2"]
    crystal, doi = crystal_at(scanner, geometry, [0, 0], [[49.999, -12.9, -12.9], [66, 12.9, 12.9]])
    assert list(crystal) == [0, 63] and list(doi) == [0, 1]


def test_corners_enclose_a_crystal_of_the_pitch_and_thickness() -> None:
    scanner, geometry = SCANNERS["tof_brain"], GEOMETRIES["tof_brain"]
    (corners,) = crystal_corners_mm(scanner, geometry, 3333)
    front, back = corners[:4], corners[4:]
    assert front.mean(axis=0) == pytest.approx(geometry.crystal_front_mm[3333], abs=1e-5)
    sides = np.linalg.norm(np.roll(front, -1, axis=0) - front, axis=1)
    assert sides == pytest.approx([4.1] * 4)
    assert np.linalg.norm(back - front, axis=1) == pytest.approx([15.0] * 4)
    area = np.cross(front[1] - front[0], front[2] - front[1])
    assert area == pytest.approx(4.1**2 * geometry.crystal_normal[3333], abs=1e-5)


# Depth


def test_depth_bins_start_at_the_entrance_face() -> None:
    assert list(doi_depths_mm(16.0, doi_bins=4)) == [2, 6, 10, 14]


def test_mean_depth_is_that_of_sampled_photons() -> None:
    depth_mm = np.random.default_rng(11).exponential(1 / 0.0774, 2_000_000)
    interacting = depth_mm[depth_mm < 15]
    error_mm = interacting.std() / math.sqrt(len(interacting))
    assert mean_interaction_depth_mm(15.0) == pytest.approx(interacting.mean(), abs=4 * error_mm)


def test_mean_depth_of_a_thin_slab_is_its_middle_and_of_a_thick_one_the_free_path() -> None:
    assert mean_interaction_depth_mm(0.01) == pytest.approx(0.005, rel=1e-3)
    assert mean_interaction_depth_mm(2000.0) == pytest.approx(1 / 0.0774)


# Pairs


def test_difference_of_sectors_is_cyclic_and_ignores_rings() -> None:
    scanner = SCANNERS["caremibrain"]
    difference = lor_sector_difference(scanner, [0, 0, 0, 15, 3], [8, 15, 9, 32, 19])
    assert list(difference) == [8, 1, 7, 1, 0]


def test_difference_of_unsigned_modules_does_not_wrap() -> None:
    a, b = np.array([1], np.uint16), np.array([2], np.uint16)
    assert list(lor_sector_difference(SCANNERS["caremibrain"], a, b)) == [1]


def test_pairs_are_symmetric_and_never_of_one_module(case: tuple[Scanner, Geometry]) -> None:
    pairs = case[1].allowed_pairs
    assert np.array_equal(pairs, pairs.T) and not pairs.diagonal().any() and pairs.any()


def test_pairs_of_caremibrain_leave_out_own_and_neighbouring_sectors_of_all_rings() -> None:
    pairs = GEOMETRIES["caremibrain"].allowed_pairs
    refused = {m for m in range(48) if not pairs[16, m]}
    assert refused == {ring * 16 + sector for ring in range(3) for sector in (15, 0, 1)}


def test_another_least_difference_can_be_asked_for() -> None:
    scanner = SCANNERS["caremibrain"]
    assert allowed_module_pairs(scanner, min_sector_difference=0).all()
    assert allowed_module_pairs(scanner, min_sector_difference=8).sum() == 48 * 3


def test_the_two_modules_of_the_bench_pair() -> None:
    assert GEOMETRIES["bench2"].allowed_pairs.tolist() == [[False, True], [True, False]]


def segment_from_axis_mm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance in the x–y plane from the origin to the segment a–b: decays lie between hits."""
    along = b - a
    length2 = np.maximum((along**2).sum(-1), 1e-12)
    foot = np.clip(-(a * along).sum(-1) / length2, 0, 1)
    return np.linalg.norm(a + foot[..., None] * along, axis=-1)


def test_no_excluded_line_enters_the_full_view_and_the_nearest_touches_it(
    case: tuple[Scanner, Geometry],
) -> None:
    scanner, geometry = case
    u = np.linspace(-0.5, 0.5, 21) * scanner.module.width_mm
    w = np.linspace(0, 1, 4) * scanner.module.thickness_mm
    local = np.stack(np.meshgrid(u, w), axis=-1).reshape(-1, 2)
    axes = geometry.module_axes[:, ::2, :2]
    points = geometry.module_centre_mm[:, None, :2] + local @ axes
    ring = range(scanner.ring.modules_per_ring)
    excluded = [(a, b) for a in ring for b in ring if not geometry.allowed_pairs[a, b]]
    nearest_mm = min(
        segment_from_axis_mm(points[a][:, None], points[b][None]).min() for a, b in excluded
    )
    assert scanner.full_view_radius_mm == pytest.approx(nearest_mm)
