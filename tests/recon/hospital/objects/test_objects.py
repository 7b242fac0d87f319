"""Segmentation, report and parametric map, as highdicom, pydicom, dciodvfy and Orthanc read."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from daq.cli import main
from daq.folder.region_file import write_regions
from hw.messages.patient_position import PATIENT_POSITIONS
from hw.regions import Box, Region, Sphere, Threshold
from recon.analysis.regions import RegionValues
from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.images.dicom_nm import write_dicom_nm
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.exchange.scan_facts import ScanFacts
from recon.hospital.objects.common import About
from recon.hospital.objects.measurements import measurement_report, remarks
from recon.hospital.objects.parametric_map import parametric_map
from recon.hospital.objects.segmentation import segmentation
from recon.hospital.peers import HospitalError
from rigs.hospital.orthanc import Orthanc
from rigs.runs.spect_run_folder import write_spect_run

hd = pytest.importorskip("highdicom", reason="highdicom is missing: ./tomoshibi setup hospital")

GRID = ImageGrid((12, 10, 8), (4.0, 3.0, 5.0), (1.0, -2.0, 3.0))
IMAGE = np.random.default_rng(1).random(GRID.shape).astype(np.float32)
HOT, WARM = Sphere("hot", (9.0, 4.0, 3.0), 14.0), Box("warm", (-8.0, -5.0, 8.0), (8.0, 6.0, 10.0))
TOP = Threshold("top", (1.0, -2.0, 3.0), (40.0, 24.0, 30.0), 0.95)
SAID = remarks(
    {"corrections": {"decay": {"applied": True}, "scatter": {"applied": False}}},
    {"condition": "tainted", "conditions": ["2 frames lost"]}, "pass, of today",
)  # fmt: skip
VALUES = [
    RegionValues("hot", 1.4, 0.5, 0.1, 0.01, 0.9, 0.02),
    RegionValues("warm", 0.5, 2.0, 1.0, 0.0, 3.0),
]


def about(folder: Path, *, modality: str = "PT", **more: Any) -> About:
    meta = {"run": "r", "hash": "1-2", "created": "2026-11-25T10:00:00Z", "nuclide": "F-18",
            "unit": "Bq/mL", "scanner": "bench2", "algorithm": "osem", **more}  # fmt: skip
    times = [FrameTime(0.0, 60.0)]
    if modality == "PT":
        files = write_dicom_pet(folder / "image", IMAGE, GRID, times, meta)
    else:
        files = write_dicom_nm(folder / "image.dcm", IMAGE, GRID, times, meta)
    return About([dcmread(path) for path in files], ScanFacts.of(meta), GRID)


def findings(made: Dataset, path: Path) -> list[str]:
    """Return what dciodvfy calls an error."""
    made.save_as(path, enforce_file_format=True)
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: apt-get install dicom3tools")
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, timeout=60)
    return [line for line in told.stderr.splitlines() if line.startswith("Error")]


def centre_mm(segments: Dataset, number: int) -> np.ndarray:
    """Return the centre of a segment's voxels in the patient, from its own tags alone."""
    measures = segments.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    along = segments.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    x, y = np.reshape([float(v) for v in along.ImageOrientationPatient], (2, 3))
    rows_mm, columns_mm = (float(v) for v in measures.PixelSpacing)
    found, frames = [], np.atleast_3d(segments.pixel_array)
    for frame, groups in zip(frames, segments.PerFrameFunctionalGroupsSequence, strict=True):
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != number:
            continue
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        j, i = np.nonzero(frame)
        found.append(corner + i[:, None] * columns_mm * x + j[:, None] * rows_mm * y)
    return np.concatenate(found).mean(axis=0)


def lps(position: str, point_mm: tuple[float, float, float]) -> np.ndarray:
    """Return where a scanner's point lies in the patient: left, posterior, superior.

    Supine and head first, right is +x, anterior +y (up), superior +z; told side by side, not
    taken from the code that turns.
    """
    x, y, z = point_mm
    left, front = {
        "HFS": (-x, y), "HFP": (x, -y), "HFDR": (y, x), "HFDL": (-y, -x),
        "FFS": (x, y), "FFP": (-x, -y), "FFDR": (y, -x), "FFDL": (-y, x),
    }[position]  # fmt: skip
    return np.array([left, -front, z if position.startswith("H") else -z])


