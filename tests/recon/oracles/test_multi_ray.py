"""Several rays for each line: the integral over both crystals, its adjoint, and bad numbers."""

from __future__ import annotations

import numpy as np
import pytest

from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, build_geometry, crystal_position_mm
from hw.scanner.preset_file import load_scanner
from oracles.crystal_corners import crystal_corners_mm
from oracles.multi_ray import CrystalPairs, MultiRayError, multi_ray, unit_points
from oracles.reconstruction import slow_forward
from recon.core.event_location import Detection
from recon.core.events import NO_OFFSET, Lors
from recon.core.grid import ImageGrid
from recon.core.tof import TofModel
from recon.projector.operator import Projector

SCANNER = load_scanner("bench2")
GEOMETRY = build_geometry(SCANNER)
GRID = ImageGrid((9, 9, 9), (4.0, 4.0, 4.0))
VOLUME_MM3 = GRID.voxel_volume_mm3
EACH = SCANNER.crystals_per_module


def blob() -> np.ndarray:
    """A smooth image: the integral over the crystals then converges fast."""
    x, y, z = GRID.axes_mm()
    return np.exp(-((x - 3) ** 2 + (y + 2) ** 2 + (z - 1) ** 2) / 200).astype(np.float32)


def pairs(count: int, seed: int = 0) -> CrystalPairs:
    rng = np.random.default_rng(seed)
    bins = SCANNER.module.doi_bins
    return CrystalPairs(
        rng.integers(0, EACH, count),
        rng.integers(EACH, 2 * EACH, count),
        rng.integers(0, bins, count),
        rng.integers(0, bins, count),
        rng.normal(0, 5, count).astype(np.float32),
    )


def cells(crystal: int, doi: int, n: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Places in a crystal's DOI bin on a regular grid, from its corners, and their depths."""
    corners = crystal_corners_mm(SCANNER, GEOMETRY, crystal)[0]
    u, v, w = np.meshgrid(*((np.arange(k) + 0.5) / k for k in n), indexing="ij")
    u, v, w = u.ravel(), v.ravel(), (doi + w.ravel()) / SCANNER.module.doi_bins
    place = (
        corners[0]
        + u[:, None] * (corners[1] - corners[0])
        + v[:, None] * (corners[3] - corners[0])
        + w[:, None] * (corners[4] - corners[0])
    )
    return place, w * SCANNER.module.thickness_mm


def brute_force(image: np.ndarray, one: CrystalPairs, k: int) -> float:
    """∫∫ over both volumes on a regular grid, rays one by one: µ² e^(-µ path) / (2π d² V) · ray."""
    block = SCANNER.module
    mu = LINEAR_ATTENUATION_PER_MM[block.material]
    n = (3, 3, 3)
    a, depth_a = cells(one.crystal_a[k], one.doi_a[k], n)
    b, depth_b = cells(one.crystal_b[k], one.doi_b[k], n)
    start, end = np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))
    along = end - start
    distance = np.linalg.norm(along, axis=1)
    inward_a = crystal_corners_mm(SCANNER, GEOMETRY, one.crystal_a[k])[0]
    inward_b = crystal_corners_mm(SCANNER, GEOMETRY, one.crystal_b[k])[0]
    cosine_a = along @ (inward_a[0] - inward_a[4]) / block.thickness_mm / distance
    cosine_b = along @ (inward_b[4] - inward_b[0]) / block.thickness_mm / distance
    path = np.repeat(depth_a, len(b)) / cosine_a + np.tile(depth_b, len(a)) / cosine_b
    cell_mm3 = block.pitch_u_mm * block.pitch_v_mm * block.thickness_mm
    cell_mm3 /= block.doi_bins * np.prod(n)
    weight = mu**2 * np.exp(-mu * path) / (2 * np.pi * distance**2 * VOLUME_MM3) * cell_mm3**2
    return float(weight @ slow_forward(image, GRID, Lors(np.float32(start), np.float32(end))))


