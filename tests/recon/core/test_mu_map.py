"""µ maps from files: NIfTI where it lies, units, HU, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hw.messages.patient_position import PATIENT_POSITIONS, PatientPosition
from recon.core.grid import ImageGrid
from recon.core.mu_map import FRAME_KEY, MuMapError, frame_of_reference, hu_to_mu, load_mu_map
from recon.exchange.images.nifti import write_nifti

GRID = ImageGrid((20, 20, 20), (4.0, 4.0, 4.0))


def ball(grid: ImageGrid, centre: tuple[float, float, float], value: float) -> np.ndarray:
    away = sum((axis - c) ** 2 for axis, c in zip(grid.axes_mm(), centre, strict=True))
    return np.where(away < 15.0**2, np.float32(value), np.float32(0))


def written(path: Path, values: np.ndarray, affine: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def affine_of(grid: ImageGrid) -> np.ndarray:
    affine = np.diag([*grid.voxel_mm, 1.0])
    affine[:3, 3] = grid.origin_mm
    return affine


@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_nifti_made_for_an_image_of_ours_lies_on_it_however_the_patient_lay(
    tmp_path: Path, position: PatientPosition
) -> None:
    """A map that a program made on our image, in RAS of the patient, comes back where it was."""
    body = ball(GRID, (8.0, -12.0, 6.0), 0.0096)
    write_nifti(tmp_path / "pet.nii.gz", body, GRID, {"patient_position": position})
    affine = nib.load(tmp_path / "pet.nii.gz").affine
    path = written(tmp_path / "mu.nii.gz", body, affine)
    assert np.allclose(load_mu_map(path, GRID, position=position), body, atol=1e-6)
    if position not in ("unknown", "HFS"):
        assert not np.allclose(load_mu_map(path, GRID), body, atol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_nifti_lies_where_its_affine_says(tmp_path: Path, flip: bool) -> None:
    """Voxels of 2 mm, 30 of them, off centre; and with x running to the left (LAS)."""
    other = ImageGrid((40, 40, 40), (2.0, 2.0, 2.0))
    values = ball(other, (6.0, 0.0, -4.0), 0.0096)
    affine = affine_of(other)
    if flip:
        values = np.ascontiguousarray(values[::-1])
        affine[0] = [-2.0, 0, 0, -other.origin_mm[0]]
    affine[:3, 3] += [3.0, 5.0, 0.0]
    made = load_mu_map(written(tmp_path / "mu.nii.gz", values, affine), GRID)
    weight = made / made.sum()
    centre = [float((axis * weight).sum()) for axis in GRID.axes_mm()]
    assert np.allclose(centre, [9.0, 5.0, -4.0], atol=0.3)  # voxels of 4 mm sample its edge
    assert made.max() == pytest.approx(0.0096, rel=1e-3)


@pytest.mark.parametrize(
    ("value", "unit"), [(0.0096, "auto"), (0.096, "auto"), (0.096, "per_cm"), (0.0096, "per_mm")]
)
def test_units(tmp_path: Path, value: float, unit: str) -> None:
    path = written(tmp_path / "mu.nii", ball(GRID, (0, 0, 0), value), affine_of(GRID))
    made = load_mu_map(path, GRID, unit=unit)  # type: ignore[arg-type]
    assert made.max() == pytest.approx(0.0096, rel=1e-5)


def test_ct_numbers() -> None:
    """Air, water, and the two lines meeting; bone of 1000 HU is 0.149/cm at 120 kVp (Carney)."""
    mu = hu_to_mu(np.array([-1000.0, -2000.0, 0.0, 47.0, 47.001, 1000.0]))
    assert np.allclose(mu, [0, 0, 0.0096, 0.01005, 0.01005, 0.01491], atol=1e-5)


def test_ct_file(tmp_path: Path) -> None:
    values = np.where(ball(GRID, (0, 0, 0), 1) > 0, 0, -1000).astype(np.int16)
    made = load_mu_map(written(tmp_path / "ct.nii.gz", values, affine_of(GRID)), GRID, unit="hu")
    assert made[10, 10, 10] == pytest.approx(0.0096) and made[0, 0, 0] == 0


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (9.6, "auto", "say the unit"),
        (0.0001, "auto", "say the unit"),
        (0.096, "per_mm", "divided by 10"),
        (1.0, "hu", "-1000 HU"),
        (np.nan, "auto", "not finite"),
    ],
)
def test_values_that_cannot_be_are_refused(
    tmp_path: Path, value: float, unit: str, words: str
) -> None:
    path = written(tmp_path / "mu.nii", ball(GRID, (0, 0, 0), value), affine_of(GRID))
    with pytest.raises(MuMapError, match=words):
        load_mu_map(path, GRID, unit=unit)  # type: ignore[arg-type]


def test_a_map_somewhere_else_is_refused(tmp_path: Path) -> None:
    affine = affine_of(GRID)
    affine[2, 3] += 900.0
    path = written(tmp_path / "mu.nii", ball(GRID, (0, 0, 0), 0.0096), affine)
    with pytest.raises(MuMapError, match="must place it there"):
        load_mu_map(path, GRID)


def test_a_file_that_is_no_nifti(tmp_path: Path) -> None:
    path = tmp_path / "mu.nii"
    path.write_bytes(b"no image at all")
    with pytest.raises(MuMapError, match="no NIfTI"):
        load_mu_map(path, GRID)


def test_npz_is_always_per_mm(tmp_path: Path) -> None:
    path = tmp_path / "mu.npz"
    np.savez(path, mu_per_mm=ball(GRID, (0, 0, 0), 0.0096), voxel_mm=GRID.voxel_mm)
    assert load_mu_map(path, GRID).max() == pytest.approx(0.0096)
    with pytest.raises(MuMapError, match="is for NIfTI"):
        load_mu_map(path, GRID, unit="hu")


def test_an_npz_names_its_frame_of_reference_or_none(tmp_path: Path) -> None:
    path = tmp_path / "mu.npz"
    for more, found in (({}, ""), ({FRAME_KEY: "1.2.3"}, "1.2.3")):
        np.savez(path, mu_per_mm=np.zeros((2, 2, 2), np.float32), voxel_mm=(4.0, 4.0, 4.0), **more)
        assert frame_of_reference(path) == found
    path.write_bytes(b"damaged")
    with pytest.raises(MuMapError, match=r"mu\.npz"):
        frame_of_reference(path)


def test_a_nifti_map_names_its_frame_in_the_json_beside_it(tmp_path: Path) -> None:
    path, uid = tmp_path / "ct.nii.gz", "1.2.826.0.1.3680043.8.498.77"
    assert frame_of_reference(path) == ""
    path.write_bytes(b"")
    assert frame_of_reference(path) == ""
    (tmp_path / "ct.json").write_text(json.dumps({"FrameOfReferenceUID": uid}))
    assert frame_of_reference(path) == uid
    for text in ('{"FrameOfReferenceUID": "ct"}', "[1]", "{"):
        (tmp_path / "ct.json").write_text(text)
        with pytest.raises(MuMapError, match=r"ct\."):
            frame_of_reference(path)
