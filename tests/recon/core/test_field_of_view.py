"""The field of view: voxels stay where they are in the scanner's frame, whatever is cut out."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import Any

import numpy as np
import pytest

from hw.scanner.preset_file import load_scanner
from oracles.reconstruction import random_lines, slow_forward
from recon.core.field_of_view import FieldOfViewError, field_of_view, place_mm, sizes_mm
from recon.core.grid import GridError, ImageGrid
from recon.core.mu_map import resample
from recon.core.scanner_tables import ReconSystem
from recon.projector.operator import Projector

CARE = load_scanner("caremibrain")


def test_without_wishes_it_is_the_presets_grid() -> None:
    own = ImageGrid(CARE.image.shape, CARE.image.voxel_mm)
    found = field_of_view(CARE)
    assert found.image == found.working == own
    assert found.slices == tuple(slice(0, n) for n in own.shape)


@pytest.mark.parametrize("asked", [
    {"voxel_mm": (1.0,)},
    {"voxel_mm": (3.0, 3.0, 2.5)},
    {"fov_mm": (60.0,), "centre_mm": (40.0, -25.0, 11.0)},
    {"voxel_mm": (1.5,), "fov_mm": (61.0, 40.0, 33.0), "centre_mm": (-31.3, 7.77, 0.4)},
    {"fov_mm": (100.0,), "centre_mm": (90.0, 0.0, 60.0)},
    {"over_mm": 15.0},
])  # fmt: skip
def test_the_image_is_cut_out_of_a_centred_grid_that_covers_the_presets(
    asked: dict[str, Any],
) -> None:
    found = field_of_view(CARE, **asked)
    image, working = found.image, found.working
    assert working.centred and working.voxel_mm == image.voxel_mm
    whole = np.array(CARE.image.shape) * np.array(CARE.image.voxel_mm)
    assert (np.array(working.shape) * working.voxel_mm >= whole - 1e-9).all()
    places = np.stack(np.broadcast_arrays(*working.axes_mm()), axis=-1)[found.slices]
    there = np.stack(np.broadcast_arrays(*image.axes_mm()), axis=-1)
    np.testing.assert_allclose(places, there, atol=1e-9)
    half_voxel = np.array(image.voxel_mm) / 2
    away = np.abs(np.array(image.centre_mm) - asked.get("centre_mm", (0, 0, 0)))
    assert (away <= half_voxel / 2 + 1e-9).all()
    size_mm = np.array(image.shape) * image.voxel_mm
    assert (np.abs(size_mm - asked.get("fov_mm", whole)) <= np.array(image.voxel_mm)).all()


def test_the_grid_of_the_iterations_reaches_to_the_crystals_at_most() -> None:
    working = field_of_view(CARE, over_mm=500.0).working
    assert working.shape[0] * working.voxel_mm[0] == pytest.approx(2 * CARE.bore_mm, abs=2.1)
    assert working.shape[2] * working.voxel_mm[2] == 156.0  # the crystals' 154 mm are in it


@pytest.mark.parametrize("asked, words", [
    ({"voxel_mm": (0.01,)}, "voxel_mm"),
    ({"voxel_mm": (2.0, 2.0)}, "one size or three"),
    ({"fov_mm": (-5.0,)}, "fov_mm"),
    ({"fov_mm": (np.nan,)}, "fov_mm"),
    ({"centre_mm": (0.0, 0.0)}, "three places"),
    ({"centre_mm": (0.0, 0.0, 400.0), "fov_mm": (100.0,)}, "lies outside the scanner"),
    ({"voxel_mm": (0.1,)}, "larger voxels"),
])  # fmt: skip
def test_a_field_that_cannot_be_is_refused(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(FieldOfViewError, match=words):
        field_of_view(CARE, **asked)


def test_numbers_are_read_from_text() -> None:
    assert sizes_mm("2") == (2.0,) and sizes_mm("2,2,4") == (2.0, 2.0, 4.0)
    assert place_mm("0,30,-10") == (0.0, 30.0, -10.0)
    for parse, text in ((sizes_mm, "2,2"), (place_mm, "3"), (sizes_mm, "x"), (place_mm, "0,0,nan")):
        with pytest.raises(ArgumentTypeError, match="needs"):
            parse(text)


def test_projections_on_a_grid_beside_the_centre_are_right() -> None:
    grid = ImageGrid((9, 8, 7), (4.0, 3.0, 5.0), (20.0, -12.5, 6.0))
    image = np.random.default_rng(0).random(grid.shape, dtype=np.float32)
    lors = random_lines(300, seed=1)
    projector = Projector(grid)
    found = projector.forward(image, lors)
    expected = slow_forward(image, grid, lors)
    assert expected.max() > 5.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    values = np.random.default_rng(2).random(len(lors), dtype=np.float32)
    both = float(np.vdot(projector.back(values, lors), image)), float(np.vdot(values, found))
    assert both[0] == pytest.approx(both[1], rel=1e-5)


def test_an_image_is_interpolated_onto_a_grid_beside_the_centre() -> None:
    wide, part = ImageGrid((20, 20, 20), (2.0,) * 3), ImageGrid((5, 6, 7), (3.0,) * 3, (4, -2, 5))
    ramp = 50 + sum(k * axis for k, axis in zip((1.0, -2.0, 0.5), wide.axes_mm(), strict=True))
    expected = 50 + sum(k * axis for k, axis in zip((1.0, -2.0, 0.5), part.axes_mm(), strict=True))
    found = resample(ramp.astype(np.float32), wide.voxel_mm, part)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_system_refuses_to_iterate_beside_the_centre() -> None:
    with pytest.raises(GridError, match="cut the image out"):
        ReconSystem.of(CARE, grid=ImageGrid((8, 8, 8), (2.0,) * 3, (10.0, 0.0, 0.0)))
