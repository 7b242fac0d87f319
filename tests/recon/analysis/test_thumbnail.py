"""A thumbnail keeps what is small and hot, and the image's proportions."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recon.analysis.picture import Picture
from recon.analysis.thumbnail import MOST_VOXELS, thumbnail_in, thumbnail_of


def picture(values: np.ndarray, voxel_mm: tuple[float, float, float]) -> Picture:
    return Picture(values.astype(np.float64), voxel_mm, (0.0, 0.0, 0.0), {}, "x", None)


@given(
    shape=st.tuples(*[st.integers(1, 90)] * 3),
    voxel_mm=st.tuples(*[st.floats(0.3, 9.0)] * 3),
    data=st.data(),
)
def test_one_hot_voxel_is_seen_wherever_it_is(shape, voxel_mm, data) -> None:
    values = np.zeros(shape)
    hot = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    values[hot] = 3.0
    levels = thumbnail_of(picture(values, voxel_mm))
    rows, columns = levels.shape
    assert max(rows, columns) == 48
    height, width = shape[2] * voxel_mm[2], shape[0] * voxel_mm[0]
    assert abs(rows - max(1, 48 * height / max(height, width))) <= 1
    assert levels.max() == 255
    row, column = np.argwhere(levels)[0]
    assert abs((row + 0.5) / rows - (1 - (hot[2] + 0.5) / shape[2])) <= 1 / rows + 1 / shape[2]
    assert abs((column + 0.5) / columns - (hot[0] + 0.5) / shape[0]) <= 1 / columns + 1 / shape[0]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_an_image_of_nothing_is_black(value: float) -> None:
    assert not thumbnail_of(picture(np.full((4, 4, 4), value), (1.0, 1.0, 1.0))).any()


def test_files_that_are_no_image_or_too_large_have_none(tmp_path: Path) -> None:
    path = tmp_path / "x.nii.gz"
    assert thumbnail_in(path) is None
    path.write_bytes(b"\x1f\x8b" + bytes(40))
    assert thumbnail_in(path) is None
    header = nib.Nifti1Image(np.zeros((1, 1, 1), np.uint8), np.eye(4)).header
    header.set_data_shape((1024, 1024, MOST_VOXELS // 2**20 + 1))
    (tmp_path / "y.nii").write_bytes(header.binaryblock + bytes(4))
    assert thumbnail_in(tmp_path / "y.nii") is None
