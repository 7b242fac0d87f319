"""`tomoshibi reconstruct --format dicom` on small runs: a viewer's SUV, times, UIDs and place."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from daq.cli import main
from daq.folder.run_folder import started_at
from daq.folder.run_identity import RunIdentity
from hw.scanner.preset_file import load_scanner
from oracles import dicom_suv as viewer
from recon.core.mu_map import FRAME_KEY
from rigs.exchange_data import dciodvfy
from rigs.runs.short_run import emulated
from rigs.runs.spect_run_folder import CREATED, write_spect_run

FAST = ("--iterations", "1", "--subsets", "1", "--scatter", "none", "--no-block-efficiency")
CT_FRAME = "1.2.826.0.1.3680043.8.498.77"


@pytest.fixture(scope="module")
def mu_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mu") / "mu.npz"
    grid = load_scanner("bench2").image
    values = np.full(grid.shape, 0.002, np.float32)
    np.savez(path, mu_per_mm=values, voxel_mm=grid.voxel_mm, **{FRAME_KEY: CT_FRAME})
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, mu_map: Path) -> Path:
    """A run with a µ map from a CT, and an activity calibration beside it."""
    folder = emulated(tmp_path_factory.mktemp("runs"), "run", mu_map=str(mu_map))
    asked = ("--concentration-Bq-mL", "5000", "--region", "10,20", *FAST)
    made = ("--output", str(folder / "activity.json"))
    assert main(["calibrate", "activity", str(folder), *asked, *made]) == 0
    return folder


def reconstructed(
    capsys: pytest.CaptureFixture[str], folder: Path, path: Path, *asked: str
) -> dict[str, Any]:
    arguments = ["reconstruct", str(folder), *FAST, "--format", "nifti,dicom", "--output"]
    assert main([*arguments, str(path), *asked, "--json"]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_a_viewer_finds_the_suv_of_the_run_at_every_decay_reference(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = started_at(run_folder)
    assert start is not None
    injected_s = -300.0
    references = {
        "-300": "ADMIN", "0": "START", "-100": "START", "0.2": "START", "250": "START",
        (start - timedelta(seconds=1000)).isoformat(): "START",
        (start + timedelta(seconds=injected_s)).isoformat(): "ADMIN",
    }  # fmt: skip
    patient = ("--weight-kg", "62", "--injected-MBq", "300", "--injected-at", str(injected_s))
    first = None
    for reference, term in references.items():
        path = tmp_path / "suv.nii.gz"
        made = reconstructed(
            capsys, run_folder, path, *patient, f"--decay-reference={reference}",
            "--frames", "0:0.1,0.1:0.3", "--overwrite",
        )  # fmt: skip
        (series,) = viewer.series_in(tmp_path / "suv-dicom")
        assert series[0].DecayCorrection == term
        ours = nib.load(path).get_fdata()[..., 1] * made["suv_factor"]
        theirs = viewer.suv(series[32:])[:, ::-1, ::-1].transpose(2, 1, 0)
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-4 * ours.max())
        first = ours if first is None else first
        np.testing.assert_allclose(theirs, first, rtol=1e-4, atol=1e-4 * ours.max())


def test_the_suv_of_a_run_follows_from_its_study(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Kept with the run: the same as named on the command line, less the residual."""
    start = started_at(run_folder)
    assert start is not None
    given = (start - timedelta(seconds=300)).isoformat()
    known = ("--weight-kg", "62", "--injected-MBq", "310", "--injected-at", given)
    known += ("--age-years", "61", "--height-cm", "172", "--tracer", "FDG F-18")
    residual = ("--residual-MBq", "10", "--residual-at", given)
    assert main(["study", str(run_folder), *known, *residual, "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["net_injected_Bq"] == pytest.approx(300e6)
    assert told["doubts"] == []
    try:
        made = reconstructed(capsys, run_folder, tmp_path / "study.nii.gz", "--suv")
        named = ("--weight-kg", "62", "--injected-MBq", "300", "--injected-at", "-300")
        other = reconstructed(capsys, run_folder, tmp_path / "named.nii.gz", "--suv", *named)
        assert made["suv_factor"] == pytest.approx(other["suv_factor"], rel=1e-9)
        (series,) = viewer.series_in(tmp_path / "study-dicom")
        one = series[0]
        assert (float(one.PatientWeight), one.PatientAge, float(one.PatientSize)) == (
            62,
            "061Y",
            1.72,
        )
        assert one.RadiopharmaceuticalInformationSequence[0].Radiopharmaceutical == "FDG F-18"
        assert "ReviewerName" not in one
    finally:
        (run_folder / "study.json").unlink()


def test_a_review_that_was_signed_stands_in_image_and_dicom(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--keep", "--by", "M. Tanaka", "--note", "no motion seen")
    try:
        assert main(["review", str(run_folder), *words]) == 0
        assert "keep; reviewed by M. Tanaka at" in capsys.readouterr().out
        made = reconstructed(capsys, run_folder, tmp_path / "reviewed.nii.gz")
        assert made["review"]["verdict"] == "keep"
        (series,) = viewer.series_in(tmp_path / "reviewed-dicom")
        one = series[0]
        assert (one.ApprovalStatus, str(one.ReviewerName)) == ("APPROVED", "M. Tanaka")
        assert len(one.ReviewDate) == 8
        assert "reviewed by M. Tanaka; no motion seen" in one.ImageComments
        assert main(["runs", "--runs", str(run_folder.parent)]) == 0
        assert "keep ✓" in capsys.readouterr().out
    finally:
        (run_folder / "review.json").unlink()


def test_a_heartbeat_in_two_frames(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    beats = tmp_path / "r.csv"
    beats.write_text("t_s\n" + "".join(f"{0.005 + 0.04 * k:.3f}\n" for k in range(9)))
    asked = ("--gates", "2", "--gate-signal", str(beats), "--frames", "0:0.13,0.13:0.3")
    reconstructed(capsys, run_folder, tmp_path / "a.nii.gz", *asked, "--gate-source", "cardiac")
    all_series = viewer.series_in(tmp_path / "a-dicom")
    assert [made[0].SeriesNumber for made in all_series] == [1, 2]
    start = started_at(run_folder)
    assert start is not None
    for series, start_s, end_s in zip(all_series, (0.0, 0.13), (0.13, 0.3), strict=True):
        assert len(series) == 2 * 32
        first, last = viewer.acquired(series[0])
        assert abs((first - start).total_seconds() - start_s) < 1e-5
        assert abs((last - start).total_seconds() - end_s) < 1e-3
        assert [float(made.TriggerTime) for made in series[::32]] == pytest.approx([0, 20])
        assert [float(made.FrameTime) for made in series[::32]] == pytest.approx([20, 20])
        assert not dciodvfy(tmp_path / "a-dicom" / "PT000001.dcm")[0]
    reconstructed(capsys, run_folder, tmp_path / "b.nii.gz", *asked)  # nobody says: a heartbeat
    assert {str(made[0].SeriesType[0]) for made in viewer.series_in(tmp_path / "b-dicom")} == {
        "STATIC"
    }


# --- UIDs -------------------------------------------------------------------------------------


def test_two_images_of_a_run_are_two_series_of_its_study(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reconstructed(capsys, run_folder, tmp_path / "a.nii.gz")
    reconstructed(capsys, run_folder, tmp_path / "b.nii.gz", "--no-randoms")
    (one,), (other,) = (viewer.series_in(tmp_path / f"{name}-dicom") for name in "ab")
    uid = RunIdentity.of(run_folder).study_uid
    assert one[0].StudyInstanceUID == other[0].StudyInstanceUID == uid
    assert one[0].SeriesInstanceUID != other[0].SeriesInstanceUID
    assert not {made.SOPInstanceUID for made in one} & {made.SOPInstanceUID for made in other}


def test_spect_has_its_date_and_its_own_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for site in ("here", "there"):
        folder = write_spect_run(tmp_path / site / "spect-1", patient_position="FFS")
        path = tmp_path / site / "a.nii.gz"
        asked = ["reconstruct", str(folder), "--iterations", "1", "--subsets", "1"]
        for name in ("a", "b"):
            output = ["--output", str(path.with_name(f"{name}.nii.gz")), "--format", "dicom"]
            more = ["--fwhm-mm", "8"] if name == "b" else []
            assert main([*asked, *output, *more]) == 0, capsys.readouterr().err
            made.append(pydicom.dcmread(path.with_name(f"{name}.dcm")))
            assert not dciodvfy(path.with_name(f"{name}.dcm"))[0]
        assert made[-1].StudyInstanceUID == RunIdentity.of(folder).study_uid
    assert {one.AcquisitionDate for one in made} == {"20261121"}
    assert {one.AcquisitionTime[:6] for one in made} == {CREATED[11:19].replace(":", "")}
    assert made[0].StudyInstanceUID == made[1].StudyInstanceUID != made[2].StudyInstanceUID
    assert len({one.SeriesInstanceUID for one in made}) == 4
    assert len({one.SOPInstanceUID for one in made}) == 4
    # feet first, supine: +x is the left, so the camera at our 0° stands at DICOM's 90°, and what
    # turns from +x to +y turns from the left to the front, as DICOM's angle grows
    turn = made[0].RotationInformationSequence[0]
    assert (float(turn.StartAngle), turn.RotationDirection) == (90.0, "CC")
    # its planes go to the head: rows from right to left, columns from front to back
    assert list(made[0].DetectorInformationSequence[0].ImageOrientationPatient) == [
        1, 0, 0, 0, 1, 0,
    ]  # fmt: skip


# --- place ------------------------------------------------------------------------------------


def test_the_frame_of_reference_is_that_of_the_ct_that_the_mu_map_names(
    run_folder: Path, mu_map: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, asked, uid in (
        ("own", (), CT_FRAME),
        ("off", ("--attenuation", "none"), CT_FRAME),
        ("said", ("--frame-of-reference", "1.2.3"), "1.2.3"),
    ):
        reconstructed(capsys, run_folder, tmp_path / f"{name}.nii.gz", *asked)
        (series,) = viewer.series_in(tmp_path / f"{name}-dicom")
        assert {made.FrameOfReferenceUID for made in series} == {uid}
    plain = tmp_path / "plain"
    shutil.copytree(run_folder, plain)
    (plain / "mu_map.npz").unlink()
    reconstructed(capsys, plain, tmp_path / "none.nii.gz")
    (series,) = viewer.series_in(tmp_path / "none-dicom")
    assert series[0].FrameOfReferenceUID == RunIdentity.of(plain).frame_of_reference_uid


def test_the_patients_position_is_a_setting_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = emulated(tmp_path, "prone", patient_position="HFP")
    made = reconstructed(capsys, folder, tmp_path / "a.nii.gz")
    assert made["patient_position"] == "HFP"
    (series,) = viewer.series_in(tmp_path / "a-dicom")
    assert list(series[0].ImageOrientationPatient) == [-1, 0, 0, 0, -1, 0]
    words = json.loads((tmp_path / "a.json").read_text())["orientation"]
    assert "HFP" in words and "+x L, +y P, +z S" in words
    reconstructed(capsys, folder, tmp_path / "b.nii.gz", "--patient-position", "unknown")
    (series,) = viewer.series_in(tmp_path / "b-dicom")
    assert not series[0].PatientOrientationCodeSequence
    assert "not known" in json.loads((tmp_path / "b.json").read_text())["orientation"]
