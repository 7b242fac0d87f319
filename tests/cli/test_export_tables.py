"""`tomoshibi export` as tables: other readers find what the log has."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coincidence.events import WINDOW_SHIFT
from daq.cli import main
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_config import RunConfig, default_settings
from daq.folder.singles_log import SinglesReader
from daq.importers.coincidence_run import write_coincidence_run
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from recon import open_run
from rigs.exchange_data import made_records
from rigs.runs.spect_run_folder import write_spect_run
from rigs.runs.stored_run import store_run

BENCH = load_scanner("bench2")
PACKAGES = {"parquet": "pyarrow", "hdf5": "h5py", "root": "uproot"}


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = RunConfig(scanner_toml=scanner_to_toml_text("bench2"), name="made",
                       settings=default_settings(BENCH), labels={"nuclide": "F-18"})  # fmt: skip
    parts = [(d, made_records(BENCH, n, 5.0, seed=3 + d, delayed=d))
             for d, n in ((False, 5000), (True, 700))]  # fmt: skip
    runs = tmp_path_factory.mktemp("runs")
    write_coincidence_run(config, runs, parts)
    return runs / "made"


@pytest.fixture(scope="module")
def measured_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a raw log."""
    config = RunConfig(scanner_toml=scanner_to_toml_text("bench2"), name="sent",
                       settings=default_settings(BENCH))  # fmt: skip
    return store_run(config, tmp_path_factory.mktemp("sent"))


def exported(
    folder: Path, kind: str, path: Path, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, Any]:
    pytest.importorskip(
        PACKAGES[kind], reason=f"{PACKAGES[kind]} is missing: ./tomoshibi setup lab"
    )
    asked = ["export", str(folder), "--format", kind, "--output", str(path), "--json", *more]
    assert main(asked) == 0, capsys.readouterr().err
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def read(kind: str, path: Path, table: str, *, main_table: str) -> dict[str, np.ndarray]:
    """Return a table's columns as the format's own package has them."""
    if kind == "parquet":
        import pyarrow.parquet

        place = path if table == main_table else path.with_name(f"{path.stem}_{table}.parquet")
        found = pyarrow.parquet.read_table(place)
        return {name: found[name].to_numpy() for name in found.column_names}
    if kind == "hdf5":
        import h5py

        with h5py.File(path) as file:
            return {name: column[:] for name, column in file[table].items()}
    import uproot

    with uproot.open(path) as file:
        return dict(file[table].arrays(library="np"))


@pytest.mark.parametrize("kind", PACKAGES)
def test_every_coincidence_is_a_row_in_order_of_time(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / f"events.{kind}"
    assert exported(run_folder, kind, path, capsys)["rows"] == {"coincidences": 5700}
    rows = read(kind, path, "coincidences", main_table="coincidences")
    assert (np.diff(rows["time_ps"]) >= 0).all()
    log = ListmodeReader(run_folder / "listmode.tmlm")
    for delayed, block in ((0, BlockKind.PROMPTS), (1, BlockKind.DELAYEDS)):
        records, mine = log.read_all(block), rows["delayed"] == delayed
        for name in ("time_ps", "crystal_a", "crystal_b", "tof_ps", "doi_a", "doi_b", "window"):
            assert np.array_equal(rows[name][mine], records[name]), name
        assert np.abs(rows["energy_a_keV"][mine] - records["energy_a"] / 10).max() < 1e-3
    crystals = read(kind, path, "crystals", main_table="coincidences")
    places = np.stack([crystals[f"{axis}_mm"] for axis in "xyz"], axis=1)
    assert np.allclose(places, build_geometry(BENCH).crystal_front_mm, atol=1e-3)


@pytest.mark.parametrize("kind", PACKAGES)
def test_a_camera_s_singles_and_angles_are_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    folder, path = write_spect_run(tmp_path / "spect"), tmp_path / f"singles.{kind}"
    exported(folder, kind, path, capsys)
    log = SinglesReader(folder / "singles.tmws")
    singles, angles = log.read_all(BlockKind.SINGLES), log.read_all(BlockKind.ANGLES)
    rows = read(kind, path, "singles", main_table="singles")
    assert np.array_equal(rows["time_ps"], singles["time_ps"])
    assert np.array_equal(rows["window"], singles["flags"] >> WINDOW_SHIFT)
    stood = read(kind, path, "angles", main_table="singles")
    assert len(stood["angle_deg"]) == len(angles) == 40
    assert stood["angle_deg"][1] == pytest.approx(9.0, abs=1e-3)


def test_a_missing_package_is_said_with_what_to_do_and_nothing_is_left(
    run_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    words = ["export", str(run_folder), "--format", "hdf5", "--output", str(tmp_path / "a.h5")]
    assert main(words) == 1
    assert "h5py is missing: ./tomoshibi setup lab" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_torn_log_is_exported_up_to_its_last_whole_block(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(run_folder, torn)
    log = torn / "listmode.tmlm"
    log.write_bytes(log.read_bytes()[:-200])
    said = exported(torn, "parquet", tmp_path / "a.parquet", capsys)
    assert any("not closed" in note for note in said["notes"])


@pytest.mark.parametrize("kind", PACKAGES)
def test_every_single_that_modules_sent_is_a_row(
    measured_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / f"sent.{kind}"
    told = exported(measured_run, kind, path, capsys, "--singles")
    singles = np.concatenate(list(open_run(measured_run).raw_singles()))
    assert told["rows"] == {"singles": len(singles)} and len(singles) > 500
    rows = read(kind, path, "singles", main_table="singles")
    for name in ("time_ps", "crystal", "doi", "flags"):
        assert np.array_equal(rows[name], singles[name]), name
    assert np.abs(rows["energy_keV"] - singles["energy"] / 10).max() < 1e-3


def test_singles_are_no_image_and_no_list_of_pairs(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run_folder), "--format", "petsird", "--singles"]
    assert main([*words, "--output", str(tmp_path / "a")]) == 1
    assert "--singles: they are written as parquet, hdf5, root" in capsys.readouterr().err
