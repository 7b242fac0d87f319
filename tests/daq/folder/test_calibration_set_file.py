"""The file of a calibration set: every array has bounds, files of version 1 stay what they are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.folder import calibration_set
from daq.folder.calibration_arrays import (
    REJECTED,
    SPECS,
    STATUS_NAMES,
    CalibrationSetError,
    all_specs,
)
from daq.folder.calibration_set import (
    CalibrationSet,
    Status,
    load_set,
    new_set,
    save_set,
    scanner_hash,
)
from hw.scanner.preset_file import load_scanner
from rigs.calibration_runs import BENCH, as_version

N, MODULES, PLACES = BENCH.n_crystals, BENCH.n_modules, BENCH.crystals_per_module


def full_set() -> CalibrationSet:
    """Every array with values of its own."""
    rng = np.random.default_rng(1)
    shapes = {name: spec.shape(BENCH) for name, spec in SPECS.items()}
    values = {
        name: rng.uniform(max(spec.least, -0.1), min(spec.most, 2.0), shapes[name])
        for name, spec in SPECS.items()
    }
    values["crystal_map"] = np.floor(rng.uniform(0, PLACES, shapes["crystal_map"]))
    values["crystal_map"][:, ::7] = REJECTED
    statuses = {name: np.full(shapes[name][0], Status.MODULE) for name in STATUS_NAMES}
    return new_set("full", BENCH, sources=(), values=values, statuses=statuses)


def test_every_array_and_status_comes_back_from_the_file(tmp_path: Path) -> None:
    made = full_set()
    found = load_set(save_set(made, tmp_path / "full.npz"))
    assert found.identity == made.identity
    for name, spec in SPECS.items():
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
        assert getattr(found, name).dtype == np.dtype(spec.dtype)
    for name in STATUS_NAMES:
        assert (found.statuses[name] == Status.MODULE).all()


def test_the_event_path_gets_every_correction_of_the_set() -> None:
    made = full_set()
    applied = made.calibration()
    for name in ("gain", "skew_ps", "curvature", "walk_ps", "doi_gain", "doi_ps"):
        np.testing.assert_array_equal(getattr(applied, name), getattr(made, name))
    np.testing.assert_array_equal(applied.masked, made.masked > 0)


def test_a_set_of_nothing_changes_nothing_and_is_small(tmp_path: Path) -> None:
    scanner = load_scanner("caremibrain")
    made = new_set("nothing", scanner, sources=())
    assert not made.calibration().is_refined
    assert not made.calibration().masked.any()
    for name in ("block_profile", "geometric", "dead_time_ps", "dead_time_model", "crystal_map"):
        assert getattr(made, name).size == 0
    assert save_set(made, tmp_path / "nothing.npz").stat().st_size < 20_000


@pytest.mark.parametrize("name", sorted(SPECS))
def test_each_array_refuses_what_is_out_of_bounds_naming_the_place(name: str) -> None:
    spec = SPECS[name]
    wrong = [spec.most * 2 + 1, np.nan, np.inf] + ([spec.least - 1] if spec.dtype[0] == "<" else [])
    for value in wrong:
        values = np.full(spec.shape(BENCH), spec.identity, np.float64)
        values.flat[1] = value
        with pytest.raises(CalibrationSetError, match=rf"{name} of .* is .*must be between"):
            new_set("x", BENCH, sources=(), values={name: values})


@given(st.sampled_from(sorted(SPECS)), st.integers(0, 5000), st.integers(1, 3))
def test_each_array_refuses_another_shape(name: str, length: int, extra: int) -> None:
    shape = (length, *SPECS[name].shape(BENCH)[1:])
    if shape == SPECS[name].shape(BENCH) or length == 0:
        shape = (SPECS[name].shape(BENCH)[0] + extra, *shape[1:])
    with pytest.raises(CalibrationSetError, match=r"has shape|names crystal"):
        new_set("x", BENCH, sources=(), values={name: np.ones(shape)})


def test_a_crystal_map_names_crystals_of_a_module_or_none() -> None:
    wrong = np.full((MODULES, 4096), PLACES)
    with pytest.raises(
        CalibrationSetError, match=rf"names crystal {PLACES}, a module has {PLACES}"
    ):
        new_set("x", BENCH, sources=(), values={"crystal_map": wrong})


@pytest.mark.parametrize("where", ["values", "statuses"])
def test_a_name_there_is_not_is_refused(where: str) -> None:
    given_arrays = {where: {"gian": np.ones(N)}}
    with pytest.raises(CalibrationSetError, match="there is no gian"):
        new_set("x", BENCH, sources=(), **given_arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(SPECS))
def test_a_change_of_any_array_changes_the_hash(name: str) -> None:
    base = full_set()
    values = np.array(getattr(base, name))
    values.flat[0] = values.flat[0] + 1 if name != "crystal_map" else (values.flat[1] + 1) % PLACES
    if name in ("curvature", "dead_time_model"):
        values.flat[0] = 0
    changed = new_set("full", BENCH, sources=(), values={name: values}, base=base)
    same_time = msgspec.structs.replace(changed.about, created=base.about.created, hash="")
    assert same_time == msgspec.structs.replace(base.about, hash="")
    assert changed.about.hash != base.about.hash


def write_version_1(path: Path, gain: np.ndarray, skew_ps: np.ndarray) -> str:
    """Write a set as the program of version 1 did; return its hash."""
    arrays = {"gain": gain.astype("<f4"), "skew_ps": skew_ps.astype("<i4"),
              "gain_status": np.ones(N, "u1"), "skew_status": np.full(N, 2, "u1")}  # fmt: skip
    about = {"name": "old", "scanner": "bench2", "scanner_hash": scanner_hash(BENCH),
             "created": "2026-01-02T03:04:05+00:00", "sources": [],
             "format": "tomoshibi calibration set", "version": 1, "hash": ""}  # fmt: skip
    digest = hashlib.blake2b(digest_size=16)
    digest.update(msgspec.json.encode(about, order="sorted"))
    for values in arrays.values():
        digest.update(values.tobytes())
    about["hash"] = digest.hexdigest()
    text = json.dumps(about).encode()
    np.savez_compressed(path, about=np.frombuffer(text, np.uint8), **arrays)  # type: ignore[arg-type]
    return digest.hexdigest()


def test_a_set_of_version_1_loads_and_is_copied_as_what_it_was(tmp_path: Path) -> None:
    gain, skew_ps = np.linspace(0.9, 1.1, N), np.arange(N)
    wanted = write_version_1(tmp_path / "old.npz", gain, skew_ps)
    old = load_set(tmp_path / "old.npz")
    old.check_scanner(BENCH)
    assert old.identity == f"old@{wanted}"
    np.testing.assert_array_equal(old.gain, gain.astype("f4"))
    np.testing.assert_array_equal(old.statuses["skew_ps"], np.full(N, Status.MODULE))
    assert not old.calibration().is_refined
    copy = load_set(save_set(old, tmp_path / "copy.npz"))
    assert copy.identity == old.identity
    with np.load(tmp_path / "copy.npz") as file:
        assert sorted(file.files) == ["about", "gain", "gain_status", "skew_ps", "skew_status"]


def test_what_is_added_to_a_set_of_version_1_makes_one_of_the_present(tmp_path: Path) -> None:
    write_version_1(tmp_path / "old.npz", np.ones(N), np.arange(N))
    old = load_set(tmp_path / "old.npz")
    new = new_set("new", BENCH, sources=(), values={"walk_ps": np.full(N, 50.0)}, base=old)
    assert new.about.version == 4
    np.testing.assert_array_equal(new.skew_ps, old.skew_ps)
    assert load_set(save_set(new, tmp_path / "new.npz")).identity == new.identity


def test_a_set_of_a_later_version_is_refused(tmp_path: Path) -> None:
    made = full_set()
    later = msgspec.structs.replace(made, about=msgspec.structs.replace(made.about, version=5))
    path = save_set(later, tmp_path / "later.npz")
    with pytest.raises(CalibrationSetError, match="version 5; this program reads"):
        load_set(path)


def test_a_set_names_its_instrument_and_the_name_is_part_of_its_hash(tmp_path: Path) -> None:
    made = new_set("one", BENCH, sources=(), serial="bench2-0007")
    assert load_set(save_set(made, tmp_path / "one.npz")).about.serial == "bench2-0007"
    other = msgspec.structs.replace(
        made, about=msgspec.structs.replace(made.about, serial="bench2-0008")
    )
    with pytest.raises(CalibrationSetError, match="was changed"):
        load_set(save_set(other, tmp_path / "other.npz"))


def test_a_set_of_version_3_names_no_instrument_and_keeps_its_hash(tmp_path: Path) -> None:
    old = as_version(full_set(), 3)
    words = msgspec.to_builtins(msgspec.structs.replace(old.about, hash=""))
    assert words.pop("serial") == ""
    digest = hashlib.blake2b(msgspec.json.encode(words, order="sorted"), digest_size=16)
    for key, spec in all_specs().items():
        array = calibration_set.arrays_of(old)[key]
        digest.update(f"{key} {spec.dtype} {array.shape}".encode() + array.tobytes())
    assert digest.hexdigest() == old.about.hash
    assert load_set(save_set(old, tmp_path / "old.npz")).identity == old.identity


def test_an_old_normalisation_is_kept_in_its_file_and_not_carried_over(tmp_path: Path) -> None:
    """Its efficiencies are of another detection model (docs/reconstruction/attenuation.md)."""
    values = {"efficiency": np.full(N, 0.5), "walk_ps": np.full(N, 50.0)}
    statuses = {"efficiency": np.full(N, Status.FITTED)}
    made = new_set("old", BENCH, sources=(), values=values, statuses=statuses)
    assert made.has_current_normalisation
    old = load_set(save_set(as_version(made, 2), tmp_path / "old.npz"))
    assert not old.has_current_normalisation
    assert old.efficiency[0] == np.float32(0.5)  # the run that it belongs to can be replayed
    new = new_set("new", BENCH, sources=(), values={"skew_ps": np.arange(N)}, base=old)
    assert new.has_current_normalisation
    np.testing.assert_array_equal(new.efficiency, np.ones(N))
    np.testing.assert_array_equal(new.statuses["efficiency"], np.zeros(N))
    np.testing.assert_array_equal(new.walk_ps, old.walk_ps)
