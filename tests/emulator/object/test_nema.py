"""NEMA's phantoms are as the standards draw them, and take their numbers from their names."""

from __future__ import annotations

import numpy as np
import pytest

from emulator.object.catalogue import make_phantom
from emulator.object.nema import nema_line, nema_mouse_scatter, nema_rat_scatter, nema_scatter
from emulator.object.phantom import PhantomError
from emulator.physics.materials import mu_per_mm
from hw.messages.phantom_name import PhantomNameError, split_name
from hw.scanner.preset_file import load_scanner

CAREMIBRAIN = load_scanner("caremibrain")


def test_scatter_phantom_has_its_polyethylene_and_a_line_45_mm_below_the_axis():
    phantom = nema_scatter(CAREMIBRAIN)
    plane = phantom.mu_per_mm[:, :, 50].astype(float)
    plastic = np.pi * (101.5**2 - 3.2**2 + 2.4**2 - 1.6**2) * mu_per_mm("polyethylene")
    water = np.pi * 1.6**2 * mu_per_mm("water")
    assert plane.sum() == pytest.approx(plastic + water, rel=2e-3)
    activity = phantom.activity.sum(axis=2)
    assert activity.sum(axis=1) @ phantom.axis_mm(0) / activity.sum() == pytest.approx(0, abs=0.01)
    below = activity.sum(axis=0) @ phantom.axis_mm(1) / activity.sum()
    assert below == pytest.approx(-45, abs=0.01)
    z = phantom.axis_mm(2)
    assert (z[0] - 3.5, z[-1] + 3.5) == pytest.approx((-350, 350))


@pytest.mark.parametrize("sleeves", [0, 1, 5])
def test_line_is_surrounded_by_so_many_walls_of_aluminium(sleeves):
    """Along a ray from the axis: 0.5 mm of water, 1.1 mm of plastic, 1.25 mm a sleeve."""
    phantom = nema_line(CAREMIBRAIN, sleeves=sleeves)
    x = phantom.axis_mm(0)
    row = phantom.mu_per_mm[:, np.argmin(np.abs(phantom.axis_mm(1))), 50].astype(float)
    path = 0.5 * mu_per_mm("water") + 1.1 * mu_per_mm("polyethylene")
    path += 1.25 * sleeves * mu_per_mm("aluminium")
    assert row[x > 0].sum() * 0.25 == pytest.approx(path, rel=0.02)


def centre_of_activity_mm(phantom):
    total = phantom.activity.sum()
    return tuple(
        float(phantom.activity.sum(axis=tuple(k for k in range(3) if k != axis))
              @ phantom.axis_mm(axis) / total)
        for axis in range(3)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("build", "diameter_mm", "length_mm", "offset_mm", "active_mm"),
    [(nema_mouse_scatter, 25, 70, 10, 60), (nema_rat_scatter, 50, 150, 17.5, 140)],
)
def test_rodents_are_polyethylene_with_a_line_off_the_axis(
    build, diameter_mm, length_mm, offset_mm, active_mm
):
    phantom = build(CAREMIBRAIN)
    volume = float(np.prod(phantom.voxel_mm))
    plastic = np.pi * (diameter_mm**2 / 4 - 1.0**2) * mu_per_mm("polyethylene")
    expected = (plastic + np.pi * 1.0**2 * mu_per_mm("water")) * length_mm
    assert phantom.mu_per_mm.sum(dtype=float) * volume == pytest.approx(expected, rel=3e-3)
    assert centre_of_activity_mm(phantom) == pytest.approx((0, -offset_mm, 0), abs=0.02)
    z = phantom.axis_mm(2)[phantom.activity.any(axis=(0, 1))]
    assert z[-1] - z[0] + phantom.voxel_mm[2] == pytest.approx(active_mm)


def test_name_brings_sleeves_and_place_of_the_line():
    phantom = make_phantom("nema-line:sleeves=2,y_mm=100", CAREMIBRAIN)
    assert centre_of_activity_mm(phantom) == pytest.approx((0, 100, 0), abs=0.02)
    same = nema_line(CAREMIBRAIN, sleeves=2)
    np.testing.assert_array_equal(phantom.mu_per_mm, same.mu_per_mm)


def test_name_brings_the_place_of_a_point_and_its_cube():
    phantom = make_phantom("nema-point:x_mm=3,y_mm=-10,z_mm=57.75,cube_mm=10", CAREMIBRAIN)
    assert centre_of_activity_mm(phantom) == pytest.approx((3, -10, 57.75), abs=1e-4)
    cube = phantom.mu_per_mm.sum(dtype=float) * np.prod(phantom.voxel_mm) / mu_per_mm("PMMA")
    assert cube == pytest.approx(10.0**3, rel=1e-3)
    bare = make_phantom("nema-point:y_mm=10", CAREMIBRAIN)
    assert not bare.mu_per_mm.any()


def test_quality_phantom_has_six_spheres_of_four_to_one_and_a_cold_lung():
    phantom = make_phantom("nema-quality", CAREMIBRAIN)
    volume = float(np.prod(phantom.voxel_mm))
    spheres = sum(np.pi / 6 * d**3 for d in (10, 13, 17, 22, 28, 37))
    warm = np.pi * (100**2 - 25**2) * 180
    assert phantom.activity.sum(dtype=float) * volume == pytest.approx(warm + 3 * spheres, rel=2e-3)
    x, z = (np.argmin(np.abs(phantom.axis_mm(axis))) for axis in (0, 2))
    assert phantom.activity[x, x, z] == 0
    assert phantom.mu_per_mm[x, x, z] == pytest.approx(0.3 * mu_per_mm("water"), rel=0.02)


def test_mouse_phantom_has_rods_a_warm_middle_and_two_cold_chambers():
    phantom = make_phantom("nema-mouse-quality", CAREMIBRAIN)
    volume = float(np.prod(phantom.voxel_mm))
    warm = np.pi * 15**2 * 30 - 2 * np.pi * 5**2 * 15
    rods = sum(np.pi / 4 * d**2 * 20 for d in (1, 2, 3, 4, 5))
    found = phantom.activity.sum(dtype=float) * volume
    assert found == pytest.approx(warm + rods, rel=5e-3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nema-line:sleeves=2.5", "whole number"),
        ("nema-line:sleeves=6", "there are 5"),
        ("nema-line:colour=3", "it takes sleeves, y_mm"),
        ("nema-scatter:y_mm=3", "it takes none"),
        ("nema-lime:sleeves=2", "unknown phantom 'nema-lime'"),
        ("nema-line:y_mm=130", "bore"),
    ],
)
def test_numbers_that_a_phantom_does_not_take_are_refused(name, words):
    with pytest.raises(PhantomError, match=words):
        make_phantom(name, CAREMIBRAIN)


@pytest.mark.parametrize("name", ["a:b", "a:b=", "a:=3", "a:b=inf", "a:b=1;c=2"])
def test_a_name_that_cannot_be_read_says_how_it_is_written(name):
    with pytest.raises(PhantomNameError, match="KEY=NUMBER"):
        split_name(name)


def test_a_name_without_numbers_is_itself():
    assert split_name("cylinder") == ("cylinder", {})
    assert split_name("") == ("", {})
