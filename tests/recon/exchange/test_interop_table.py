"""The table of docs/interop.md: its measure sees a mirror, and a missing program is named."""

from __future__ import annotations

import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))

from interop.hospital import dcmtk_worklist
from interop.images import nifti_nibabel
from interop.phantom import GRID, POSITIONS, difference, image, in_patient
from interop.row import MissingProgramError, program

from hw.messages.patient_position import PatientPosition
from recon.analysis.picture import read_picture
from recon.exchange.images.nifti import nifti_affine, write_nifti

TRUTH = image()[..., 0]


def test_a_row_is_measured(tmp_path: Path) -> None:
    row = nifti_nibabel(tmp_path)
    assert row.difference == "0" and row.good and row.program.startswith("nibabel ")


@pytest.mark.processes
def test_dcmtk_s_worklist_server_gives_what_its_file_says(tmp_path: Path) -> None:
    pytest.importorskip("pynetdicom", reason="pynetdicom is missing: ./tomoshibi setup hospital")
    try:
        row = dcmtk_worklist(tmp_path)
    except MissingProgramError as error:
        pytest.skip(f"dcmtk is not installed: {error}")
    assert row.good and row.difference == "0 fields otherwise than in its file"


def test_the_measure_sees_mirrors_shifts_and_values() -> None:
    affine = nifti_affine(GRID)
    assert difference(TRUTH, affine, TRUTH) == 0
    for axis in range(3):
        assert difference(np.flip(TRUTH, axis), affine, TRUTH) > 0.01
    moved = affine.copy()
    moved[2, 3] += GRID.voxel_mm[2]
    assert difference(TRUTH, moved, TRUTH) == float("inf")
    brighter = TRUTH.copy()
    brighter[3, 4, 5] += 0.01 * TRUTH.max()
    assert difference(brighter, affine, TRUTH) == pytest.approx(0.01, rel=1e-3)
    assert difference(TRUTH, affine, TRUTH, "FFS") > 0.01


@pytest.mark.parametrize("position", POSITIONS)
def test_nifti_has_each_voxel_where_it_is_in_the_patient(
    tmp_path: Path, position: PatientPosition
) -> None:
    """Against places told from the standard alone, with an image that no turn or mirror maps onto
    itself; and measured in it, places are the scanner's again."""
    path = tmp_path / "a.nii.gz"
    write_nifti(path, TRUTH, GRID, {"patient_position": position})
    found = nib.load(path)
    assert difference(found.get_fdata(), found.affine, TRUTH, position) == 0
    others = [one for one in POSITIONS if one != position]
    assert min(difference(found.get_fdata(), found.affine, TRUTH, one) for one in others) > 0.01
    assert np.allclose(found.get_sform(), found.get_qform(), atol=1e-4)
    picture = read_picture(path)
    assert picture.place_mm((0, 0, 0)) == pytest.approx(tuple(GRID.origin_mm))
    assert picture.voxel_mm == pytest.approx(GRID.voxel_mm)


def test_places_in_the_patient_are_those_of_the_standard() -> None:
    """Lying on the right side the right is below; feet first, +z is towards the feet."""
    assert in_patient("HFS")[-1, -1, -1].tolist() == [26.0, 15.0, 10.0]
    below = in_patient("HFDR")[0, 0, 0] - in_patient("HFDR")[0, -1, 0]
    assert below.tolist() == [30.0, 0.0, 0.0]
    assert in_patient("FFP")[0, 0, -1, 2] == -10.0


def test_a_program_that_is_not_here_is_said_with_what_to_install() -> None:
    with pytest.raises(MissingProgramError, match="apt-get install nowhere"):
        program("no-such-program", "nowhere")
