"""DICOM PET and NM: what dciodvfy accepts, what pydicom reads, where NIfTI has the same voxels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest

from hw.errors import FileWriteError
from recon.core.frame_times import FrameTime, GateSlot
from recon.core.grid import GridError, ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.dicom_nm import write_dicom_nm
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.exchange.images.nifti import write_nifti
from rigs.exchange_data import dciodvfy, dcm2niix

GRID = ImageGrid((6, 5, 4), (2.0, 2.5, 3.0))
ABOUT: dict[str, Any] = {
    "run": "brain",
    "hash": "abc-def",
    "created": "2026-11-21T10:00:00+00:00",
    "scanner": "caremibrain",
    "algorithm": "list-mode OSEM, 4 iterations x 8 subsets",
    "unit": "Bq/mL",
    "corrections": {
        "decay": {"applied": True, "how": "to the start"},
        "randoms": True,
        "attenuation": {"applied": True, "how": "the run's µ map"},
        "scatter": False,
    },
    "nuclide": "¹⁸F",
    "administered_activity_Bq": 1.5e8,
    "administered_at": "2026-11-21T09:00:00Z",
    "weight_kg": 70.5,
    "energy_window_keV": (350.0, 650.0),
    "window_ps": 5000,
    "prompts": 123456,
}
FRAMES = {
    "static": [FrameTime(0.0, 60.0, decay_factor=1.01)],
    "dynamic": [FrameTime(0.0, 10.0), FrameTime(10.0, 20.0), FrameTime(30.0, 60.0)],
    "gated": [
        FrameTime(
            0.3 * k,
            20.0,
            gate=k + 1,
            elapsed_s=59.4,
            slot=GateSlot(
                source="cardiac",
                of=3,
                frame=1,
                opened_s=0.0,
                closed_s=60.0,
                trigger_s=0.3 * k,
                slot_s=0.3,
                cycle_s=0.9,
                cycles=66,
                usual_s=(0.45, 1.8),
            ),
        )
        for k in range(3)
    ],
    "breathing": [FrameTime(1.5 * k, 20.0, gate=k + 1, elapsed_s=57.0) for k in range(3)],
}
KNOWN_WARNINGS = (
    r"Laterality",  # no body part is known, so the attribute is there and empty
    r"Rescale (Intercept|Slope)|Standard Extended SOP Class",  # NM: for readers without mapping
)


def image(frames: int, *, low: float = 0.0) -> np.ndarray:
    values = np.random.default_rng(3).uniform(low, 2e4, (*GRID.shape, frames))
    return values.astype(np.float32)


def voxels(files: list[Path]) -> np.ndarray:
    """Return [x, y, z] of a series, placed by position and orientation alone."""
    found = np.full(GRID.shape, np.nan)
    for path in files:
        made = pydicom.dcmread(path)
        planes = made.pixel_array.reshape(-1, made.Rows, made.Columns).astype(float)
        values = planes * float(made.RescaleSlope) + float(made.RescaleIntercept)
        where = made if "ImagePositionPatient" in made else made.DetectorInformationSequence[0]
        along = np.array(where.ImageOrientationPatient, float).reshape(2, 3)
        corner = np.array(where.ImagePositionPatient, float)
        for k, plane in enumerate(values):
            for row in range(made.Rows):
                for column in range(made.Columns):
                    left_back_up = (
                        corner
                        + along[0] * column * float(made.PixelSpacing[1])
                        + along[1] * row * float(made.PixelSpacing[0])
                        + np.array([0, 0, k * float(made.SliceThickness)])
                    )
                    ras = left_back_up * [-1, -1, 1]
                    index = np.rint((ras - GRID.origin_mm) / GRID.voxel_mm).astype(int)
                    found[tuple(index)] = plane[row, column]
    return found


@pytest.mark.parametrize("kind", FRAMES)
def test_series_is_clean_and_has_every_plane(tmp_path: Path, kind: str) -> None:
    frames = FRAMES[kind]
    files = write_dicom_pet(tmp_path / kind, image(len(frames)), GRID, frames, ABOUT)
    assert len(files) == len(frames) * GRID.shape[2]
    errors, warnings = dciodvfy(files[-1])
    assert not errors
    assert not [w for w in warnings if not any(re.search(k, w) for k in KNOWN_WARNINGS)]


def test_voxels_lie_where_nifti_has_them(tmp_path: Path) -> None:
    volume = image(1)[..., 0]
    files = write_dicom_pet(tmp_path / "pet", volume, GRID, FRAMES["static"], ABOUT)
    write_nifti(tmp_path / "pet.nii", volume, GRID, ABOUT)
    nifti = nib.load(tmp_path / "pet.nii")
    assert nib.aff2axcodes(nifti.affine) == ("R", "A", "S")
    # 16 bits: half a level of the greatest value in 65535
    half_level = volume.max() / 65535 / 2 * 1.001
    assert np.abs(voxels(files) - np.asarray(nifti.dataobj)).max() <= half_level


def test_negative_voxels_survive(tmp_path: Path) -> None:
    volume = image(1, low=-500.0)[..., 0]
    files = write_dicom_pet(tmp_path / "pet", volume, GRID, FRAMES["static"], ABOUT)
    assert np.abs(voxels(files) - volume).max() <= np.abs(volume).max() / 32767 / 2 * 1.001
    assert pydicom.dcmread(files[0]).PixelRepresentation == 1
    assert not dciodvfy(files[0])[0]


def test_header_says_what_was_done(tmp_path: Path) -> None:
    files = write_dicom_pet(tmp_path / "pet", image(1), GRID, FRAMES["static"], ABOUT)
    made = pydicom.dcmread(files[0])
    assert made.Units == "BQML" and list(made.CorrectedImage) == ["ATTN", "RAN", "DECY"]
    assert made.DecayCorrection == "START" and float(made.DecayFactor) == pytest.approx(1.01)
    assert made.RandomsCorrectionMethod == "DLYD" and made.ScatterCorrectionMethod == "NONE"
    assert made.AttenuationCorrectionMethod == "the run's µ map"
    assert made.ActualFrameDuration == 60_000
    # λΔ is small here, so the mean activity's time lies just before the middle of the frame
    assert 29_900 < float(made.FrameReferenceTime) < 30_000
    drug = made.RadiopharmaceuticalInformationSequence[0]
    assert drug.RadionuclideCodeSequence[0].CodeMeaning == "^18^Fluorine"
    assert float(drug.RadionuclideTotalDose) == 1.5e8
    assert float(drug.RadionuclideHalfLife) == pytest.approx(6586.2, rel=1e-3)
    assert float(made.PatientWeight) == 70.5
    assert made.PrimaryPromptsCountsAccumulated == 123456
    assert made.AcquisitionDate == "20261121"


def test_nobody_is_named(tmp_path: Path) -> None:
    made = pydicom.dcmread(
        write_dicom_pet(tmp_path / "pet", image(1), GRID, FRAMES["static"], ABOUT)[0]
    )
    assert made.PatientName == "RESEARCH^TOMOSHIBI" and made.PatientIdentityRemoved == "YES"
    assert not made.PatientBirthDate and not made.PatientSex
    assert "not for diagnosis" in made.ImageComments


def test_uncalibrated_image_is_proportional_to_counts(tmp_path: Path) -> None:
    files = write_dicom_pet(tmp_path / "pet", image(1), GRID, FRAMES["static"], {})
    made = pydicom.dcmread(files[0])
    assert made.Units == "PROPCPS" and made.DecayCorrection == "NONE"
    assert "DecayFactor" not in made
    assert not dciodvfy(files[0])[0]


def test_same_image_gives_the_same_bytes_another_one_another_series(tmp_path: Path) -> None:
    one, again, other = (
        write_dicom_pet(tmp_path / name, values, GRID, FRAMES["static"], ABOUT)[0]
        for name, values in (("a", image(1)), ("b", image(1)), ("c", image(1) + 1))
    )
    assert one.read_bytes() == again.read_bytes()
    first, third = pydicom.dcmread(one), pydicom.dcmread(other)
    assert first.StudyInstanceUID == third.StudyInstanceUID
    assert first.SeriesInstanceUID != third.SeriesInstanceUID
    assert first.SOPInstanceUID.startswith("2.25.")


def test_series_order_of_a_dynamic_scan(tmp_path: Path) -> None:
    frames = FRAMES["dynamic"]
    files = write_dicom_pet(tmp_path / "pet", image(3), GRID, frames, ABOUT)
    made = [pydicom.dcmread(path) for path in files]
    assert [m.ImageIndex for m in made] == list(range(1, 13))
    assert made[0].NumberOfTimeSlices == 3 and made[0].NumberOfSlices == 4
    assert [m.ActualFrameDuration for m in made[::4]] == [10_000, 20_000, 60_000]
    assert made[4].AcquisitionTime.startswith("100010")


def test_reconstructed_spect_is_clean_and_in_place(tmp_path: Path) -> None:
    volume = image(1)[..., 0]
    about = {
        **ABOUT, "nuclide": "Lu-177", "collimator": "MELP", "radius_mm": 250.0, "counts": 9999,
        "energy_windows": [{"name": "208 keV", "low_keV": 187.2, "high_keV": 228.8}],
        "angles_deg": (0.0, 6.0, 60),
    }  # fmt: skip
    (path,) = write_dicom_nm(tmp_path / "spect.dcm", volume, GRID, FRAMES["static"], about)
    errors, warnings = dciodvfy(path)
    assert not errors
    assert not [w for w in warnings if not any(re.search(k, w) for k in KNOWN_WARNINGS)]
    assert np.abs(voxels([path]) - volume).max() <= volume.max() / 65535 / 2 * 1.001
    made = pydicom.dcmread(path)
    assert list(made.ImageType)[2] == "RECON TOMO" and made.NumberOfFrames == 4
    mapping = made.RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "Bq/ml"
    assert mapping.RealWorldValueSlope == pytest.approx(float(made.RescaleSlope), rel=1e-9)
    turn = made.RotationInformationSequence[0]
    # our 0° is the patient's right, DICOM's is the back; the head seen from the feet turns round
    assert (float(turn.StartAngle), turn.RotationDirection) == (270.0, "CW")
    assert turn.NumberOfFramesInRotation == 60 and float(turn.ScanArc) == 360.0
    window = made.EnergyWindowInformationSequence[0].EnergyWindowRangeSequence[0]
    assert float(window.EnergyWindowUpperLimit) == 228.8


def test_spect_frames_become_files_of_one_series(tmp_path: Path) -> None:
    files = write_dicom_nm(tmp_path / "s.dcm", image(3), GRID, FRAMES["dynamic"], ABOUT)
    assert [path.name for path in files] == ["s-001.dcm", "s-002.dcm", "s-003.dcm"]
    made = [pydicom.dcmread(path) for path in files]
    assert len({m.SeriesInstanceUID for m in made}) == 1
    assert len({m.SOPInstanceUID for m in made}) == 3


def test_scans_of_one_name_are_two_studies_found_by_their_dates(tmp_path: Path) -> None:
    plain = {"run": "spect-1", "unit": "Bq/mL"}
    made = []
    for day in ("2026-11-21", "2026-11-22", ""):
        about = {**plain, "created": f"{day}T10:00:00Z"} if day else plain
        (path,) = write_dicom_nm(tmp_path / f"{day}.dcm", image(1), GRID, FRAMES["static"], about)
        made.append(pydicom.dcmread(path))
    dates = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
    assert [{one[name].value for name in dates} for one in made] == [
        {"20261121"}, {"20261122"}, {""},
    ]  # fmt: skip
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert len({one[name].value for one in made}) == 3


@pytest.mark.parametrize("kind", ["pet", "nm"])
def test_dcm2niix_takes_nobody_else_for_the_maker(tmp_path: Path, kind: str) -> None:
    """It goes by the first two letters, and then reads tags of that maker."""
    (tmp_path / "in").mkdir()
    if kind == "pet":
        write_dicom_pet(tmp_path / "in", image(1), GRID, FRAMES["static"], ABOUT)
    else:
        write_dicom_nm(tmp_path / "in" / "a.dcm", image(1), GRID, FRAMES["static"], ABOUT)
    made = dcm2niix(tmp_path / "in", tmp_path / "out")
    assert "Manufacturer" not in made and made["ManufacturersModelName"] == "caremibrain"
    (nifti,) = (tmp_path / "out").glob("*.nii")
    theirs = nib.as_closest_canonical(nib.load(nifti))
    assert theirs.shape[:3] == GRID.shape
    assert np.abs(np.asarray(theirs.dataobj).squeeze() - image(1)[..., 0]).max() < 2e4 / 65535


@pytest.mark.parametrize("position", ["HFDL", "FFS", "FFDR"])
def test_dcm2niix_has_spect_s_voxels_where_they_are_in_the_patient(
    tmp_path: Path, position: str
) -> None:
    """It takes an object's planes to go towards the head, and mirrors others."""
    (tmp_path / "in").mkdir()
    about = {**ABOUT, "patient_position": position}
    write_dicom_nm(tmp_path / "in" / "a.dcm", image(1), GRID, FRAMES["static"], about)
    dcm2niix(tmp_path / "in", tmp_path / "out")
    theirs = nib.load(next((tmp_path / "out").glob("*.nii")))
    # RAS of the ceiling and of +z; lying on the right side, the ceiling is on the left
    ceiling = {"HFDL": (1, 0, 0), "FFS": (0, 1, 0), "FFDR": (-1, 0, 0)}[position]
    along = (0, 0, 1) if position[0] == "H" else (0, 0, -1)
    axes = np.array([np.cross(ceiling, along), ceiling, along])
    ours_mm = GRID.origin_mm + np.stack(np.indices(GRID.shape), -1) * GRID.voxel_mm
    index = (ours_mm @ axes - theirs.affine[:3, 3]) @ np.linalg.inv(theirs.affine[:3, :3]).T
    assert np.abs(index - np.rint(index)).max() < 1e-3
    values = theirs.get_fdata()[tuple(np.moveaxis(np.rint(index).astype(int), -1, 0))]
    assert np.abs(values - image(1)[..., 0]).max() < 2e4 / 65535


