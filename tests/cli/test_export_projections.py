"""`tomoshibi export` of a SPECT run: projections as the standard, PyTomography and STIR read them.

The source is a point off every axis of symmetry; where it must appear in each view is computed from
the file's own angles by the formulas of DICOM (PS3.3 C.8.4.12) and of STIR (ProjDataInfo), which
know nothing of ours.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from daq.cli import main
from daq.folder.run_identity import RunIdentity
from hw.arrays import F8
from rigs.exchange_data import dciodvfy
from rigs.runs.spect_run_folder import write_spect_run

POINT_mm = (41.0, -18.0, 33.0)
PITCH_mm = 16.0
FROM_PATIENT = {"HFS": np.diag([-1.0, -1.0, 1.0]), "FFS": np.diag([1.0, -1.0, -1.0])}
"""To LPS from the scanner's axes. Head first, supine: +x right, +y front, +z head; feet first the
patient is turned about the vertical: +x left, +z feet."""


@pytest.fixture(scope="module", params=["HFS", "FFS"])
def run_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("runs") / f"spect-{request.param}"
    return write_spect_run(place, point_mm=POINT_mm, patient_position=request.param)


def exported(
    capsys: pytest.CaptureFixture[str], folder: Path, kind: str, path: Path, *more: str
) -> dict[str, Any]:
    asked = ["export", str(folder), "--format", kind, "--output", str(path), "--json", *more]
    assert main(asked) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def middle(frame: F8) -> tuple[float, float]:
    """Return the mean row and column of a frame's counts."""
    rows, columns = np.indices(frame.shape)
    return float((frame * rows).sum() / frame.sum()), float((frame * columns).sum() / frame.sum())