@pytest.mark.parametrize("modality", ["PT", "NM"])
@pytest.mark.parametrize("position", PATIENT_POSITIONS)
def test_regions_lie_in_the_patient_where_they_were_drawn(
    modality: str, position: str, tmp_path: Path
) -> None:
    image = about(tmp_path, modality=modality, patient_position=position)
    segments = segmentation([HOT, WARM], IMAGE, image)
    assert [one.SegmentLabel for one in segments.SegmentSequence] == ["hot", "warm"]
    assert findings(segments, tmp_path / "seg.dcm") == []
    if position != "unknown":
        for number, region in ((1, HOT), (2, WARM)):
            there = lps(position, region.centre_mm)
            assert np.abs(centre_mm(segments, number) - there).max() < 2.6  # half a voxel
    assert segments.StudyInstanceUID == image.objects[0].StudyInstanceUID
    assert segments.FrameOfReferenceUID == image.objects[0].FrameOfReferenceUID
    known = {str(one.SOPInstanceUID) for one in image.objects}
    (series,) = segments.ReferencedSeriesSequence
    told = [one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence]
    assert set(told) <= known and len(told) == len(set(told))
    classes = {one.ReferencedSOPClassUID for one in series.ReferencedInstanceSequence}
    assert classes == {image.objects[0].SOPClassUID}


def test_a_segment_is_the_voxels_that_lie_in_it_to_a_half(tmp_path: Path) -> None:
    regions: list[Region] = [HOT, TOP]
    segments = segmentation(regions, IMAGE, about(tmp_path, patient_position="HFS"))
    segments.save_as(tmp_path / "seg.dcm")
    read = hd.seg.segread(tmp_path / "seg.dcm")
    volume = read.get_volume(combine_segments=False)
    x, y, z = (np.asarray(axis) for axis in GRID.axes_mm())
    near = sum((a - b) ** 2 for a, b in zip((x, y, z), HOT.centre_mm, strict=True)) < 5.0**2
    far = sum((a - b) ** 2 for a, b in zip((x, y, z), HOT.centre_mm, strict=True)) > 9.5**2
    count = {1: 0, 2: 0}
    first = np.array([axis.reshape(-1)[0] for axis in (x, y, z)])
    for *index, segment in np.argwhere(volume.array):
        spot = (volume.affine @ [*index, 1.0])[:3] * [-1, -1, 1]
        i, j, k = np.rint((spot - first) / GRID.voxel_mm).astype(int)
        count[int(segment) + 1] += 1
        if segment == 0:
            assert not far[i, j, k]
        else:
            assert IMAGE[i, j, k] >= 0.949 * IMAGE.max()
    assert count[1] >= int(near.sum()) > 0 and count[2] > 0


def test_the_same_regions_are_the_same_object_and_others_another(tmp_path: Path) -> None:
    image = about(tmp_path)
    one, again = segmentation([HOT], IMAGE, image), segmentation([HOT], IMAGE, image)
    other = segmentation([WARM], IMAGE, image)
    assert one.SOPInstanceUID == again.SOPInstanceUID != other.SOPInstanceUID
    assert one.SeriesInstanceUID == again.SeriesInstanceUID != other.SeriesInstanceUID
    report = measurement_report(image, one, VALUES[:1], SAID)
    assert report.SOPInstanceUID == measurement_report(image, one, VALUES[:1], SAID).SOPInstanceUID
    assert report.SOPInstanceUID != measurement_report(image, one, VALUES[:1], []).SOPInstanceUID


def test_what_cannot_be_a_segment_is_refused(tmp_path: Path) -> None:
    image = about(tmp_path)
    with pytest.raises(HospitalError, match="region dot fills no voxel to a half"):
        segmentation([Sphere("dot", (1.0, 1.0, 3.0), 0.5)], IMAGE, image)
    with pytest.raises(HospitalError, match="0 regions: 1 to 64"):
        segmentation([], IMAGE, image)


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_the_report_has_each_figure_and_what_was_not_corrected(
    modality: str, tmp_path: Path
) -> None:
    image = about(tmp_path, modality=modality)
    segments = segmentation([HOT, WARM], IMAGE, image)
    report = measurement_report(image, segments, VALUES, SAID)
    assert findings(report, tmp_path / "sr.dcm") == []
    read = hd.sr.srread(tmp_path / "sr.dcm")
    groups = read.content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_identifier for group in groups] == ["hot", "warm"]
    first = groups[0]
    assert first.referenced_segment.referenced_sop_instance_uid == segments.SOPInstanceUID
    found = [(m.name.meaning, m.derivation and m.derivation.meaning, m.value, m.unit.value)
             for m in first.get_measurements()]  # fmt: skip
    what = "Activity concentration"
    assert found == [
        ("Volume", None, 1.4, "mL"), (what, "Mean", 0.5, "Bq/ml"),
        (what, "Standard Deviation", 0.1, "Bq/ml"), (what, "Minimum", 0.01, "Bq/ml"),
        (what, "Maximum", 0.9, "Bq/ml"), (what, "Standard error of the mean", 0.02, "Bq/ml"),
    ]  # fmt: skip
    words = [one.TextValue for one in read.ContentSequence if one.ValueType == "TEXT"]
    assert words[-5:-1] == [
        "corrected for: decay", "NOT corrected for: scatter", "run: tainted (2 frames lost)",
        "quality control: pass, of today",
    ]  # fmt: skip
    assert "not for diagnosis" in words[-1]


