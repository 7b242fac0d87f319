"""`tomoshibi reconstruct` and `calibrate activity` on a small emulated run, whole and damaged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from daq.cli import main
from daq.folder.listmode_log import FILE_NAME, ListmodeReader, ListmodeWriter
from daq.folder.run_config import RunConfig, default_settings
from daq.service.run import Run
from emulator.config import EmulatorConfig
from emulator.engines.emulation import frames_of_run
from emulator.engines.prepare import prepare
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.wire.block_layout import BlockKind
from recon.core.frames import TimeSelection
from recon.core.grid import ReconError
from recon.offline.run_reader import LogIndex, run_data

PERIODS, ACTIVITY_BQ = 60, 4e6


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed run of a point source in bench2, 0.31 s."""
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=ACTIVITY_BQ, seed=5)
    run = Run(
        RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"),
            settings=default_settings(load_scanner("bench2")),
            run_tag=9,
            name="point",
            labels={"nuclide": "F-18"},
        ),
        tmp_path_factory.mktemp("runs"),
    )
    for frames in frames_of_run(prepare(config), config, periods=PERIODS, run_tag=9):
        run.process([bytes(frame) for frame in frames])
    run.finish()
    return run.folder


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(list(arguments)) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_the_log_is_read_in_parts_by_time(run_folder: Path) -> None:
    data = run_data(run_folder)
    whole = ListmodeReader(run_folder / FILE_NAME).read_all(BlockKind.PROMPTS)
    assert np.array_equal(np.concatenate(list(data.prompts())), whole)
    middle = TimeSelection.frame(0.1, 0.2)
    chosen = whole[(whole["time_ps"] >= 0.1e12) & (whole["time_ps"] < 0.2e12)]
    assert np.array_equal(np.concatenate(list(data.prompts(middle))), chosen)
    index = LogIndex(run_folder / FILE_NAME)
    read = sum(len(part) for part in index.parts(BlockKind.PROMPTS, 0.1, 0.2))
    assert read < 0.5 * index.count(BlockKind.PROMPTS)


def test_frames_sum_up_and_the_image_says_what_was_done(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "frames.nii.gz"
    asked = ("--frames", "0:0.1,0.1:0.3,5:6", "--iterations", "1", "--subsets", "2")
    made = said(capsys, "reconstruct", str(run_folder), *asked, "--parametric", "mean",
                "--output", str(target), "--json")  # fmt: skip
    image = nib.load(target).get_fdata()
    assert image.shape == (32, 32, 32, 3) and np.isfinite(image).all()
    assert not image[..., 2].any()
    assert sum(frame["prompts"] for frame in made["frames"]) <= made["prompts"]
    totals = image.sum(axis=(0, 1, 2))[:2]
    assert totals[1] == pytest.approx(totals[0], rel=0.1)  # 4,000 prompts: 2 %, and its dead time
    applied = made["corrections"]
    assert applied["dead_time"] and applied["decay"] and not applied["attenuation"]
    words = " ".join(made["notes"])
    assert "beyond the run's end" in words and "no prompts" in words
    assert (tmp_path / "frames-mean.nii.gz").exists()


def test_what_is_required_and_not_possible_is_an_error(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(run_folder), "--require", "attenuation"]) == 1
    assert "correction attenuation is required" in capsys.readouterr().err


@pytest.mark.parametrize("asked, words", [
    (("--frames", "0:0"), "0 ≤ start < end"),
    (("--gates", "4"), "go together"),
    (("--format", "jpeg"), "choose from nifti"),
    (("--parametric", "mean"), "give --frames"),
    (("--frames", "2x0.1", "--parametric", "patlak"), "--input"),
    (("--suv",), "--weight-kg"),
    (("--decay-reference", "noon"), "neither s since"),
    (("--algorithm", "osem", "--prior", "rdp"), "bsrem"),
    (("--iterations", "0"), "must lie in"),
    (("--stop", "soon"), "stop rule"),
    (("--peaks", "Lu-177_208"), "for SPECT runs"),
    (("--pose-reference", "1"), "--poses"),
    (("--decay-reference", "1e9"), "half-lives"),
    (("--decay-reference=-1e12",), "half-lives"),
    (("--suv", "--weight-kg", "70", "--injected-MBq", "100"), "no activity calibration"),
    (("--frames", "0:0.2", "--parametric", "mean"), "2 --frames or more"),
    (("--frames", "2x0.1", "--parametric", "patlak", "--input", "none.csv"), "none.csv"),
    (("--output", "image.txt"), ".nii"),
    (("--output", "."), "folder"),
    (("--output", "/dev/null/image.nii"), "folder"),
    (("--mu-map", "none.nii.gz"), "none.nii.gz"),
    (("--voxel-mm", "0.01"), "voxel_mm"),
    (("--centre-mm", "0,0,300"), "outside the scanner"),
    (("--over-mm", "-3"), "must lie in"),
])  # fmt: skip
def test_nonsense_is_refused_in_words(
    asked: tuple[str, ...], words: str, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(run_folder), *asked]) == 1
    assert words in capsys.readouterr().err