def test_dicom_shows_the_point_where_its_angles_say(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = exported(capsys, run_folder, "dicom", tmp_path / "p.dcm")
    made = pydicom.dcmread(tmp_path / "p.dcm")
    turn, head = made.RotationInformationSequence[0], made.DetectorInformationSequence[0]
    position = run_folder.name[-3:]
    assert list(made.ImageType) == ["ORIGINAL", "PRIMARY", "TOMO", "EMISSION"]
    assert made.StudyInstanceUID == RunIdentity.of(run_folder).study_uid
    assert (made.AcquisitionDate, made.CountsAccumulated) == ("20261121", 32000)
    assert (turn.NumberOfFramesInRotation, turn.AngularStep, turn.ScanArc) == (40, 9, 360)
    # the camera begins at +x: the right of a patient head first, the left of one feet first
    first = {"HFS": 270, "FFS": 90}[position]
    assert turn.StartAngle == head.StartAngle == first
    assert turn.ActualFrameDuration == 1000
    # 150 mm: the preset's collimator
    assert float(turn.RadialPosition) == float(head.RadialPosition) == pytest.approx(150.0)
    window = [item.EnergyWindowName for item in made.EnergyWindowInformationSequence]
    limits = made.EnergyWindowInformationSequence[1].EnergyWindowRangeSequence[0]
    assert window == ["Tc-99m_141_low", "Tc-99m_141", "Tc-99m_141_high"]
    assert limits.EnergyWindowLowerLimit < 140.5 < limits.EnergyWindowUpperLimit
    vectors = [made.EnergyWindowVector, made.DetectorVector, made.AngularViewVector]
    assert [len(one) for one in vectors] == [made.NumberOfFrames] * 3 == [120] * 3
    peak = made.pixel_array[np.array(made.EnergyWindowVector) == 2].astype(float)
    assert peak.sum() == done["counts"]["Tc-99m_141"] == 32000
    patient_mm = FROM_PATIENT[position] @ np.array(POINT_mm)
    sense = 1 if turn.RotationDirection == "CC" else -1
    for number, frame in enumerate(peak):
        angle = np.radians(float(turn.StartAngle) + sense * number * float(turn.AngularStep))
        camera = np.array([np.sin(angle), np.cos(angle), 0.0])  # 0° the back, 90° the left
        right = np.cross(-camera, [0.0, 0.0, 1.0])
        row, column = middle(frame)
        assert (column - 7.5) * PITCH_mm == pytest.approx(patient_mm @ right, abs=2.0), number
        assert (7.5 - row) * PITCH_mm == pytest.approx(patient_mm[2], abs=2.0)
    assert not dciodvfy(tmp_path / "p.dcm")[0]


def test_one_window_alone_is_a_frame_a_view(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As programs for the quality of cameras take it: frame n is view n."""
    exported(capsys, run_folder, "dicom", tmp_path / "p.dcm", "--only-windows", "Tc-99m_141")
    made = pydicom.dcmread(tmp_path / "p.dcm")
    assert made.NumberOfFrames == made.RotationInformationSequence[0].NumberOfFramesInRotation
    assert made.pixel_array.sum() == 32000
    asked = ["export", str(run_folder), "--format", "dicom", "--only-windows", "Tc-99m_99"]
    assert main(asked) == 1
    assert "the run has Tc-99m_141_low, Tc-99m_141, Tc-99m_141_high" in capsys.readouterr().err


def test_interfile_shows_the_point_where_stir_looks_for_it(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exported(capsys, run_folder, "interfile", tmp_path / "p.hs")
    header = (tmp_path / "p_Tc-99m_141.hs").read_text(encoding="utf-8")
    found = {
        key.strip("! ").lower(): value.strip()
        for key, value in re.findall(r"^([^;\n]+?) *:= *(.*)$", header, re.MULTILINE)
    }
    assert found["orbit"] == "Circular" and found["direction of rotation"] == "CCW"
    assert float(found["start angle"]) == 90.0  # STIR's camera at −x of its axes, our +x
    assert float(found["radius"]) == pytest.approx(150.0)
    assert found["radionuclide name [1]"] == "^99m^Technetium"
    shape = tuple(int(found[f"{name}"]) for name in
                  ("number of projections", "matrix size [2]", "matrix size [1]"))  # fmt: skip
    counts = np.fromfile(tmp_path / found["name of data file"], "<f4").reshape(shape)
    assert counts.sum() == 32000
    x, y, z = -POINT_mm[0], -POINT_mm[1], POINT_mm[2]
    for number, frame in enumerate(counts):
        turned = number * float(found["extent of rotation"]) / shape[0]
        phi = np.radians(float(found["start angle"]) + turned)
        row, column = middle(frame)
        where = (column - 7.5) * float(found["scaling factor (mm/pixel) [1]"])
        assert where == pytest.approx(x * np.cos(phi) + y * np.sin(phi), abs=2.0), number
        assert (row - 7.5) * float(found["scaling factor (mm/pixel) [2]"]) == pytest.approx(
            z, abs=2
        )


def test_what_stood_at_no_equal_steps_is_refused_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stops of 5° in bins of 3°: some are two bins apart, some one; in bins of 1° all are found."""
    folder = write_spect_run(tmp_path / "uneven", point_mm=POINT_mm, stop_deg=5.0)
    done = exported(capsys, folder, "dicom", tmp_path / "p.dcm")
    assert (done["views"], done["step_deg"], done["start_deg"]) == (40, 5.0, 0.0)
    asked = ["export", str(folder), "--format", "dicom", "--view-deg", "7"]
    assert main(asked) == 1
    assert "no equal steps" in capsys.readouterr().err


def test_columns_that_swivel_have_no_orbit_to_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_spect_run(tmp_path / "swivel", preset="czt_cardiac")
    assert main(["export", str(folder), "--format", "interfile"]) == 1
    assert "a gantry turns" in capsys.readouterr().err
    assert main(["export", str(folder), "--format", "petsird"]) == 1
    assert "projections (--format dicom or interfile)" in capsys.readouterr().err