@pytest.mark.parametrize("position", [one for one in PATIENT_POSITIONS if one != "unknown"])
def test_a_parametric_map_keeps_its_floats_at_their_place(position: str, tmp_path: Path) -> None:
    image = about(tmp_path, unit="1/s", patient_position=position)
    made = parametric_map(IMAGE * 1e-4, image, name="patlak-slope")
    assert findings(made, tmp_path / "pm.dcm") == []
    read = dcmread(tmp_path / "pm.dcm")
    values = np.frombuffer(read.FloatPixelData, "<f4").reshape(8, 10, 12)
    x, y, z = (np.asarray(axis).reshape(-1) for axis in GRID.axes_mm())
    planes = set()
    for frame, groups in zip(values, read.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        there = [lps(position, (x[-1], y[-1], one)) for one in z]
        k = int(np.argmin([np.abs(corner - one).max() for one in there]))
        assert np.allclose(corner, there[k])
        assert np.array_equal(frame, (IMAGE * 1e-4).astype("f4")[::-1, ::-1, k].T)
        planes.add(k)
    assert planes == set(range(8))
    mapping = read.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == "/s"
    assert (mapping.RealWorldValueSlope, mapping.LUTExplanation) == (1.0, "patlak-slope")
    assert read.PatientName == "RESEARCH^TOMOSHIBI" and read.PatientIdentityRemoved == "YES"


def asked(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, Any]:
    status = main(["hospital", *words, "--runs", str(folder.parent), "--json"])
    said = capsys.readouterr()
    return status, json.loads(said.out.splitlines()[-1]) if said.out else said.err


@pytest.mark.processes
@pytest.mark.timeout(90)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_orthanc_takes_image_segments_and_report_of_one_study(
    orthanc: Orthanc, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("pynetdicom", reason="pynetdicom is missing: ./tomoshibi setup hospital")
    (tmp_path / "hospital.toml").write_text(
        f'[peers.pacs]\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {orthanc.dicom}\n'
    )
    monkeypatch.setenv("TOMOSHIBI_HOSPITAL", str(tmp_path / "hospital.toml"))
    folder = write_spect_run(tmp_path / "runs" / "spect")
    (folder / "images").mkdir()
    affine = np.diag([4.0, 3.0, 5.0, 1.0])
    affine[:3, 3] = [float(np.asarray(axis).reshape(-1)[0]) for axis in GRID.axes_mm()]
    nib.save(nib.Nifti1Image(IMAGE, affine), folder / "images" / "a.nii.gz")
    (folder / "images" / "a.json").write_text(
        '{"unit": "Bq/mL", "modality": "SPECT", "duration_s": 40.0}'
    )
    words = ("send", "spect", "--image", "a", "--regions", "--to", "pacs")
    status, said = asked(capsys, folder, *words)
    assert status == 1 and "has none: draw some" in said
    write_regions(folder, [HOT, WARM])
    status, sent = asked(capsys, folder, *words)
    assert (status, sent["states"]) == (0, {"done": 3})
    assert asked(capsys, folder, *words)[1]["states"] == {"done": 3}  # again: nothing new
    (study,) = orthanc.ask("studies")
    series = [orthanc.ask(f"series/{one}")["MainDicomTags"]["Modality"]
              for one in orthanc.ask(f"studies/{study}")["Series"]]  # fmt: skip
    assert sorted(series) == ["NM", "SEG", "SR"]
    (folder / "identity.json").write_text('{"patient_id": "hot", "version": 1}')
    assert "contains the patient_id" in asked(capsys, folder, *words)[1]
