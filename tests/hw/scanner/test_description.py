"""Scanner presets: those shipped say what their sources say, broken ones are refused by name."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.scanner.description import Scanner, ScannerError
from hw.scanner.preset_file import (
    PRESET_FOLDER,
    load_scanner,
    parse_scanner,
    scanner_names,
    scanner_to_toml_text,
)

PRESETS = ("bench2", "caremibrain", "tof_brain")
TEXT = scanner_to_toml_text("caremibrain")


def to_toml(document: dict[str, Any]) -> str:
    """Write the little TOML that presets use; JSON's strings, lists and booleans are TOML's."""
    top, tables = [], []
    for key, value in document.items():
        if isinstance(value, dict):
            tables += [f"[{json.dumps(key)}]"]
            tables += [f"{json.dumps(k)} = {toml_value(v)}" for k, v in value.items()]
        else:
            top += [f"{json.dumps(key)} = {toml_value(value)}"]
    return "\n".join(top + tables)


def toml_value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{json.dumps(k)} = {toml_value(v)}' for k, v in value.items())}}}"
    if isinstance(value, float):
        return repr(value)  # nan and inf are spelt alike in Python and TOML
    return json.dumps(value)


def changed(path: str, value: object, *, preset: str = "caremibrain") -> str:
    """Return a preset's text with the value at ``table.key`` or ``table.key[i]`` replaced."""
    document = tomllib.loads(scanner_to_toml_text(preset))
    table, _, key = path.rpartition(".")
    holder = document[table] if table else document
    if key.endswith("]"):
        key, index = key[:-1].split("[")
        holder[key][int(index)] = value
    else:
        holder[key] = value
    return to_toml(document)


def paths_of(kinds: tuple[type, ...]) -> list[str]:
    """Return the dotted paths of all values of these types in the preset."""
    found = []
    for table, keys in tomllib.loads(TEXT).items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            values = {f"{table}.{key}": value}
            if isinstance(value, list):
                values = {f"{table}.{key}[{i}]": v for i, v in enumerate(value)}
            found += [path for path, v in values.items() if type(v) in kinds]
    return found


def is_required(path: str) -> bool:
    """Whether presets of a run made before the key existed are not readable without it."""
    table, key = path.split("[")[0].split(".")
    kind = {field.name: field.type for field in msgspec.structs.fields(Scanner)}[table]
    return {field.name: field.required for field in msgspec.structs.fields(kind)}[key]


def refusal(text: str) -> str:
    with pytest.raises(ScannerError) as caught:
        parse_scanner(text, source="mine.toml")
    return str(caught.value)


# What is shipped


def test_the_presets_for_pet_are_these_three() -> None:
    found = [name for name in scanner_names() if load_scanner(name).modality == "PET"]
    assert found == list(PRESETS)


@pytest.mark.parametrize("name", PRESETS)
def test_preset_is_named_as_its_file(name: str) -> None:
    assert load_scanner(name).name == name


@pytest.mark.parametrize("name", PRESETS)
def test_every_number_of_a_preset_is_read_as_written(name: str) -> None:
    document, scanner = tomllib.loads(scanner_to_toml_text(name)), load_scanner(name)
    for table, keys in document.items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            read = msgspec.to_builtins(getattr(getattr(scanner, table), key))
            if isinstance(value, dict):  # limits, of which most may be left out
                read = {inner: limit for inner, limit in read.items() if limit is not None}
            assert (list(read) if isinstance(value, tuple | list) else read) == value


def test_caremibrain_is_the_published_scanner() -> None:
    scanner = load_scanner("caremibrain")
    assert scanner.status == "model of a published scanner"
    assert scanner.n_modules == 48
    assert 2 * scanner.ring.inradius_mm == 256
    assert scanner.axial_mm == 154
    module = scanner.module
    assert (module.width_mm, module.height_mm, module.thickness_mm) == (50, 50, 15)
    assert module.monolithic and module.material == "LYSO"
    assert not scanner.acquisition.tof


def test_caremibrain_is_read_out_as_virtual_crystals_with_depth() -> None:
    scanner = load_scanner("caremibrain")
    assert scanner.module.pitch_u_mm == scanner.module.pitch_v_mm == 1.5625
    assert scanner.crystals_per_module == 1024
    assert scanner.n_crystals == 49152
    assert scanner.module.doi_bins == 8


@pytest.mark.parametrize(
    "key", ["energy_fwhm_511", "integration_ns", "dead_time_ns", "lld_keV", "window_ps"]
)
def test_caremibrain_labels_what_is_a_fit_and_not_published(key: str) -> None:
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"{key} ")]
    assert "# fit" in line


def test_tof_brain_is_labelled_a_design_and_no_product() -> None:
    scanner = load_scanner("tof_brain")
    assert scanner.status == "design"
    assert "NOT a product" in scanner_to_toml_text("tof_brain")
    assert scanner.module.pitch_u_mm == pytest.approx(4.1)
    assert (scanner.module.n_u, scanner.module.n_v, scanner.module.doi_bins) == (12, 12, 1)
    assert scanner.response.ctr_fwhm_ps == 250
    assert scanner.acquisition.tof


