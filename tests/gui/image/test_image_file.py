"""Images of files: laid on other voxels at the same places, or refused in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gui.image.image_file import on_grid, read_image, read_mu_map, turned
from hw.messages.patient_position import PATIENT_POSITIONS, PatientPosition, ends_of_axes


def test_a_ramp_has_its_values_where_they_were() -> None:
    """A linear field sampled at other voxels is that field."""
    shape, voxel_mm = (20, 24, 16), (4.0, 3.0, 5.0)
    axes = [(np.arange(n) - 0.5 * (n - 1)) * mm for n, mm in zip(shape, voxel_mm, strict=True)]
    x, y, z = np.meshgrid(*axes, indexing="ij")
    field = (100 + x + 2 * y - 0.5 * z).astype(np.float32)
    made = on_grid(field, voxel_mm, (11, 9, 13), (5.0, 6.0, 4.0))
    sizes = zip((11, 9, 13), (5.0, 6.0, 4.0), strict=True)
    u, v, w = np.meshgrid(*[(np.arange(n) - 0.5 * (n - 1)) * mm for n, mm in sizes], indexing="ij")
    np.testing.assert_allclose(made, 100 + u + 2 * v - 0.5 * w, atol=1e-3)


@pytest.mark.parametrize("onto", PATIENT_POSITIONS[1:])
@pytest.mark.parametrize("position", ("HFS", "FFDR"))
def test_an_image_of_a_patient_who_lay_otherwise_is_turned_left_upon_left(
    position: PatientPosition, onto: PatientPosition
) -> None:
    """What is brightest at an end of an axis is there under the same letter, by the letters that
    the pictures have."""
    size = (7, 7, 7)
    for axis, name in enumerate("xyz"):
        image = np.zeros(size, np.float32)
        image[tuple(6 if one == axis else 3 for one in range(3))] = 1
        made = on_grid(image, (2.0,) * 3, size, (2.0,) * 3, turned(position, onto))
        found = np.unravel_index(int(made.argmax()), size)
        (there,) = (k for k in range(3) if found[k] != 3)
        ends = ends_of_axes(onto)["xyz"[there]]
        assert ends[int(found[there] == 6)] == ends_of_axes(position)[name][1]
        assert made.max() == pytest.approx(1)


def test_where_a_position_is_not_known_nothing_is_turned() -> None:
    assert turned("unknown", "HFP") is turned("FFS", "unknown") is turned("HFP", "HFP") is None


def test_outside_of_it_there_is_nothing() -> None:
    made = on_grid(np.ones((4, 4, 4), np.float32), (2.0, 2.0, 2.0), (9, 9, 9), (2.0, 2.0, 2.0))
    assert (made[0].max(), made[4, 4, 4]) == (0, 1)


def test_a_runs_mu_map_is_read_per_cm(tmp_path: Path) -> None:
    path = tmp_path / "mu_map.npz"
    np.savez(path, mu_per_mm=np.full((3, 4, 5), 0.0096, np.float32), voxel_mm=np.full(3, 2.0))
    read = read_mu_map(path)
    assert read.volume.shape == (3, 4, 5, 1)
    assert (read.unit, read.voxel_mm) == ("1/cm", (2.0, 2.0, 2.0))
    assert read.volume.max() == pytest.approx(0.096)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 nothing", b"\x1f\x8b\x08\x00 nothing"])
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    for name, read in (("mu_map.npz", read_mu_map), ("image.nii.gz", read_image)):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read(path)