def test_a_second_image_never_overwrites_one_made_otherwise(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(run_folder, folder)
    plan = ("reconstruct", str(folder), "--subsets", "2", "--scatter", "none", "--json")

    def name_of(*more: str) -> str:
        return Path(said(capsys, *plan, *more)["image"]).name

    assert name_of("--iterations", "1") == "osem.nii.gz"
    first = (folder / "images" / "osem.nii.gz").read_bytes()
    assert name_of("--iterations", "2") == "osem-2.nii.gz"
    assert name_of("--iterations", "1", "--threads", "1") == "osem.nii.gz"  # nothing differs
    assert name_of("--iterations", "2") == "osem-2.nii.gz"
    assert name_of("--iterations", "2", "--nuclide", "C-11") == "osem-3.nii.gz"
    assert (folder / "images" / "osem.nii.gz").read_bytes() == first
    target = str(folder / "images" / "osem.nii.gz")
    assert main([*plan, "--iterations", "3", "--output", target]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert name_of("--iterations", "3", "--output", target, "--overwrite") == "osem.nii.gz"
    assert (folder / "images" / "osem.nii.gz").read_bytes() != first


def test_a_file_that_the_image_is_made_with_counts_as_a_choice(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    poses, target = tmp_path / "poses.csv", tmp_path / "image.nii.gz"
    head = "t_s,x_mm,y_mm,z_mm,rx_deg,ry_deg,rz_deg\n"
    poses.write_text(head + "0,0,0,0,0,0,0\n1,0,0,0,0,0,0\n")
    plan = ("reconstruct", str(run_folder), "--iterations", "1", "--poses", str(poses), "--output",
            str(target), "--json")  # fmt: skip
    said(capsys, *plan)
    said(capsys, *plan)
    poses.write_text(head + "0,1,0,0,0,0,0\n1,1,0,0,0,0,0\n")
    assert main(list(plan)) == 1
    assert "made otherwise" in capsys.readouterr().err


def test_voxels_and_field_are_chosen(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "part.nii.gz"
    said(capsys, "reconstruct", str(run_folder), "--iterations", "1", "--voxel-mm", "2,2,1",
         "--fov-mm", "12", "--centre-mm", "3,-2,1", "--output", str(target), "--json")  # fmt: skip
    image = nib.load(target)
    assert image.shape == (6, 6, 12)
    middle = nib.affines.apply_affine(image.affine, (np.array(image.shape) - 1) / 2)
    np.testing.assert_allclose(middle, [3, -2, 1])


def test_a_log_cut_in_the_middle_is_used_as_far_as_it_goes(
    run_folder: Path, tmp_path: Path
) -> None:
    torn = tmp_path / "torn"
    shutil.copytree(run_folder, torn)
    log = torn / FILE_NAME
    log.write_bytes(log.read_bytes()[: log.stat().st_size * 2 // 3])
    (torn / "randoms.npz").unlink()
    data, whole = run_data(torn), run_data(run_folder)
    found = np.concatenate(list(data.prompts()))
    assert np.array_equal(found, np.concatenate(list(whole.prompts()))[: len(found)])
    assert 0.5 * whole.duration_s < data.duration_s < 0.8 * whole.duration_s
    assert "last whole block" in " ".join(data.notes)
    assert data.pair_live_s is None and "live times" in " ".join(data.notes)
    shutil.copy(run_folder / "randoms.npz", torn)  # of the whole run, longer than the log
    assert run_data(torn).duration_s == data.duration_s


@pytest.mark.parametrize("name, made_of", [
    ("detector_s", np.nan), ("detector_s", 1e30), ("detector_s", "x"), ("detector_s", np.ones(3)),
    ("crystal_singles", -1.0), ("pair_live_s", np.inf), ("pair_live_s", None),
])  # fmt: skip
def test_damaged_live_times_are_left_out_and_told(
    name: str, made_of: Any, run_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(run_folder, folder)
    path = folder / "randoms.npz"
    with np.load(path) as file:
        arrays = dict(file)
    if made_of is None:
        path.write_bytes(path.read_bytes()[:-300])  # no zip archive any more
    else:
        same = np.ndim(made_of) == 0 and name != "detector_s"
        arrays[name] = np.full(arrays[name].shape, made_of) if same else np.array(made_of)
        np.savez(path, **arrays)
    data = run_data(folder)
    assert data.pair_live_s is None and "randoms.npz" in " ".join(data.notes)
    assert data.duration_s < 1.0


def test_a_damaged_configuration_is_named(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(run_folder, folder)
    (folder / "summary.json").write_text("[]")
    assert run_data(folder).hash == ""
    (folder / "run.json").write_text("[]")
    assert main(["reconstruct", str(folder)]) == 1
    assert str(folder / "run.json") in capsys.readouterr().err


def test_an_image_does_not_overwrite_a_file_of_the_run(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(run_folder), "--output", str(run_folder / "run.nii.gz")]) == 1
    assert "overwrite" in capsys.readouterr().err


def test_a_log_of_another_scanner_is_refused(run_folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(run_folder, other)
    head = json.loads((other / "run.json").read_text())
    head["config"]["scanner_toml"] = scanner_to_toml_text("caremibrain")
    (other / "run.json").write_text(json.dumps(head))
    with pytest.raises(ReconError, match="another run's"):
        run_data(other)


def test_a_factor_brings_the_region_back_to_what_was_filled_in(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    factor = tmp_path / "activity.json"
    region = ("--region", "6,8", "--iterations", "2", "--subsets", "2")
    made = said(capsys, "calibrate", "activity", str(run_folder), "--concentration-Bq-mL", "1e6",
                *region, "--output", str(factor), "--json")  # fmt: skip
    assert made["factor"] == pytest.approx(json.loads(factor.read_text())["factor"])
    target = tmp_path / "image.nii.gz"
    plan = ("--iterations", "2", "--subsets", "2", "--calibration", str(factor))
    image = said(capsys, "reconstruct", str(run_folder), *plan, "--injected-MBq", "1",
                 "--output", str(target), "--json")  # fmt: skip
    assert image["unit"] == "Bq/mL" and image["corrections"]["calibration"]
    about = json.loads((tmp_path / "image.json").read_text())  # what was injected, without a weight
    assert (about["InjectedRadioactivity"], about.get("weight_kg")) == (1.0, None)
    data = nib.load(target).get_fdata()
    place = (np.arange(32) - 15.5) * 1.0
    x, y, z = np.ix_(place, place, place)
    inside = (x**2 + y**2 <= 36) & (np.abs(z) <= 4)
    assert data[inside].mean() == pytest.approx(1e6, rel=1e-4)
    with_suv = ("--weight-kg", "0.001", "--injected-MBq", "1", "--suv")
    suv = said(capsys, "reconstruct", str(run_folder), *plan, *with_suv,
               "--overwrite", "--output", str(target), "--json")  # fmt: skip
    assert suv["unit"] == "SUV"
    assert nib.load(target).get_fdata()[inside].mean() == pytest.approx(1.0, rel=1e-4)


def test_activity_is_calibrated_with_a_resolution_model_and_without_a_prior(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plain OSEM reads high: the noise of its voxels cannot go below 0."""
    output = str(tmp_path / "activity.json")
    made = said(capsys, "calibrate", "activity", str(run_folder), "--concentration-Bq-mL", "1e6",
                "--region", "6,8", "--output", output, "--json")  # fmt: skip
    (chosen,) = (note for note in made["notes"] if "counts" in note)
    assert "resolution model" in chosen and "BSREM" not in chosen and "prior" not in chosen


def damaged(run_folder: Path, tmp_path: Path, **files: bytes | None) -> Path:
    """A copy of the run with other content in some of its files, or without them."""
    folder = tmp_path / "damaged"
    shutil.copytree(run_folder, folder)
    for name, content in files.items():
        path = folder / {"log": FILE_NAME, "raw": "raw.tmraw"}[name]
        path.unlink()
        if content is not None:
            path.write_bytes(content)
    return folder


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 100], ids=["gone", "empty", "damaged"])
@pytest.mark.parametrize("command", [("reconstruct",), ("export", "--format", "castor")])
def test_a_log_that_is_gone_or_damaged_is_named_with_the_way_to_make_it_again(
    content: bytes | None, command: tuple[str, ...], run_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = damaged(run_folder, tmp_path, log=content)
    assert main([*command, str(folder)]) == 1
    told = capsys.readouterr().err
    assert str(folder / FILE_NAME) in told and "tomoshibi sort" in told


def test_a_log_cut_in_the_middle_is_exported_with_a_note(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(run_folder, tmp_path, log=(run_folder / FILE_NAME).read_bytes()[:-5000])
    path = tmp_path / "cut.petsird"
    made = said(capsys, "export", str(folder), "--format", "petsird", "--output", str(path),
                "--json")  # fmt: skip
    assert made["prompts"] > 1000 and "left out" in made["notes"][0]


def test_a_bit_that_flipped_in_the_log_costs_a_block_and_is_told(
    run_folder: Path, tmp_path: Path
) -> None:
    content = bytearray((run_folder / FILE_NAME).read_bytes())
    content[len(content) // 2] ^= 1
    data = run_data(damaged(run_folder, tmp_path, log=bytes(content)))
    assert data.damaged and "damaged at byte" in " ".join(data.notes)
    counts = [sum(map(len, one.prompts())) for one in (data, run_data(run_folder))]
    assert 0.5 * counts[1] < counts[0] < counts[1]


def test_a_damaged_raw_log_does_not_hinder_an_image_of_the_list(
    run_folder: Path, tmp_path: Path
) -> None:
    assert run_data(damaged(run_folder, tmp_path, raw=b"\xff" * 100)).efficiency is None


@pytest.mark.parametrize("time_ps, words", [
    (-1, "damaged"), (2**63 - 1, "damaged"), (0, "no rate"),
])  # fmt: skip
def test_times_that_cannot_be_a_run_s_are_refused(
    time_ps: int, words: str, run_folder: Path, tmp_path: Path
) -> None:
    folder = damaged(run_folder, tmp_path, log=None)
    (folder / "randoms.npz").unlink()
    whole = ListmodeReader(run_folder / FILE_NAME)
    prompts = whole.read_all(BlockKind.PROMPTS)[:100].copy()
    prompts["time_ps"] = time_ps
    log = ListmodeWriter(folder / FILE_NAME, {k: v for k, v in whole.head.items() if k != "format"})
    log.append(BlockKind.PROMPTS, prompts)
    log.close({})
    with pytest.raises(ReconError, match=words):
        run_data(folder)


@pytest.mark.parametrize("asked, words", [
    (("--activity-error-percent", "nan"), "0..100"),
    (("--activity-at", "1e300"), "half-lives"),
    (("--activity-at", "nan"), "half-lives"),
    (("--region=-5,3",), "above 0"),
    (("--nuclide", "Tc-99m"), "no positrons"),
    (("--concentration-Bq-mL", "1e30"), "beyond"),
    (("--output", "/proc/none/a.json"), "no folder"),
])  # fmt: skip
def test_a_calibration_that_no_image_could_use_is_not_written(
    asked: tuple[str, ...], words: str, run_folder: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    target = tmp_path / "activity.json"
    usual = ("--concentration-Bq-mL", "5000", "--region", "10,20", "--iterations", "1",
             "--subsets", "1", "--output", str(target))  # fmt: skip
    assert main(["calibrate", "activity", str(run_folder), *usual, *asked]) == 1
    assert words in capsys.readouterr().err and not target.exists()


@pytest.mark.parametrize("nuclide", ["F-18+Ga-68", None])
def test_labels_are_free_words_and_hinder_no_file(
    nuclide: Any, run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(run_folder, tmp_path)
    head = json.loads((folder / "run.json").read_text())
    head["created"], head["config"]["labels"]["nuclide"] = "", nuclide
    (folder / "run.json").write_text(json.dumps(head))
    image, lines = tmp_path / "image.nii", tmp_path / "lines.petsird"
    said(capsys, "reconstruct", str(folder), "--format", "nifti,interfile,dicom", "--iterations",
         "1", "--subsets", "1", "--output", str(image), "--json")  # fmt: skip
    assert (tmp_path / "image.hv").exists() and (tmp_path / "image-dicom").is_dir()
    said(capsys, "export", str(folder), "--format", "petsird", "--output", str(lines), "--json")
