"""µ maps read, NIfTI written: orientation, units, metadata, refusals."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from recon.core.grid import GridError, ImageGrid
from recon.core.mu_map import MuMapError, load_mu_map
from recon.exchange.images.nifti import write_nifti

GRID = ImageGrid((10, 12, 8), (2.0, 2.0, 2.5))


def write_map(path: Path, mu: np.ndarray, voxel: tuple[float, ...] = (2.0, 2.0, 2.5)) -> Path:
    np.savez(path, mu_per_mm=mu, voxel_mm=np.array(voxel))
    return path


def test_map_on_the_same_grid_comes_back_as_it_is(tmp_path: Path) -> None:
    mu = np.random.default_rng(0).uniform(0, 0.01, GRID.shape).astype(np.float32)
    assert np.array_equal(load_mu_map(write_map(tmp_path / "mu.npz", mu), GRID), mu)


def test_map_of_other_voxels_keeps_its_place(tmp_path: Path) -> None:
    """A µ that is linear in x, y, z stays that function on the other grid."""
    fine = ImageGrid((50, 60, 44), (1.0, 1.0, 1.0))
    x, y, z = fine.axes_mm()
    mu = (0.01 + 1e-4 * x + 5e-5 * y - 1e-4 * z).astype(np.float32)
    ours = load_mu_map(write_map(tmp_path / "mu.npz", mu, fine.voxel_mm), GRID)
    x, y, z = GRID.axes_mm()
    assert np.allclose(ours, 0.01 + 1e-4 * x + 5e-5 * y - 1e-4 * z, atol=1e-6)


@pytest.mark.parametrize(
    ("mu", "voxel", "complaint"),
    [
        (np.full((4, 4, 4), 0.096), (1.0, 1.0, 1.0), r"divided by 10"),
        (np.full((4, 4, 4), -0.1), (1.0, 1.0, 1.0), "must lie in"),
        (np.full((4, 4, 4), np.nan), (1.0, 1.0, 1.0), "64 voxels are not finite"),
        (np.zeros((4, 4)), (1.0, 1.0, 1.0), "must be 3-D"),
        (np.zeros((4, 4, 4)), (1.0, 1.0), "three sizes"),
        (np.zeros((4, 4, 4)), (1.0, 1.0, 0.0), "three sizes"),
    ],
)
def test_wrong_maps_are_refused(
    tmp_path: Path, mu: np.ndarray, voxel: tuple[float, ...], complaint: str
) -> None:
    with pytest.raises(MuMapError, match=complaint):
        load_mu_map(write_map(tmp_path / "mu.npz", mu, voxel), GRID)


@pytest.mark.parametrize("content", [b"", b"no npz at all", b"PK\x03\x04torn"])
def test_files_that_are_no_map_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mu.npz"
    path.write_bytes(content)
    with pytest.raises(MuMapError, match="no µ map"):
        load_mu_map(path, GRID)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MuMapError, match="no µ map"):
        load_mu_map(tmp_path / "none.npz", GRID)


def test_nifti_is_read_back_where_the_scanner_had_it(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random(GRID.shape, dtype=np.float32)
    about = {"prompts_used": 1234, "corrections": {"attenuation": True, "scatter": False}}
    sidecar = write_nifti(tmp_path / "image.nii.gz", image, GRID, about)
    read = nib.load(tmp_path / "image.nii.gz")
    assert np.array_equal(np.asarray(read.dataobj), image)
    assert nib.aff2axcodes(read.affine) == ("R", "A", "S")
    first = nib.affines.apply_affine(read.affine, [0, 0, 0])
    assert np.allclose(first, GRID.origin_mm)
    assert read.header.get_xyzt_units()[0] == "mm"
    assert b"1234 prompts" in read.header["descrip"].tobytes()
    written = json.loads(sidecar.read_text())
    assert written["corrections"]["attenuation"] is True and "supine" in written["orientation"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.json", "image.nii.gz"]


def test_nifti_of_another_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GridError):
        write_nifti(tmp_path / "image.nii", np.zeros((2, 2, 2), np.float32), GRID, {})


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4, 5000)])
def test_absurd_grids_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(GridError, match=r"1\.\.1024"):
        ImageGrid(shape, (1.0, 1.0, 1.0))
