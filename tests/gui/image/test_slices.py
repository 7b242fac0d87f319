"""Cuts through an image: which voxel lands where, and what the window does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.image.slices import (
    CORONAL,
    PLANES,
    SAGITTAL,
    TRANSAXIAL,
    LevelReference,
    Plane,
    centre_mm,
    cut,
    hottest,
)
from gui.kit.colour_maps import to_levels

SHAPE = (7, 6, 5)


@given(st.tuples(*(st.integers(0, size - 1) for size in SHAPE)), st.sampled_from(PLANES))
def test_a_voxel_is_found_at_its_axes_right_and_up(
    voxel: tuple[int, int, int], plane: Plane
) -> None:
    image = np.zeros(SHAPE, dtype=np.float32)
    image[voxel] = 1
    rows = cut(image, plane, voxel[plane.through])
    row, column = np.argwhere(rows == 1)[0]
    assert column == voxel[plane.right]
    assert rows.shape[0] - 1 - row == voxel[plane.up]


@pytest.mark.parametrize(
    ("plane", "axes"), [(TRANSAXIAL, "xyz"), (CORONAL, "xzy"), (SAGITTAL, "yzx")]
)
def test_planes_run_along_the_axes_of_the_scanner(plane: Plane, axes: str) -> None:
    assert "".join("xyz"[axis] for axis in (plane.right, plane.up, plane.through)) == axes


def test_the_middle_of_the_image_is_the_scanners_origin() -> None:
    assert centre_mm(2, 5, 2.0) == 0.0
    assert centre_mm(0, 4, 2.0) == -3.0


def test_the_window_starts_at_zero_and_nan_is_black_not_a_crash() -> None:
    values = np.array([[-1.0, 0.0, 5.0, 10.0, 99.0, np.nan]], dtype=np.float32)
    assert to_levels(values, 10.0).tolist() == [[0, 0, 127, 255, 255, 0]]
    assert to_levels(values, 0.0).max() == 0


def test_the_hottest_voxel_is_found() -> None:
    image = np.zeros(SHAPE, dtype=np.float32)
    image[5, 1, 4] = 2
    assert hottest(image) == (5, 1, 4)


def test_the_level_does_not_follow_flicker() -> None:
    image = np.full((8, 8, 8), 10.0, dtype=np.float32)
    reference = LevelReference()
    assert reference.follow(image) == pytest.approx(10)
    assert reference.follow(image * np.float32(1.03)) == pytest.approx(10)
    assert reference.follow(image * np.float32(1.5)) == pytest.approx(15)
    assert reference.follow(image * np.float32(1.51), at_once=True) == pytest.approx(15.1)
