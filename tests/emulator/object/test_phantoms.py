"""Phantoms are what they say, sampled as they weigh, and refused where they cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.cli.options.emulation import PHANTOM_WORDS
from emulator.object.catalogue import make_phantom, mu_map_on_grid, phantom_names
from emulator.object.phantom import Phantom, PhantomError, check_phantom
from emulator.object.source_sampling import PLACE_SIZE, place_decays, source_tables
from emulator.physics.materials import MU_WATER_511_PER_MM, cross_sections
from hw.scanner.preset_file import load_scanner
from oracles.emulation import point_at, random_state

CAREMIBRAIN = load_scanner("caremibrain")


def test_every_named_phantom_fits_into_a_scanner_made_for_it():
    assert {"brain", "cylinder", "hot-rod", "line", "point"} <= set(phantom_names())
    for name in phantom_names():
        scanner = load_scanner("czt_cardiac") if name == "heart" else CAREMIBRAIN
        assert make_phantom(name, scanner).name == name


def test_command_line_names_every_phantom():
    assert ", ".join(phantom_names()) == PHANTOM_WORDS


def test_phantom_wider_than_the_bore_is_refused_with_both_radii():
    with pytest.raises(PhantomError, match=r"brain.*mm from the axis.*bench2 ends at 50 mm"):
        make_phantom("brain", load_scanner("bench2"))


def test_unknown_phantom_is_refused_with_the_known_ones():
    with pytest.raises(PhantomError, match="'teapot'; there are brain, cylinder"):
        make_phantom("teapot", CAREMIBRAIN)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mu_per_mm": np.full((1, 1, 1), -0.01, np.float32)}, "mu_per_mm has -0.01"),
        ({"mu_per_mm": np.full((1, 1, 1), 9.6, np.float32)}, "above 1 per mm"),
        ({"activity": np.full((1, 1, 1), np.nan, np.float32)}, "not finite"),
        ({"activity": np.zeros((1, 1, 1), np.float32)}, "nothing would ever decay"),
        ({"activity": np.ones((2, 1, 1), np.float32)}, "one .* grid"),
        ({"activity": np.ones((1024, 1, 1), np.float32),
          "mu_per_mm": np.zeros((1024, 1, 1), np.float32)}, "at most 1023"),
        ({"origin_mm": (130.0, 0.0, 0.0)}, "130.0 mm from the axis"),
    ],
)  # fmt: skip
def test_impossible_phantom_is_refused(change, complaint):
    with pytest.raises(PhantomError, match=complaint):
        check_phantom(replace(point_at(0.0), **change), CAREMIBRAIN)


def test_brain_has_the_regions_of_a_brain():
    brain = make_phantom("brain", CAREMIBRAIN)
    levels, counts = np.unique(brain.activity, return_counts=True)
    volume_ml = dict(zip(levels.tolist(), counts * 8e-3, strict=True))
    assert volume_ml[4.0] / volume_ml[1.0] > 0.3  # whole voxels of grey and of white
    grey_ml = brain.activity[brain.activity > 0.5].clip(max=4.0).sum() * 8e-3
    assert 600 < grey_ml < 5000
    middle = brain.activity[:, :, 46]
    assert middle[42 - 4 : 42 + 4, 52 - 30 : 52 + 30].min() == 0.0  # ventricles
    assert brain.mu_per_mm.max() == pytest.approx(0.01454, rel=1e-3)
    assert (np.abs(brain.mu_per_mm - 0.009913) < 1e-6).sum() * 8e-3 > 800


def test_brain_has_materials_and_regions_where_they_belong():
    brain = make_phantom("brain", CAREMIBRAIN)
    assert brain.material is not None
    assert brain.region is not None
    middle = (42, 52, 42)  # in a ventricle or beside it: brain or fluid, not bone
    assert brain.materials[brain.material[middle]] in ("brain", "water")
    of = {name: brain.region == number for number, name in enumerate(brain.region_names)}
    whole = brain.activity[of["grey"]]
    assert whole.max() == 4.0
    assert brain.activity[of["striatum"]].max() == pytest.approx(4.2)
    assert brain.activity[of["fluid"]].max() < 0.5
    bone = (brain.material == brain.materials.index("skull")) & (brain.mu_per_mm > 0.0144)
    assert (brain.region[bone] == brain.region_names.index("skull")).mean() > 0.95


def test_brain_is_the_same_every_time():
    from emulator.object import brain as module

    first = make_phantom("brain", CAREMIBRAIN).activity.tobytes()
    module._head.cache_clear()
    assert make_phantom("brain", CAREMIBRAIN).activity.tobytes() == first


def test_brain_fits_the_brain_scanners_axial_view():
    brain = make_phantom("brain", CAREMIBRAIN)
    z = brain.axis_mm(2)
    share = brain.activity.sum(axis=(0, 1))
    assert share[np.abs(z) < CAREMIBRAIN.axial_mm / 2].sum() / share.sum() > 0.97


def test_hot_rods_have_their_diameters():
    rods = make_phantom("hot-rod", CAREMIBRAIN)
    area_mm2 = rods.activity[:, :, 0].sum() * rods.voxel_mm[0] * rods.voxel_mm[1]
    from emulator.object.shapes import HOT_ROD_DIAMETERS_MM, _rod_centres_mm

    exact = sum(
        len(_rod_centres_mm(d, k)) * np.pi * d**2 / 4 for k, d in enumerate(HOT_ROD_DIAMETERS_MM)
    )
    assert area_mm2 == pytest.approx(exact, rel=0.02)


def test_cylinder_holds_water_of_its_volume():
    cylinder = make_phantom("cylinder", CAREMIBRAIN)
    volume_mm3 = cylinder.activity.sum(dtype=np.float64) * 8
    assert volume_mm3 == pytest.approx(np.pi * 100**2 * 150, rel=0.002)
    assert cylinder.mu_per_mm.max() == pytest.approx(MU_WATER_511_PER_MM)


def test_mu_of_water_in_phantoms_is_the_tables():
    assert cross_sections("water").mu_per_mm[511] == pytest.approx(MU_WATER_511_PER_MM, rel=1e-3)


def test_mu_map_keeps_a_uniform_value_and_is_empty_outside():
    cylinder = make_phantom("cylinder", CAREMIBRAIN)
    image = mu_map_on_grid(cylinder, (110, 110, 78), (2.0, 2.0, 2.0))
    assert image.shape == (110, 110, 78)
    assert image.dtype == np.float32
    assert image[55, 55, 39] == pytest.approx(MU_WATER_511_PER_MM)
    assert image[0, 0, 0] == 0.0
    assert image.sum() == pytest.approx(cylinder.mu_per_mm.sum(), rel=0.01)


def test_mu_map_interpolates_between_voxel_centres():
    mu = np.array([0.0, 0.01], np.float32)[:, None, None] * np.ones((2, 3, 3), np.float32)
    phantom = Phantom("step", mu, mu, (10.0, 10.0, 10.0), (-5.0, -10.0, -10.0))
    image = mu_map_on_grid(phantom, (5, 1, 1), (2.5, 1.0, 1.0))
    assert image[:, 0, 0] == pytest.approx([0.0, 0.0025, 0.005, 0.0075, 0.01], abs=1e-8)


@given(weights=st.lists(st.floats(0.01, 100.0), min_size=1, max_size=12))
def test_alias_table_holds_exactly_the_weights(weights):
    activity = np.array(weights, np.float32)[:, None, None]
    phantom = Phantom("row", activity, 0 * activity, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    alias = source_tables(phantom).alias
    share = np.zeros(len(weights))
    for threshold, below, above, _ in alias.tolist():
        share[below & 1023] += threshold / 2**32
        share[above & 1023] += 1 - threshold / 2**32
    assert share / share.sum() == pytest.approx(activity.ravel() / activity.sum(), abs=1e-6)


def test_decays_fall_within_their_voxels_by_weight():
    activity = np.zeros((3, 2, 2), np.float32)
    activity[0, 1, 0], activity[2, 0, 1] = 1.0, 3.0
    phantom = Phantom("two", activity, 0 * activity, (2.0, 3.0, 4.0), (-2.0, 0.0, 10.0))
    places = np.zeros((20_000, PLACE_SIZE))
    place_decays(random_state(2), source_tables(phantom), np.zeros(0), places)
    places = places[:, :3]
    in_first = places[:, 0] < 0
    assert in_first.mean() == pytest.approx(0.25, abs=0.012)
    for where, low in ((in_first, (-3.0, 1.5, 8.0)), (~in_first, (1.0, -1.5, 12.0))):
        part = (places[where] - low) / phantom.voxel_mm
        assert (part >= 0).all()
        assert (part < 1).all()
        assert part.mean(axis=0) == pytest.approx([0.5] * 3, abs=0.02)
