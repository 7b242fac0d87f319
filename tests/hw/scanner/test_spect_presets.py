"""SPECT presets: collimators have room, motions a range; what makes no sense is refused by name."""

from __future__ import annotations

import copy
import math
import tomllib
from typing import Any

import pytest

from hw.scanner.description import Scanner, ScannerError
from hw.scanner.preset_file import parse_scanner, scanner_to_toml_text
from rigs.spect_presets import COLUMNS, HEAD, as_toml


def scanner(document: dict[str, Any], **changes: Any) -> Scanner:
    """Parse a preset with values at ``table.key`` (written ``table__key``) replaced or, with None,
    left out."""
    document = copy.deepcopy(document)
    for path, value in changes.items():
        table, _, key = path.partition("__")
        holder = document.setdefault(table, {}) if key else document
        if value is None:
            del holder[key or table]
        else:
            holder[key or table] = value
    return parse_scanner(as_toml(document), source="mine.toml")


def refusal(document: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(ScannerError) as refused:
        scanner(document, **changes)
    message = str(refused.value)
    assert message.startswith("mine.toml: ")
    return message


PET = tomllib.loads(scanner_to_toml_text("caremibrain"))


def test_a_collimator_makes_a_scanner_spect() -> None:
    assert scanner(HEAD).modality == scanner(COLUMNS).modality == "SPECT"
    assert scanner(PET).modality == "PET"


def test_one_module_is_a_scanner() -> None:
    assert scanner(HEAD).n_modules == 1


def test_spect_needs_no_coincidence_window_and_refuses_one() -> None:
    assert scanner(HEAD).acquisition.window_ps == 0
    message = refusal(HEAD, acquisition__window_ps=5000)
    assert "acquisition.window_ps = 5000: a scanner with a [collimator]" in message
    assert message.endswith("leave it out")


@pytest.mark.parametrize("key", ["window_ps", "delay_ps", "min_sector_difference"])
def test_pet_still_needs_what_coincidences_need(key: str) -> None:
    assert f"acquisition.{key} is missing: add it" in refusal(PET, **{f"acquisition__{key}": None})


def test_sectors_of_an_arc_stand_a_share_of_it_apart() -> None:
    ring = scanner(COLUMNS).ring
    step = math.radians(ring.arc_deg / ring.modules_per_ring)
    assert ring.sector_angle_rad(3) == pytest.approx(3 * step)


def test_columns_on_an_arc_that_touch_at_their_collimators_are_accepted() -> None:
    """Faces 30 mm wide and 10° apart meet at 15 mm / tan 5°; the collimator is 20 + 2 mm deep."""
    touching_mm = 15 / math.tan(math.radians(5)) + 22
    wide = {"ring__arc_deg": 90.0, "ring__modules_per_ring": 9, "module__width_mm": 30.0}
    deep = {"collimator__length_mm": 20.0, "collimator__gap_mm": 2.0}
    found = scanner(COLUMNS, ring__inradius_mm=touching_mm, **wide, **deep)
    assert found.ring.inradius_mm == touching_mm
    message = refusal(COLUMNS, ring__inradius_mm=touching_mm - 0.01, **wide, **deep)
    assert "neighbouring collimators overlap" in message
    assert f"widen the ring to {touching_mm:.3f}" in message


def test_modules_on_an_arc_that_overlap_are_refused_before_their_collimators() -> None:
    message = refusal(COLUMNS, ring__arc_deg=20.0)
    assert "neighbouring modules overlap" in message
    assert "tan(20°/18)" in message


def test_a_collimator_that_reaches_the_axis_is_refused() -> None:
    message = refusal(HEAD, ring__inradius_mm=24.0)
    assert "must be < ring.inradius_mm = 24" in message


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("collimator__least_keV", 160.0, "must be < collimator.most_keV = 160"),
        ("collimator__hole_mm", 60.0, "expected float <= 50"),
        ("collimator__hole", "round", "expected one of 'hexagonal', 'square'"),
        ("collimator__material", "Al", "expected one of 'Pb', 'W'"),
        ("collimator__length_mm", 0.0, "expected float > 0"),
        ("collimator__lenght_mm", 24.0, "did you mean length_mm?"),
        ("collimator__septum_mm", None, "collimator.septum_mm is missing: add it"),
        ("backing__material", "steel", "expected one of 'glass'"),
        ("motion__kind", "wobble", "expected one of 'gantry', 'swivel'"),
        ("motion__least_deg", 360.0, "must be < motion.most_deg = 360"),
        ("motion__most_deg_per_s", 0.0, "expected float > 0"),
        ("module__material", "BGO", "expected one of 'LYSO', 'NaI', 'CZT'"),
        ("module__doi_bins", 9, "expected int <= 8"),
        ("module__n_v", 65, "at most 4096"),
        ("acquisition__lld_keV", 500.0, "the energy window is empty"),
    ],
)
def test_nonsense_is_refused_by_name(path: str, value: object, told: str) -> None:
    assert told in (message := refusal(HEAD, **{path: value}))
    assert path.rpartition("__")[2] in message


def test_holes_wider_than_the_face_are_refused() -> None:
    message = refusal(COLUMNS, collimator__hole_mm=45.0, collimator__septum_mm=5.0)
    assert "collimator.hole_mm + collimator.septum_mm = 50 mm: must be ≤ 39.36 mm" in message


def test_pet_neither_moves_nor_stands_on_an_arc() -> None:
    assert "ring.arc_deg = 359: must be 360" in refusal(PET, ring__arc_deg=359.0)
    message = refusal(PET, motion=HEAD["motion"])
    assert "motion.kind = 'gantry': only a scanner with a [collimator]" in message


def test_an_image_may_be_larger_than_what_a_ring_would_see() -> None:
    big = {"shape": [400, 400, 100], "voxel_mm": [2.0, 2.0, 2.0]}
    assert scanner(HEAD, image=big).image.shape == (400, 400, 100)