@pytest.mark.parametrize("name", PRESETS)
def test_window_holds_flight_across_the_image_and_three_sigma_of_ctr(name: str) -> None:
    scanner = load_scanner(name)
    across_mm = scanner.image.shape[0] * scanner.image.voxel_mm[0]
    flight_ps = across_mm / 0.299792458
    three_sigma_ps = 3 * scanner.response.ctr_fwhm_ps / 2.3548
    assert scanner.acquisition.window_ps >= flight_ps + three_sigma_ps


@pytest.mark.parametrize("name", PRESETS)
def test_image_holds_the_axial_field_of_view(name: str) -> None:
    scanner = load_scanner(name)
    assert scanner.image.shape[2] * scanner.image.voxel_mm[2] >= scanner.axial_mm


# Where presets come from


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(TEXT, encoding="utf-8")
    assert load_scanner(file) == load_scanner(str(file)) == load_scanner("caremibrain")


def test_text_of_a_preset_is_the_file_with_its_comments() -> None:
    assert (PRESET_FOLDER / "caremibrain.toml").read_text(encoding="utf-8") == TEXT


def test_unknown_name_lists_the_presets() -> None:
    with pytest.raises(ScannerError, match=r"'caremi'.*bench2, caremibrain,.*tof_brain.*\.toml"):
        load_scanner("caremi")


def test_missing_file_is_named() -> None:
    with pytest.raises(ScannerError, match=r"nowhere/mine\.toml: cannot be read"):
        load_scanner("nowhere/mine.toml")


def test_binary_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScannerError, match=r"mine\.toml: cannot be read as UTF-8"):
        load_scanner(file)


def test_text_of_a_broken_file_is_not_handed_out(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(changed("ring.n_rings", 0), encoding="utf-8")
    with pytest.raises(ScannerError, match=r"ring\.n_rings = 0"):
        scanner_to_toml_text(file)


def test_a_scanner_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load_scanner("bench2").ring.n_rings = 2  # type: ignore[misc]


# Mistakes


ABSURD = st.sampled_from([-1.0, -1e9, 1e15, math.nan, math.inf, -math.inf, -1, 10**15, "3", True])


@settings(deadline=None, derandomize=True)
@given(path=st.sampled_from(paths_of((int, float))), value=ABSURD)
def test_absurd_number_is_refused_with_file_key_and_value(path: str, value: object) -> None:
    message = refusal(changed(path, value))
    assert message.startswith(f"mine.toml: {path} = {value!r}: ")


@settings(deadline=None, derandomize=True)
@given(path=st.sampled_from(paths_of((int, float, str, bool, list))), value=st.just([[]]))
def test_value_of_a_wrong_type_is_refused_with_its_key(path: str, value: object) -> None:
    assert refusal(changed(path, value)).startswith(f"mine.toml: {path} = [[]]: expected ")


@settings(deadline=None, derandomize=True)
@given(st.sampled_from([p for p in paths_of((int, float, str, bool, list)) if is_required(p)]))
def test_missing_key_is_named(path: str) -> None:
    document = tomllib.loads(TEXT)
    table, key = path.split("[")[0].split(".")
    del document[table][key]
    assert f"mine.toml: {table}.{key} is missing" in refusal(to_toml(document))


@settings(deadline=None, derandomize=True)
@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200))
def test_any_text_gives_a_scanner_or_a_scanner_error(text: str) -> None:
    for candidate in (text, TEXT + text, f"{json.dumps(text)} = 1\n" + TEXT):
        try:
            parsed = parse_scanner(candidate)
        except ScannerError:
            continue
        assert isinstance(parsed, Scanner)


def test_message_tells_file_key_value_bound_and_remedy() -> None:
    assert refusal(changed("ring.n_rings", 0)) == (
        "mine.toml: ring.n_rings = 0: expected int >= 1; correct the value of ring.n_rings"
    )


LATER_KEYS = (
    "walk_ps",
    "walk_spread_ps",
    "curvature_spread",
    "efficiency_spread",
    "doi_gain_range",
    "doi_time_range_ps",
    "position_readout",
    "raw_blur_fwhm_mm",
    "raw_compression",
)


def test_preset_of_an_older_run_is_read_without_the_later_keys() -> None:
    document = tomllib.loads(TEXT)
    for key in LATER_KEYS:
        document["response"].pop(key, None)
    response = parse_scanner(to_toml(document)).response
    assert response.walk_ps == response.curvature_spread == response.efficiency_spread == 0
    assert response.position_readout == "crystal"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("walk_ps", 5001.0),
        ("walk_spread_ps", -1.0),
        ("curvature_spread", 0.06),
        ("efficiency_spread", 0.3),
        ("doi_gain_range", 0.6),
        ("doi_time_range_ps", -5001.0),
        ("raw_blur_fwhm_mm", -0.1),
        ("raw_compression", 1.6),
    ],
)
def test_later_keys_have_bounds_too(key: str, value: float) -> None:
    assert f"response.{key} = {value!r}: " in refusal(changed(f"response.{key}", value))


