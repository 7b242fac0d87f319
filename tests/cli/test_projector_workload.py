"""`bench projector --workload`: the lines of an npz, conventions, and files that are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from daq.cli.bench.projector_speed import save_projections
from daq.cli.bench.projector_workload import WorkloadError, read_workload, ring_workload

SIGMA_MM, WIDTH_MM = 6.0, 4.0


def entries(lines: int = 300) -> dict[str, np.ndarray]:
    """A small workload whose grid is not centred on the scanner."""
    rng = np.random.default_rng(1)
    angle = rng.uniform(0, 2 * np.pi, (2, lines))
    ends = [
        np.stack([50 * np.cos(a) + 7, 50 * np.sin(a), rng.uniform(-8, 8, lines)], 1) for a in angle
    ]
    return {
        "start": ends[0].astype(np.float32),
        "end": ends[1].astype(np.float32),
        "tof_bin": rng.integers(-6, 7, lines).astype(np.int16),
        "image_shape": np.array([16, 14, 6]),
        "voxel_size": np.array([2.0, 2.0, 3.0]),
        "image_origin": np.array([-9.0, -12.0, -8.0]),
        "tof_bin_width": np.float64(WIDTH_MM),
        "tof_sigma": np.float64(SIGMA_MM),
        "tof_num_sigmas": np.float64(3.0),
    }


def written(folder: Path, **changed: np.ndarray) -> Path:
    """Write the workload with some entries changed, or left out where they are None."""
    kept = {k: v for k, v in (entries() | changed).items() if v is not None}
    path = folder / "lines.npz"
    np.savez(path, **kept)
    return path


def test_lines_are_placed_relative_to_the_image(tmp_path: Path) -> None:
    """A line through voxel (0, 0, 0) alone sees that voxel, wherever the grid lies."""
    origin = entries()["image_origin"]
    along = np.array([50.0, 0.0, 0.0])
    path = written(
        tmp_path,
        start=np.float32([origin - along]),
        end=np.float32([origin + along]),
        tof_bin=np.int16([0]),
    )
    workload = read_workload(path)
    image = np.zeros(workload.grid.shape, np.float32)
    image[0, 0, 0] = 5.0
    out = tmp_path / "out.npz"
    save_projections(out, workload)
    assert np.load(out)["nontof_back"][:, 0, 0] == pytest.approx(np.full(16, 2.0))
    assert not np.load(out)["nontof_back"][:, 1:, 1:].any()


def test_positive_bins_lie_towards_the_end(tmp_path: Path) -> None:
    origin, along = entries()["image_origin"], np.array([50.0, 0.0, 0.0])
    line = {"start": np.float32([origin - along]), "end": np.float32([origin + along])}
    out = tmp_path / "out.npz"
    save_projections(out, read_workload(written(tmp_path, **line, tof_bin=np.int16([3]))))
    back = np.load(out)["tof_back"][:, 0, 0]
    assert back.argmax() == 6  # 3 bins of 4 mm from the line's middle, voxel 0: 6 voxels of 2 mm


def test_command_prints_rates_and_saves(tmp_path: Path, capsys) -> None:
    path, out = written(tmp_path), tmp_path / "out.npz"
    arguments = ["bench", "projector", "--quick", "--json"]
    assert main([*arguments, "--workload", str(path), "--save", str(out)]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    for mode in ("nontof", "tof"):
        for what in ("forward", "back", "em"):
            assert found[f"{mode}_{what}_MLORps"] > 0
    saved = np.load(out)
    assert saved["nontof_forward"].shape == saved["tof_forward"].shape == (300,)
    assert saved["nontof_back"].shape == saved["tof_back"].shape == (16, 14, 6)
    adjoint = saved["nontof_forward"].sum(dtype=np.float64)  # ones forward, ones back
    assert saved["nontof_back"].sum(dtype=np.float64) == pytest.approx(adjoint, rel=1e-6)


def test_image_and_values_of_the_file_are_used(tmp_path: Path) -> None:
    image = np.full((16, 14, 6), 2.0, np.float32)
    values = np.full(300, 3.0, np.float32)
    out = tmp_path / "out.npz"
    save_projections(out, read_workload(written(tmp_path)))
    plain = dict(np.load(out))
    save_projections(out, read_workload(written(tmp_path, image=image, values=values)))
    given = np.load(out)
    assert given["nontof_forward"] == pytest.approx(2 * plain["nontof_forward"], rel=1e-6)
    assert np.allclose(given["nontof_back"], 3 * plain["nontof_back"], rtol=1e-5)


NAN_START = entries()["start"].copy()
NAN_START[4, 1] = np.nan


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tof_bin": None}, "no tof_bin; needs start, end"),
        ({"start": np.zeros((300, 2), np.float32)}, r"start has shape \(300, 2\)"),
        ({"end": np.zeros((299, 3), np.float32)}, "300 start and 299 end"),
        ({"start": NAN_START}, "start: 1 of 900 numbers are not finite"),
        ({"end": np.full((300, 3), 1e7, np.float32)}, "places are in mm"),
        ({"tof_bin": np.zeros(300)}, "tof_bin is float64"),
        ({"tof_sigma": np.float64(-1)}, "sigma_mm = -1"),
        ({"tof_bin_width": np.float64(0)}, "bin_mm = 0"),
        ({"tof_num_sigmas": np.float64(np.nan)}, "tof_num_sigmas: 1 of 1 numbers are not finite"),
        ({"image_shape": np.array([16, 14])}, "image_shape holds 2 numbers"),
        ({"image_shape": np.array([16, 14, 0])}, "needs three sizes"),
        ({"voxel_size": np.array([2.0, 2.0, -3.0])}, "voxel size"),
        ({"image": np.ones((3, 3, 3))}, "image has shape"),
        ({"image_origin": np.array(["a", "b", "c"])}, "image_origin is of type"),
    ],
)
def test_bad_workload_is_refused_by_name(tmp_path: Path, changed, words: str) -> None:
    with pytest.raises(WorkloadError, match=words):
        read_workload(written(tmp_path, **changed))


def test_file_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_bytes(b"PK nonsense")
    with pytest.raises(WorkloadError, match="not a readable npz"):
        read_workload(path)
    with pytest.raises(WorkloadError, match="not a readable npz"):
        read_workload(tmp_path / "absent.npz")


def test_workload_belongs_to_the_projector(capsys) -> None:
    assert main(["bench", "sort", "--workload", "x.npz"]) != 0
    assert "bench projector" in capsys.readouterr().err


def test_our_own_workload_is_the_same_every_time() -> None:
    one, two = ring_workload(50), ring_workload(50)
    assert np.array_equal(one.lors.start, two.lors.start)
    assert np.hypot(one.lors.start[:, 0], one.lors.start[:, 1]) == pytest.approx(np.full(50, 150.0))
