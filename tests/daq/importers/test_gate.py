"""GATE's singles through our own wire: frames → order → window → coincidences → image."""

from __future__ import annotations

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from daq.cli import main
from daq.errors import ImportDataError
from daq.folder.run_config import RunConfig
from daq.importers.gate_singles import check_length, frames_of, read_gate_singles
from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.wire.protocol import ticks_to_ps, unpack_words
from oracles.frame_reader import open_frame

REFERENCE = os.environ.get("TOMOSHIBI_REFERENCE_DATA", "")


@pytest.fixture(scope="module")
def scanner():
    return load_scanner("caremibrain")


def write(path: Path, **changes) -> Path:
    """Write five made-up singles, with changes."""
    arrays = {
        "t_ns": np.array([3e6, 1e6, 2e6, 9e6, 2e6]),
        "E_keV": np.array([511.0, 200.0, 511.04, 2000.0, 0.3], dtype=np.float32),
        "xyz_mm": np.array([[130.0, 0.0, 0.0]] * 5, dtype=np.float32),
        "block": np.array([16, 16, 16, 16, 16], dtype=np.uint8),
    }
    arrays.update(changes)
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return path


def test_singles_come_out_of_the_frames_as_they_went_in(tmp_path, scanner):
    geometry = build_geometry(scanner)
    singles = read_gate_singles(write(tmp_path / "s.npz"), scanner, geometry)
    found = []
    for frames in frames_of(singles, scanner, run_tag=7):
        assert len(frames) == scanner.n_modules
        for frame in frames:
            header, words = open_frame(frame)
            fields = unpack_words(words)
            start = int(header["frame_id"]) << 28
            times = ticks_to_ps(fields["time"] + start)
            found += [
                (int(header["module"]), int(t), int(e))
                for t, e in zip(times, fields["energy"], strict=True)
            ]
    expected = [(16, 1e9, 2000), (16, 2e9, 5110), (16, 2e9, 3), (16, 3e9, 5110), (16, 9e9, 16383)]
    assert [(m, e) for m, _, e in found] == [(m, e) for m, _, e in expected]
    for (_, t, _), (_, wanted, _) in zip(found, expected, strict=True):
        assert 0 <= wanted - t < 20  # a tick of 19.53 ps, rounded down


