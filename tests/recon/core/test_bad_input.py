"""Bad input of reconstruction: refused in words, or told in the image's notes; never NaN."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hw.scanner.geometry import build_geometry
from hw.scanner.preset_file import load_scanner
from hw.whole_file import whole_file
from oracles.reconstruction import simulated_records
from recon.analysis.picture import AnalysisError, read_picture
from recon.core.decay import MOST_HALF_LIVES, DecayError, decay_factor
from recon.core.frames import TimeSelection
from recon.core.grid import ImageGrid
from recon.core.mu_map import MuMapError, load_mu_map
from recon.core.quantification import Patient, QuantificationError
from recon.core.scanner_tables import ReconSystem
from recon.em.event_store import EventStore, EventStoreError
from recon.exchange.errors import ExchangeError
from recon.exchange.listmode.pept import read_pept
from recon.exchange.petsird.reader import energy_middles, tof_middles
from recon.exchange.petsird.yardl import Schema, YardlError
from recon.lines.crystal_products import LineArrayError
from recon.lines.model import LineModel
from recon.lines.normalisation import LiveShare
from recon.offline.gating import GateError, GateSignal
from recon.offline.motion import MotionError, PoseStream
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import Extras, reconstruct
from recon.offline.run_data import RunData

GRID = ImageGrid((8, 8, 8), (2.0, 2.0, 2.0))
WATER = np.full((8, 8, 8), 0.0096, dtype=np.float32)


@pytest.fixture(scope="module")
def point() -> np.ndarray:
    """Some 2,000 prompts of a source in the middle of bench2."""
    scanner = load_scanner("bench2")
    points = np.random.default_rng(0).normal(0.0, 1.0, (60_000, 3))
    return simulated_records(scanner, build_geometry(scanner), points)


@pytest.mark.parametrize("size", [np.nan, np.inf, 1e-12, 1e300, -2.0])
def test_a_map_whose_voxels_have_no_size_is_no_map(size: float, tmp_path: Path) -> None:
    path = tmp_path / "mu.npz"
    np.savez(path, mu_per_mm=WATER, voxel_mm=np.full(3, size))
    with pytest.raises(MuMapError, match="three sizes"):
        load_mu_map(path, GRID)


def test_nobody_is_told_to_unpickle_a_file(tmp_path: Path) -> None:
    (tmp_path / "mu.npz").write_bytes(b"no archive")
    with pytest.raises(MuMapError, match="not an npz of plain arrays") as raised:
        load_mu_map(tmp_path / "mu.npz", GRID)
    assert "pickle" not in str(raised.value)


def test_a_damaged_map_is_named_whatever_its_reader_says(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.random.default_rng(0).random((8, 8, 8), np.float32) / 100, np.eye(4))
    nib.save(image, tmp_path / "mu.nii")
    nib.save(image, tmp_path / "mu.nii.gz")
    raw, packed = ((tmp_path / name).read_bytes() for name in ("mu.nii", "mu.nii.gz"))
    giant = raw[:42] + np.full(3, 32767, "<i2").tobytes() + raw[48:]
    series = raw[:40] + np.array([4, 8, 8, 4, 2], "<i2").tobytes() + raw[50:]
    strange = raw[:70] + b"\xff\x7f" + raw[72:]
    damaged = packed[:60] + bytes(40) + packed[100:]
    found = {"giant.nii": giant, "series.nii": series, "strange.nii": strange, "d.nii.gz": damaged}
    for name, content in found.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MuMapError, match=name):
            load_mu_map(tmp_path / name, GRID)
        if name != "series.nii":
            with pytest.raises(AnalysisError, match=name):
                read_picture(tmp_path / name)


def test_no_decay_is_corrected_over_more_half_lives_than_can_be_measured() -> None:
    frame = TimeSelection.frame(3000.0, 3100.0)
    for reference_s in (3000.0 + 1.01 * MOST_HALF_LIVES * 76, 3000.0 - 1.01 * MOST_HALF_LIVES * 76):
        with pytest.raises(DecayError, match="half-lives"):
            decay_factor(frame, 76.0, reference_s)
    long = TimeSelection.frame(0.0, 1e5)  # nearly all of it without activity, its start is known
    assert decay_factor(long, 76.0, 0.0) == pytest.approx(1e5 * np.log(2) / 76.0)
    with pytest.raises(QuantificationError, match="half-lives"):
        Patient(weight_kg=70, injected_Bq=1e8, injected_s=-1e9).suv_per_Bq_per_mL(6586.0, 0.0)
    with pytest.raises(QuantificationError, match="weight_kg"):
        Patient(weight_kg=1e-300, injected_Bq=1e8)


def test_poses_and_gates_that_cannot_be_of_the_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="mm"):
        PoseStream(np.array([[0.0, 1e300, 0, 0, 0, 0, 0]]))
    path = tmp_path / "poses.csv"
    path.write_text("t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg\n0,0,0,0,0,0,0\n")
    with pytest.raises(MotionError, match="finite"):
        PoseStream.load(path, reference_s=np.nan)
    late = GateSignal("trigger", np.array([100.0, 101.0, 102.0]), np.zeros(0))
    with pytest.raises(GateError, match="since the run's start"):
        late.gates(2, duration_s=3.0)


def test_what_is_doubtful_stands_in_the_notes(point: np.ndarray) -> None:
    data = RunData.of_records(point, scanner=load_scanner("bench2"))
    away = np.zeros((2, 7))
    away[:, 0], away[:, 1] = (100.0, 200.0), 500.0
    plan = ReconOptions(iterations=1, subsets=500, scatter="none")
    made = reconstruct(data, plan, Extras(poses=PoseStream(away)))
    words = " ".join(made.metadata["notes"])
    assert np.isfinite(made.image).all()
    for told in ("no pose is known", "meet no voxel", "in place of 500"):
        assert told in words


def test_nothing_that_scatters_tells_no_scatter(point: np.ndarray) -> None:
    scanner = load_scanner("bench2")
    air = np.zeros(scanner.image.shape, np.float32)
    data = RunData.of_records(point, scanner=scanner, mu_map=air)
    made = reconstruct(data, ReconOptions(iterations=1, subsets=1, scatter="energy"))
    assert "nothing in the µ map scatters" in made.corrections.missing()["scatter"]


def test_live_times_of_nothing_are_refused() -> None:
    scanner = load_scanner("bench2")
    with pytest.raises(LineArrayError, match="0 for all pairs"):
        LiveShare.of_pairs(np.zeros((2, 2)), 1.0, scanner)


def test_a_full_disk_is_told_also_at_the_last_byte(
    point: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*, dir: Path, prefix: str) -> object:
        return Path("/dev/full").open("r+b")

    monkeypatch.setattr("recon.em.event_store.tempfile.TemporaryFile", refuse)
    system = ReconSystem.of(load_scanner("bench2"))
    with pytest.raises(EventStoreError, match="free some room"):
        EventStore.build([LineModel(system).events(point[:10])], memory_limit_bytes=1)


def test_two_writers_of_one_file_do_not_share_its_parts(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    with whole_file(path) as file:
        file.write(b"first")
        names = [one.name for one in tmp_path.iterdir()]
    assert len(names) == 1 and names[0] != ".part-image.nii"


@pytest.mark.parametrize("dead", ["one side", "all pairs", "all but nothing"])
def test_a_normalisation_that_no_line_survives_is_left_out_and_told(
    point: np.ndarray, dead: str
) -> None:
    scanner = load_scanner("bench2")
    efficiency = np.ones(scanner.n_crystals, np.float32)
    pairs = np.ones((2, 2), np.float32)
    if dead == "one side":
        efficiency[: len(efficiency) // 2] = 0
    elif dead == "all pairs":
        pairs[:] = 0
    else:
        efficiency *= np.float32(1e-30)  # products are 0 in single precision
    data = RunData.of_records(point, scanner=scanner, efficiency=efficiency, geometric=pairs)
    made = reconstruct(data, ReconOptions(iterations=1, subsets=1, scatter="none"))
    assert "would blank the scanner" in made.corrections.missing()["normalisation"]
    assert made.image.any() and np.isfinite(made.image).all()


def test_times_beyond_what_is_counted_in_are_of_no_frame() -> None:
    most = TimeSelection.frame(0.0, 1e300)
    times_ps = np.array([-(2**63), -1, 0, 10**18, 2**63 - 1])
    assert most.holds(times_ps).tolist() == [False, False, True, True, False]


def test_lines_of_one_moment_are_one_part(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("Separation= 700\n\n" + "5 200 300 210 310\n" * 3)
    (part,) = read_pept(path).parts(0.05)
    assert len(part[1]) == 3


@pytest.mark.parametrize("edges", [[0, 1, np.nan], [0, 1, np.inf], [0, 2, 1], [0, 1, 1e30]])
def test_bins_whose_edges_do_not_ascend_are_refused(edges: list[float]) -> None:
    with pytest.raises(ExchangeError, match="ascend"):
        tof_middles(np.array(edges))
    with pytest.raises(ExchangeError, match="ascend"):
        energy_middles(np.array(edges))


@pytest.mark.parametrize("text, words", [
    ("Separation= 1.2.3\n1 2 3 4 5\n", "Separation"),
    ("Separation= 0\n1 2 3 4 5\n", "Separation"),
    ("Separation= 700\n\n1 2 3 4 1e30\n2 2 3 4 5\n", "units"),
    ("Separation= 700\n\n1 2 3 4 5\n1e300 2 3 4 5\n", "units"),
])  # fmt: skip
def test_damaged_lists_of_lines_are_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(ExchangeError, match=words):
        read_pept(path)


def test_a_damaged_schema_is_refused() -> None:
    for types in ('[{"name": "A", "fields": [{"name": "x"}]}]', '[{"name": "A", "type": "A"}]'):
        with pytest.raises(YardlError, match="damaged"):
            Schema(f'{{"protocol": {{}}, "types": {types}}}').codec("A")
