"""Voxel size and field of view of an offline image: one object, one place, one value."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry
from oracles.reconstruction import simulated_records
from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.images.formats import MadeImage, write_images
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Reconstruction, reconstruct
from recon.offline.run_data import RunData
from rigs.coarse_brain import coarse_brain

BALL_MM = np.array([40.0, -28.0, 22.0])
PLAN = {"iterations": 3, "subsets": 4, "scatter": "none", "block_efficiency": False}


COARSE = coarse_brain()


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    """A warm cylinder of 70 mm radius, 120 mm long, and a hot ball of 14 mm radius off its axis."""
    rng = np.random.default_rng(0)
    warm = rng.uniform([-70, -70, -60], [70, 70, 60], (900_000, 3))
    warm = warm[np.hypot(warm[:, 0], warm[:, 1]) < 70]
    ball = rng.uniform(-14, 14, (150_000, 3))
    ball = BALL_MM + ball[np.linalg.norm(ball, axis=1) < 14]
    points = rng.permutation(np.concatenate([warm, ball]))
    return simulated_records(COARSE, build_geometry(COARSE), points)


def made(records: np.ndarray, scanner: Scanner = COARSE, **field: object) -> Reconstruction:
    data = RunData.of_records(records, scanner=scanner, duration_s=10.0)
    return reconstruct(data, ReconOptions(**PLAN, **field))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def whole(records: np.ndarray) -> Reconstruction:
    return made(records)


def near(grid: ImageGrid, place: np.ndarray, radius_mm: float) -> np.ndarray:
    square = sum((axis - at) ** 2 for axis, at in zip(grid.axes_mm(), place, strict=True))
    return np.asarray(square < radius_mm**2)


def test_a_small_field_is_the_same_image_cut_out(
    records: np.ndarray, whole: Reconstruction
) -> None:
    part = made(records, fov_mm=(60.0,), centre_mm=(42.0, -30.0, 24.0))
    assert part.metadata["centre_mm"] == [42.0, -30.0, 24.0]
    assert part.image.shape == (10, 10, 10)
    first = np.rint((part.grid.origin_mm - whole.grid.origin_mm) / 6.0).astype(int)
    x, y, z = (slice(a, a + 10) for a in first)
    np.testing.assert_array_equal(part.image, whole.image[x, y, z])
    kept = near(part.grid, BALL_MM, 20)
    assert part.image[kept].sum() == whole.image[near(whole.grid, BALL_MM, 20)].sum()


def test_a_small_grid_alone_would_hold_what_lies_outside(
    records: np.ndarray, whole: Reconstruction
) -> None:
    """Why the iterations cover the preset's field: the ends of a short grid alone are far off."""
    alone = made(records, coarse_brain((36, 36, 10)))
    part = made(records, fov_mm=(216.0, 216.0, 60.0))
    ends = (slice(10, 26), slice(10, 26), 0)
    truth = whole.image[10:26, 10:26, 8].mean()
    assert part.image[ends].mean() == pytest.approx(truth, rel=1e-6)
    assert abs(alone.image[ends].mean() / truth - 1) > 0.2


def test_two_voxel_sizes_agree_in_the_scanners_frame(
    records: np.ndarray, whole: Reconstruction
) -> None:
    fine = made(records, voxel_mm=(4.0,))
    assert fine.grid.voxel_mm == (4.0, 4.0, 4.0) and fine.metadata["voxel_mm"] == [4.0] * 3
    centres = []
    for one in (whole, fine):
        ball = np.where(near(one.grid, BALL_MM, 26), one.image, 0)
        warm = one.image[near(one.grid, np.array([-30.0, 20.0, 0.0]), 20)].mean()
        ball = np.clip(ball - 1.5 * warm, 0, None)
        centres.append([float((ball * axis).sum() / ball.sum()) for axis in one.grid.axes_mm()])
    np.testing.assert_allclose(centres[0], BALL_MM, atol=0.8)
    np.testing.assert_allclose(centres[1], BALL_MM, atol=0.8)
    ball, warm = (near(one.grid, BALL_MM, 24.0) for one in (whole, fine)), np.array([-30, 20, 0])
    totals = [
        one.image[kept].sum() * one.grid.voxel_volume_mm3
        for one, kept in zip((whole, fine), ball, strict=True)
    ]
    assert totals[1] == pytest.approx(totals[0], rel=0.03)
    means = [one.image[near(one.grid, warm, 25.0)].mean() for one in (whole, fine)]
    assert means[1] == pytest.approx(means[0], rel=0.03)


def test_the_files_say_where_the_voxels_lie(records: np.ndarray, tmp_path: Path) -> None:
    part = made(records, voxel_mm=(4.0,), fov_mm=(64.0, 56.0, 48.0), centre_mm=(30.0, -22.0, 14.0))
    peak = np.unravel_index(part.image.argmax(), part.image.shape)
    at = part.grid.origin_mm + np.array(peak) * 4.0
    assert np.linalg.norm(at - BALL_MM) < 14.0
    times = [FrameTime(0.0, 10.0)]
    image = MadeImage(part.image, part.grid, times, part.metadata)
    nifti, folder, header = write_images(
        image, tmp_path / "part.nii.gz", ("nifti", "dicom", "interfile")
    )
    file = nib.load(nifti)
    found = file.get_fdata()
    index = np.unravel_index(found.argmax(), found.shape)
    np.testing.assert_allclose(nib.affines.apply_affine(file.affine, index), at, atol=1e-4)
    planes = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    best = max(planes, key=lambda plane: plane.pixel_array.max() * float(plane.RescaleSlope))
    row, column = np.unravel_index(best.pixel_array.argmax(), best.pixel_array.shape)
    corner = np.array([float(v) for v in best.ImagePositionPatient])
    spacing = [float(v) for v in best.PixelSpacing]
    lps = corner + np.array([column * spacing[1], row * spacing[0], 0.0])
    np.testing.assert_allclose(lps, at * [-1, -1, 1], atol=1e-3)
    words = dict(line.split(" := ") for line in header.read_text().splitlines() if " := " in line)
    values = np.fromfile(header.with_suffix(".v"), "<f4").reshape(part.image.shape[::-1])
    index = np.array(np.unravel_index(values.argmax(), values.shape))[::-1]
    first = [float(words[f"first pixel offset (mm) [{axis}]"]) for axis in (1, 2, 3)]
    np.testing.assert_allclose(first + index * 4.0, at * [-1, -1, 1], atol=1e-4)