def test_many_rays_equal_the_integral_over_both_crystals() -> None:
    """256 quasi-random pairs against 27² cells by brute force: both are good to 0.5 %."""
    image, chosen = blob(), pairs(2)
    rays = multi_ray(SCANNER, GEOMETRY, chosen, rays=256, voxel_volume_mm3=VOLUME_MM3)
    ours = rays.gain * rays.forward(Projector(GRID), image)
    expected = [brute_force(image, chosen, k) for k in range(2)]
    assert ours == pytest.approx(expected, rel=0.01)


def test_one_ray_runs_through_the_middle_of_both_faces() -> None:
    chosen = pairs(50)
    one = multi_ray(SCANNER, GEOMETRY, chosen, rays=1, voxel_volume_mm3=VOLUME_MM3)
    middle = crystal_position_mm(GEOMETRY, chosen.crystal_a, chosen.doi_a)
    normal = GEOMETRY.crystal_normal[chosen.crystal_a]
    away = one.lors.start - middle
    across = away - (away * normal).sum(axis=1)[:, None] * normal
    assert np.abs(across).max() < 1e-4
    assert (one.share == 1.0).all()


def test_gain_is_that_of_the_detection_model() -> None:
    """A crystal pair's gain summed over all depth bins, against the formula for thin crystals."""
    detection = Detection.of(SCANNER, GEOMETRY)
    bins = SCANNER.module.doi_bins
    doi_a, doi_b = (x.ravel() for x in np.indices((bins, bins)))
    a = np.full(len(doi_a), EACH // 2)
    chosen = CrystalPairs(a, a + EACH, doi_a, doi_b, NO_OFFSET)
    rays = multi_ray(SCANNER, GEOMETRY, chosen, rays=64, voxel_volume_mm3=VOLUME_MM3)
    stopping = -np.expm1(-detection.mu_per_mm * detection.thickness_mm)
    distance = np.linalg.norm(rays.lors.end - rays.lors.start, axis=1)
    formula = (detection.crystal_area_mm2 * stopping) ** 2 / (2 * np.pi * VOLUME_MM3)
    low, high = formula / distance.max() ** 2, formula / distance.min() ** 2
    # head on, cosines are 1 to 1 %: the sum lies between the nearest and the farthest depths'
    assert 0.99 * low < rays.gain.sum() < 1.01 * high


@pytest.mark.parametrize("tof", [None, TofModel(sigma_mm=8.0, bin_mm=2.0)])
def test_back_is_the_adjoint_of_forward(tof: TofModel | None) -> None:
    projector = Projector(GRID, tof=tof)
    rays = multi_ray(SCANNER, GEOMETRY, pairs(300), rays=7, voxel_volume_mm3=VOLUME_MM3)
    values = np.random.default_rng(1).random(300, dtype=np.float32)
    left = rays.forward(projector, blob()).astype(np.float64) @ values
    right = (rays.back(projector, values).astype(np.float64) * blob()).sum()
    assert left == pytest.approx(right, rel=1e-6)


def test_points_are_the_same_every_time_and_fill_the_cube() -> None:
    points = unit_points(200)
    assert np.array_equal(points, unit_points(200)) and (points[0] == 0.5).all()
    assert points.mean(axis=0) == pytest.approx(np.full(6, 0.5), abs=0.02)


@pytest.mark.parametrize("rays", [0, 5000])
def test_absurd_number_of_rays_is_refused(rays: int) -> None:
    with pytest.raises(MultiRayError, match="rays per line"):
        multi_ray(SCANNER, GEOMETRY, pairs(2), rays=rays, voxel_volume_mm3=VOLUME_MM3)


def test_crystals_of_another_scanner_are_refused() -> None:
    alien = pairs(4)
    alien.crystal_b[2] = 10**6
    with pytest.raises(MultiRayError, match="1 of 4 lines have a crystal outside"):
        multi_ray(SCANNER, GEOMETRY, alien, rays=2, voxel_volume_mm3=VOLUME_MM3)
