"""Interfile and 4-D NIfTI: headers, order of voxels, times; files whole or not at all."""

from __future__ import annotations

import json
import re
import resource
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from hw.errors import FileWriteError
from hw.messages.patient_position import (
    PATIENT_POSITIONS,
    UNKNOWN,
    PatientPosition,
    ends_of_axes,
)
from hw.physics.nuclides import nuclide_names
from hw.whole_file import whole_file
from recon.core.frame_times import FrameTime
from recon.core.grid import GridError, ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.interfile import write_interfile
from recon.exchange.images.nifti import write_nifti

GRID = ImageGrid((6, 5, 4), (2.0, 2.5, 3.0))
FRAMES = [FrameTime(0.0, 30.0, prompts=11), FrameTime(30.0, 60.0, decay_factor=1.02)]
IMAGE = np.random.default_rng(5).random((*GRID.shape, 2), dtype=np.float32)


def keys(header: Path) -> dict[str, str]:
    lines = (line.partition(":=") for line in header.read_text().splitlines() if ":=" in line)
    return {key.strip(" !"): value.strip() for key, _, value in lines}


def test_interfile_has_its_voxels_where_the_header_says(tmp_path: Path) -> None:
    header, values = write_interfile(tmp_path / "a.hv", IMAGE, GRID, FRAMES, {"nuclide": "F-18"})
    said = keys(header)
    shape = tuple(int(said[f"matrix size [{axis}]"]) for axis in (1, 2, 3))
    data = np.fromfile(tmp_path / said["name of data file"], "<f4").reshape(2, *shape[::-1])
    step = [float(said[f"scaling factor (mm/pixel) [{axis}]"]) for axis in (1, 2, 3)]
    first = [float(said[f"first pixel offset (mm) [{axis}]"]) for axis in (1, 2, 3)]
    for frame, i, j, k in ((0, 0, 0, 0), (1, 5, 0, 3), (0, 2, 4, 1)):
        left_back_up = np.array(first) + np.array([i, j, k]) * step
        ours = np.rint((left_back_up * [-1, -1, 1] - GRID.origin_mm) / GRID.voxel_mm).astype(int)
        assert data[frame, k, j, i] == IMAGE[(*ours, frame)]
    assert said["number of time frames"] == "2"
    assert said["image duration (sec) [2]"] == "60"
    assert said["image relative start time (sec) [2]"] == "30"
    assert said["radionuclide halflife (sec) [1]"] == "6586.2"
    assert said["patient orientation"] == said["patient rotation"] == "unknown"
    assert values.stat().st_size == IMAGE.nbytes


STIR_NAMES = (
    ("^18^Fluorine", "F-18"), ("^11^Carbon", "C-11"), ("^13^Nitrogen", "N-13"),
    ("^15^Oxygen", "O-15"), ("^64^Copper", "Cu-64"), ("^68^Gallium", "Ga-68"),
    ("^68^Germanium", "Ge-68"), ("^99m^Technetium", "Tc-99m"), ("^131^Iodine", "I-131"),
    ("^67^Gallium", "Ga-67"), ("^177^Lutetium", "Lu-177"), ("^90^Yttrium", "Y-90"),
)  # fmt: skip
"""Of STIR 6's radionuclide_names.json: it knows a nuclide by any word of its line."""


def test_interfile_names_nuclides_as_stir_does(tmp_path: Path) -> None:
    for known in STIR_NAMES:
        if known[1] not in nuclide_names():
            continue
        about = {"nuclide": known[1]}
        header, _ = write_interfile(tmp_path / "a.hv", IMAGE[..., 0], GRID, FRAMES[:1], about)
        assert keys(header)["radionuclide name [1]"] in known


def test_interfile_begins_and_ends_as_readers_expect(tmp_path: Path) -> None:
    header, _ = write_interfile(tmp_path / "a.hv", IMAGE[..., 0], GRID, FRAMES[:1], {})
    lines = header.read_text().splitlines()
    assert lines[0] == "!INTERFILE :=" and lines[-1] == "!END OF INTERFILE :="


def test_nifti_of_frames_keeps_their_times(tmp_path: Path) -> None:
    sidecar = write_nifti(tmp_path / "a.nii.gz", IMAGE, GRID, {}, FRAMES)
    read = nib.load(tmp_path / "a.nii.gz")
    assert np.array_equal(np.asarray(read.dataobj), IMAGE)
    assert read.header["pixdim"][4] == 0  # frames of unequal length have no common step
    said = json.loads(sidecar.read_text())
    assert said["FrameTimesStart"] == [0.0, 30.0] and said["FrameDuration"] == [30.0, 60.0]
    assert said["DecayCorrectionFactor"] == [1.0, 1.02] and said["frame_prompts"] == [11, None]


def test_nifti_of_equal_frames_has_their_step(tmp_path: Path) -> None:
    frames = [FrameTime(0.0, 20.0, gate=1), FrameTime(20.0, 20.0, gate=2)]
    sidecar = write_nifti(tmp_path / "a.nii", IMAGE, GRID, {}, frames)
    assert nib.load(tmp_path / "a.nii").header["pixdim"][4] == 20
    assert json.loads(sidecar.read_text())["gates"] == [1, 2]


@pytest.mark.parametrize("position", [p for p in PATIENT_POSITIONS if p != UNKNOWN])
def test_nifti_says_of_its_axes_what_the_consoles_letters_say(
    tmp_path: Path, position: PatientPosition
) -> None:
    sidecar = write_nifti(tmp_path / "a.nii", IMAGE[..., 0], GRID, {"patient_position": position})
    ends = [ends_of_axes(position)[axis][1] for axis in "xyz"]
    codes = nib.aff2axcodes(nib.load(tmp_path / "a.nii").affine)
    assert [{"S": "H", "I": "F"}.get(code, code) for code in codes] == ends
    said = json.loads(sidecar.read_text())["orientation"]
    towards = re.findall(r"\+[xyz] (right|anterior|superior|[RLAPSI])", said)
    letters = [{"S": "H", "I": "F"}.get(one[0].upper(), one[0].upper()) for one in towards]
    assert letters == ends
    assert position == "HFS" or position in said


def test_packed_nifti_is_the_same_to_the_byte(tmp_path: Path) -> None:
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, IMAGE, GRID, {}, FRAMES)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_volumes_without_frames_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="2 volumes and 0 frames"):
        write_nifti(tmp_path / "a.nii", IMAGE, GRID, {})


def test_full_disk_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    path = tmp_path / "a.v"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # as a disk that has no more
    try:
        with pytest.raises(FileWriteError, match="Free disk space"), whole_file(path) as file:
            file.write(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), whole_file(tmp_path / "a.v") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_interfile_and_json_say_how_the_patient_lay(tmp_path: Path) -> None:
    about = {"patient_position": "FFDR"}
    header, _ = write_interfile(tmp_path / "a.hv", IMAGE, GRID, FRAMES, about)
    said = keys(header)
    assert (said["patient orientation"], said["patient rotation"]) == ("feet_in", "right")
    sidecar = write_nifti(tmp_path / "a.nii", IMAGE, GRID, about, FRAMES)
    words = json.loads(sidecar.read_text(encoding="utf-8"))["orientation"]
    # on the right side the ceiling is the left; feet first +z is the feet; +x = +y × +z is the back
    assert "FFDR" in words and "+x P, +y L, +z I" in words
    with pytest.raises(ExchangeError, match="patient_position"):
        write_nifti(tmp_path / "b.nii", IMAGE, GRID, {"patient_position": "upright"}, FRAMES)
    assert not (tmp_path / "b.nii").exists()