def test_raw_positions_need_two_bins_a_crystal() -> None:
    document = tomllib.loads(changed("response.position_readout", "raw"))
    assert parse_scanner(to_toml(document)).response.position_readout == "raw"
    document["module"]["n_u"] = 33
    message = refusal(to_toml(document))
    assert "position_readout = 'raw': module.n_u = 33" in message
    assert "must be ≤ 32" in message


def test_a_table_where_a_value_belongs_is_refused() -> None:
    text = TEXT.replace("n_rings = 3", "n_rings = {a = 1}")
    assert "ring.n_rings = {'a': 1}: expected int" in refusal(text)


@pytest.mark.parametrize("model", ["non-paralysable", "paralysable"])
def test_both_dead_times_of_the_textbooks_are_known(model: str) -> None:
    text = changed("response.dead_time_model", model)
    assert parse_scanner(text).response.dead_time_model == model


def test_one_of_several_numbers_is_named_by_its_index() -> None:
    assert "image.shape[2] = 0: expected int >= 1" in refusal(changed("image.shape[2]", 0))


def test_misspelt_key_is_answered_with_the_nearest() -> None:
    text = TEXT.replace("n_rings", "n_ring")
    assert "ring.n_ring is not a key of presets; did you mean n_rings?" in refusal(text)


def test_foreign_key_is_answered_with_the_known_ones() -> None:
    text = TEXT + "\n[x]\n"
    assert "x is not a key of presets; known here are name, title, status" in refusal(text)


def test_unknown_word_is_answered_with_the_words_allowed() -> None:
    message = refusal(changed("module.material", "BGO"))
    assert "module.material = 'BGO': expected one of 'LYSO'" in message
    message = refusal(changed("status", "product"))
    assert "status = 'product': expected one of" in message
    assert "'model of a published scanner'" in message


def test_a_value_where_a_table_belongs_is_refused() -> None:
    assert "ring = 3: expected table, got int" in refusal(changed("ring", 3))


def test_toml_that_does_not_parse_is_refused_with_its_line() -> None:
    message = refusal(TEXT.replace("n_rings = 3", "n_rings = = 3"))
    assert "mine.toml: not valid TOML" in message
    assert "line" in message


@pytest.mark.parametrize("text", ["a = 1" + "0" * 5000, "a = " + "[" * 5000])
def test_hostile_toml_is_refused_like_any_other(text: str) -> None:
    assert re.search("mine.toml: (not valid TOML|it is nested deeper than 64)", refusal(text))


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refusal(changed("name", "x" * 10_000))) < 250


# What no key tells alone


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("acquisition.lld_keV", 650.0, "must be < acquisition.uld_keV = 650"),
        ("acquisition.delay_ps", 10_000, "must be > 2 × acquisition.window_ps = 10000"),
        ("acquisition.min_sector_difference", 9, "must be ≤ 8, half of ring.modules_per_ring"),
        ("ring.inradius_mm", 125.0, "neighbouring modules overlap, it must be ≥ "),
        ("ring.ring_pitch_mm", 49.9, "rings overlap, the pitch must be ≥ module.height_mm = 50"),
    ],
)
def test_contradiction_names_key_value_and_bound(path: str, value: float, told: str) -> None:
    message = refusal(changed(path, value))
    assert f"{path} = {value:g}: " in message
    assert told in message


def test_more_crystals_than_the_words_12_bits_are_refused() -> None:
    fits = changed("module.n_u", 128)
    assert parse_scanner(fits).crystals_per_module == 4096
    message = refusal(changed("module.n_u", 129))
    assert "module.n_u × module.n_v = 129 × 32 = 4128: at most 4096" in message


def test_more_modules_than_the_headers_16_bits_are_refused() -> None:
    document = tomllib.loads(TEXT)
    document["ring"] |= {"n_rings": 256, "modules_per_ring": 256, "inradius_mm": 2000.0}
    document["module"]["width_mm"] = 10.0
    message = refusal(to_toml(document))
    assert "ring.n_rings × ring.modules_per_ring = 256 × 256 = 65536: at most 65535" in message


def test_modules_that_just_touch_are_accepted() -> None:
    touching_mm = 25 / math.tan(math.pi / 16)
    document = tomllib.loads(changed("ring.inradius_mm", touching_mm))
    document["image"]["voxel_mm"] = [1.9, 1.9, 2.0]
    assert parse_scanner(to_toml(document)).ring.inradius_mm == touching_mm


def test_an_image_beyond_the_full_view_is_refused() -> None:
    message = refusal(changed("image.shape[1]", 122))
    assert "image.shape[1] × image.voxel_mm[1] / 2 = 122 mm: must be ≤ 120.7 mm" in message


def test_wider_exclusion_of_sectors_narrows_the_view_below_the_image() -> None:
    message = refusal(changed("acquisition.min_sector_difference", 3))
    assert "must be ≤ 108.7 mm" in message
