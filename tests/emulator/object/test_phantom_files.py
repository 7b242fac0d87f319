"""Phantoms from files: painted as described, and refused with the place and the remedy."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import emulator
from emulator.object.catalogue import make_phantom
from emulator.object.phantom import PhantomError
from emulator.object.phantom_file import load_phantom
from emulator.physics.materials import mu_per_mm
from hw.scanner.preset_file import load_scanner

CAREMIBRAIN = load_scanner("caremibrain")
PAGE = Path(emulator.__file__).parent.parent / "docs" / "emulator" / "phantoms.md"

WARM = """
[grid]
voxel_mm = 4.0
extent_mm = [80, 80, 40]
[[shape]]
kind = "cylinder"
radius_mm = 40
length_mm = 40
material = "water"
activity = 1.0
"""


def written(folder: Path, text: str) -> str:
    path = folder / "my.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_example_of_the_documentation_is_what_it_says(tmp_path):
    example = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    phantom = make_phantom(written(tmp_path, example.group(1)), CAREMIBRAIN)
    assert phantom.name == "two spheres"
    assert phantom.region is not None
    assert phantom.material is not None
    voxel_mm3 = 8.0
    hot = phantom.region_names.index("hot")
    excess = (phantom.activity - 1).clip(min=0).sum(dtype=np.float64) * voxel_mm3 / 7
    assert excess == pytest.approx(4 / 3 * np.pi * 10**3, rel=0.02)
    assert (phantom.region == hot).sum() * voxel_mm3 == pytest.approx(4189, rel=0.08)
    bone = phantom.material == phantom.materials.index("cortical_bone")
    assert bone.sum() * voxel_mm3 == pytest.approx(4 / 3 * np.pi * 8 * 14 * 30, rel=0.05)
    assert phantom.mu_per_mm.max() == pytest.approx(mu_per_mm("cortical_bone") * 1.8 / 1.92)
    assert phantom.activity[bone & (phantom.region != hot)].min() == 0.0
    assert phantom.materials == ("water", "cortical_bone", "air")


def test_cylinder_of_a_file_weighs_what_it_should(tmp_path):
    phantom = load_phantom(written(tmp_path, WARM))
    volume_mm3 = np.pi * 40**2 * 40
    assert phantom.activity.sum() * 64 == pytest.approx(volume_mm3, rel=0.005)
    weight = phantom.mu_per_mm.sum(dtype=np.float64) * 64
    assert weight == pytest.approx(volume_mm3 * mu_per_mm("water"), rel=0.005)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("voxel_mm", "voxel_nm", r"\[grid\]: unknown key 'voxel_nm'; did you mean 'voxel_mm'"),
        ("[[shape]]", "[[shapes]]", "unknown key 'shapes'; did you mean 'shape'"),
        ("extent_mm = [80, 80, 40]", "", "'extent_mm' is missing"),
        ("radius_mm = 40", "radius_mm = 44", r"from -44 to 44 mm along x, the grid from -40 .*ext"),
        ("radius_mm = 40", "radius_mm = -3", "radius_mm is -3; it must be above 0"),
        ("radius_mm = 40", "radius_mm = '3'", "radius_mm is '3', not a number"),
        ("radius_mm = 40", "", "'radius_mm' is missing"),
        ('"cylinder"', '"cone"', "shape 1: kind is 'cone', not one of sphere"),
        ('"water"', '"watr"', "did you mean 'water'"),
        ("activity = 1.0", "activity = -1.0", "activity is -1; it cannot be negative"),
        ("activity = 1.0", "density_g_per_cm3 = -1", "density_g_per_cm3 is -1; it cannot"),
        ("activity = 1.0", "", "nothing would ever decay"),
        ("activity = 1.0", "actvity = 1", "unknown key 'actvity'; did you mean 'activity'"),
        ("voxel_mm = 4.0", "voxel_mm = 0.05", "at most 1023 along an axis .*larger voxels"),
        ("[grid]", "[grid", "not valid TOML"),
        ("[80, 80, 40]", "[80, 80]", r"extent_mm is \[80, 80\], not \[x, y, z\]"),
    ],
)
def test_impossible_file_is_refused(tmp_path, old, new, complaint):
    with pytest.raises(PhantomError, match=complaint):
        make_phantom(written(tmp_path, WARM.replace(old, new)), CAREMIBRAIN)


def test_file_that_is_not_there_is_refused():
    with pytest.raises(PhantomError, match=r"nowhere\.toml does not exist"):
        make_phantom("nowhere.toml", CAREMIBRAIN)


def test_phantom_that_touches_a_collimator_is_refused(tmp_path):
    head = load_scanner("gamma_head_lehr")
    wide = WARM.replace("[80, 80, 40]", "[400, 400, 40]").replace(
        "radius_mm = 40", "radius_mm = 190"
    )
    with pytest.raises(PhantomError, match=rf"bore of gamma_head_lehr ends at {head.bore_mm:g} mm"):
        make_phantom(written(tmp_path, wide), head)


def test_arrays_come_back_as_they_were_stored(tmp_path):
    activity = np.zeros((4, 5, 6), np.float32)
    activity[1, 2, 3] = 2.0
    path = tmp_path / "mine.npz"
    np.savez_compressed(
        path, activity=activity, mu_per_mm=0 * activity + 0.01, voxel_mm=3.0,
        material=np.ones(activity.shape, np.uint8), materials=["water", "skull"],
        region=np.zeros(activity.shape, np.uint8), region_names=["spot"],
    )  # fmt: skip
    phantom = make_phantom(str(path), CAREMIBRAIN)
    assert phantom.name == "mine"
    assert (phantom.activity == activity).all()
    assert phantom.origin_mm == (-4.5, -6.0, -7.5)
    assert phantom.materials == ("water", "skull")
    assert phantom.region_names == ("spot",)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"mu_per_mm": np.full((2, 2, 2), -0.01)}, "mu_per_mm has -0.01; it cannot be negative"),
        ({"activity": np.zeros((2, 2, 2))}, "nothing would ever decay"),
        ({"mu_per_m": np.zeros((2, 2, 2))}, "unknown key 'mu_per_m'; did you mean 'mu_per_mm'"),
        ({"material": np.full((2, 2, 2), 3)}, "material has 3; materials has 1 names"),
        ({"materials": ["ectoplasm"]}, "'ectoplasm' has no cross-sections"),
        ({"voxel_mm": 0.0}, "finite sizes > 0"),
        ({"origin_mm": [200.0, 0.0, 0.0]}, "mm from the axis"),
    ],
)
def test_impossible_arrays_are_refused(tmp_path, change, complaint):
    path = tmp_path / "mine.npz"
    good = {"activity": np.ones((2, 2, 2)), "mu_per_mm": np.full((2, 2, 2), 0.01), "voxel_mm": 2.0}
    np.savez(path, **{**good, **change})
    with pytest.raises(PhantomError, match=complaint):
        make_phantom(str(path), CAREMIBRAIN)