@pytest.mark.parametrize(
    ("values", "frames", "words"),
    [
        (np.full((*GRID.shape, 1), np.nan), FRAMES["static"], "not finite"),
        (np.zeros((2, 2, 2)), FRAMES["static"], "on a grid of"),
        (np.zeros((*GRID.shape, 2)), FRAMES["static"], "2 volumes and 1 frames"),
        (np.zeros(GRID.shape), [FrameTime(0.0, 0.0)], "duration above 0"),
    ],
)
def test_what_is_no_image_is_refused(
    tmp_path: Path, values: np.ndarray, frames: list[FrameTime], words: str
) -> None:
    with pytest.raises(GridError, match=words):
        write_dicom_pet(tmp_path / "pet", values.astype(np.float32), GRID, frames, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_wrong_facts_are_refused_in_words(tmp_path: Path) -> None:
    for about, words in (({"nuclide": "X-99"}, "X-99"), ({"created": "today"}, "ISO 8601")):
        with pytest.raises(ExchangeError, match=words):
            write_dicom_pet(tmp_path / "pet", image(1), GRID, FRAMES["static"], about)


def test_folder_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    folder = tmp_path / "pet"
    folder.mkdir()
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(FileWriteError, match=r"thesis\.tex"):
        write_dicom_pet(folder, image(1), GRID, FRAMES["static"], ABOUT)
    assert (folder / "thesis.tex").read_text() == "years of work"