def test_exact_deposits_are_noticed_and_blurred_as_the_preset_reads_them(tmp_path, scanner):
    geometry, n = build_geometry(scanner), 20_000
    centre, axes = geometry.module_centre_mm[16], geometry.module_axes[16]
    many = {
        "t_ns": np.arange(n) * 100.0,
        "E_keV": np.full(n, 511.0, np.float32),
        "xyz_mm": np.tile(centre + 5.0 * axes[2], (n, 1)).astype(np.float32),
        "block": np.full(n, 16, np.uint8),
    }
    path = write(tmp_path / "s.npz", **many)
    exact = read_gate_singles(path, scanner, geometry)
    read = read_gate_singles(path, scanner, geometry, blurred=True)
    assert exact.exact and not read.exact
    fwhm_keV = 2.3548 * read.energy_dkeV.std() / 10
    assert fwhm_keV == pytest.approx(511 * scanner.response.energy_fwhm_511, rel=0.02)
    u_mm = (read.crystal % scanner.module.n_u) * scanner.module.pitch_u_mm
    wanted_mm = np.hypot(
        scanner.response.position_fwhm_mm / 2.3548, scanner.module.pitch_u_mm / 12**0.5
    )
    assert u_mm.std() == pytest.approx(wanted_mm, rel=0.1)
    assert len(set(exact.crystal)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"block": None}, "no array block"),
        ({"block": np.full(5, 48)}, r"block 48 is not in caremibrain.*--scanner"),
        ({"t_ns": np.array([1.0, 2.0, np.nan, 4.0, 5.0])}, "finite"),
        ({"t_ns": np.array([1.0, 2.0, -3.0, 4.0, 5.0])}, "t_ns must be"),
        ({"E_keV": np.array([1.0, 2.0, -3.0, 4.0, 5.0])}, "E_keV"),
        ({"E_keV": np.ones(4)}, "of one length"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(tmp_path, scanner, changes, words):
    path = write(tmp_path / "bad.npz", **changes)
    with pytest.raises(ImportDataError, match=words):
        read_gate_singles(path, scanner, build_geometry(scanner))


def test_a_file_that_is_no_npz_is_refused(tmp_path, scanner):
    path = tmp_path / "text.npz"
    path.write_text("hello", encoding="utf-8")
    with pytest.raises(ImportDataError, match="cannot be read"):
        read_gate_singles(path, scanner, build_geometry(scanner))


def run_json(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def needs(name: str) -> Path:
    path = Path(REFERENCE) / "gate" / name
    if not REFERENCE or not path.is_file():
        pytest.skip(f"no {name}: set TOMOSHIBI_REFERENCE_DATA to the reference data")
    return path


@pytest.mark.reference_data
def test_gates_water_cylinder_sorts_through_the_wire_to_gates_own_counts(tmp_path, capsys):
    """GATE found 80,433 prompts and 2,782 delayeds; ticks of 19.53 ps may move a few tens."""
    source = str(needs("watercyl20cm_2MBq_200ms_singles.npz"))
    runs = ("--runs", str(tmp_path))
    run = run_json(capsys, "import", "gate", source, "--scanner", "caremibrain", *runs)["run"]
    again = run_json(
        capsys, "sort", run, "--window-ns", "5", "--energy-keV", "0:2000", "--policy", "all",
        "--delay-ns", "500",
    )  # fmt: skip
    assert again["singles"]["received"] == 332_560
    assert abs(again["prompts"] - 80_433) <= 40
    assert abs(again["delayeds"] - 2_782) <= 20
    assert run_json(capsys, "replay", run, "--verify")["identical"] is True


@pytest.mark.reference_data
@pytest.mark.timeout(240)
def test_gates_point_source_is_found_within_half_a_voxel(tmp_path, capsys):
    source = str(needs("point_center_2e5decays_singles.npz"))
    rate = ("--decays-per-s", "1e6", "--runs", str(tmp_path))
    run = run_json(capsys, "import", "gate", source, *rate)
    assert run["prompts"] > 20_000
    made = run_json(capsys, "reconstruct", run["run"], "--iterations", "2", "--subsets", "4")
    image = nib.load(made["image"])
    data = np.clip(image.get_fdata() - 0.3 * image.get_fdata().max(), 0, None)
    indices = np.meshgrid(*[np.arange(n) for n in data.shape], indexing="ij")
    centroid = [float((axis * data).sum() / data.sum()) for axis in indices]
    centre = (np.array(data.shape) - 1) / 2
    assert np.abs(np.array(centroid) - centre).max() < 0.5


def test_relative_times_without_a_rate_are_refused(tmp_path, scanner):
    n = 2000
    path = write(
        tmp_path / "relative.npz",
        t_ns=np.linspace(0, 2, n),
        E_keV=np.full(n, 511.0),
        xyz_mm=np.tile([130.0, 0.0, 0.0], (n, 1)),
        block=np.full(n, 16),
        event=np.arange(n),
    )
    with pytest.raises(ImportDataError, match="--decays-per-s"):
        read_gate_singles(path, scanner, build_geometry(scanner))
    placed = read_gate_singles(path, scanner, build_geometry(scanner), decays_per_s=1e6)
    assert len(placed) == n


def test_the_imported_run_says_where_it_came_from(tmp_path, capsys):
    path = write(tmp_path / "five.npz")
    run = run_json(capsys, "import", "gate", str(path), "--runs", str(tmp_path / "runs"))
    config = json.loads((Path(run["run"]) / "run.json").read_text(encoding="utf-8"))["config"]
    assert config["labels"]["imported"] == "five.npz"
    assert RunConfig(**{**config, "settings": None}).scanner().name == "caremibrain"
    assert run["conserved"] is True


def test_a_gap_that_would_fill_the_disk_with_empty_frames_is_refused(tmp_path, capsys):
    times_ns = np.array([3e6, 1e6, 2e6, 24 * 3600e9, 2e6])
    path = write(tmp_path / "day.npz", t_ns=times_ns)
    runs = tmp_path / "runs"
    assert main(["import", "gate", str(path), "--runs", str(runs)]) == 1
    assert "86400 s without a single before 86400 s" in (told := capsys.readouterr().err)
    assert "--gap 86400" in told
    assert list(runs.iterdir()) == []


def test_a_run_larger_than_the_free_disk_is_refused_before_it_is_begun(tmp_path, scanner):
    path = write(tmp_path / "hour.npz", t_ns=np.array([3e6, 1e6, 2e6, 3600e9, 2e6]))
    singles = read_gate_singles(path, scanner, build_geometry(scanner))
    check_length(singles, scanner, gap_s=4000.0, free=10**12)
    with pytest.raises(ImportDataError, match=r"would take 2\.\d+ GB, 1 GB are free"):
        check_length(singles, scanner, gap_s=4000.0, free=10**9)


def test_arrays_of_another_kind_are_refused_by_name(tmp_path, scanner):
    for changes in (
        {"t_ns": np.array(["a"] * 5)},
        {"xyz_mm": np.zeros((5, 2))},
        {"xyz_mm": np.zeros((5, 3), complex)},
        {"E_keV": np.zeros((5, 5))},
        {"block": np.full(5, 1.5)},
        {"block": np.float64(3)},
        {"event": np.arange(3)},
    ):
        path = write(tmp_path / "s.npz", **changes)
        with pytest.raises(ImportDataError, match=next(iter(changes))):
            read_gate_singles(path, scanner, build_geometry(scanner), decays_per_s=10.0)
