"""`tomoshibi export --image`: the image that the console showed, in a viewer, is the same image."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from coincidence.events import COINCIDENCE
from daq.cli import main
from daq.folder.identity.identity_file import identity_of, write_identity
from daq.folder.identity.study_file import study_of, write_study
from daq.folder.listmode_log import FILE_NAME, ListmodeReader
from daq.folder.run_folder import run_config, started_at
from daq.folder.run_identity import RunIdentity
from gui.study.reading import read_study_form
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.physics.nuclides import load_nuclide
from hw.physics.suv import suv_per_Bq_per_mL
from hw.wire.block_layout import BlockKind
from oracles import dicom_suv as viewer
from recon.core.scanner_tables import ReconSystem
from recon.imager.pet_run import PetLiveRun
from recon.live.imager import LiveImager
from recon.live.lines import CrystalLines
from rigs.exchange_data import dciodvfy
from rigs.runs.short_run import emulated

OXYGEN = load_nuclide("O-15")
INJECTED_S, INJECTED_MBQ, WEIGHT_KG = -300.0, 300.0, 62.0


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a patient who lay prone, imaged as it went; its image in Bq/mL."""
    folder = emulated(tmp_path_factory.mktemp("runs"), "run", patient_position="HFP")
    start = started_at(folder)
    assert start is not None
    given = (start + timedelta(seconds=INJECTED_S)).isoformat()
    known = ("--weight-kg", str(WEIGHT_KG), "--injected-MBq", str(INJECTED_MBQ))
    assert main(["study", str(folder), *known, "--injected-at", given]) == 0
    imaged(folder)
    return folder


def imaged(folder: Path) -> None:
    """Play a run's list to the imager."""
    config = run_config(folder)
    system = ReconSystem.of(config.scanner())
    imager = LiveImager(
        CrystalLines(system), np.full(system.grid.shape, 0.01, np.float32), clock=lambda: 0.0
    )
    blocks = [
        part for kind, part in ListmodeReader(folder / FILE_NAME) if kind is BlockKind.PROMPTS
    ]
    prompts = np.concatenate(blocks)
    begin = RunBegin(
        run=folder.name, folder=str(folder), scanner_toml=config.scanner_toml,
        settings=config.settings, half_life_s=OXYGEN.half_life_s, nuclide=OXYGEN.name,
        beta_plus_fraction=OXYGEN.beta_plus_fraction,
    )  # fmt: skip
    run = PetLiveRun(begin, imager, clock=lambda: 0.0)
    header = CoincidenceBatch(
        run=folder.name, sequence=0, prompts=len(prompts), delayeds=0, prompts_before=0,
        delayeds_before=0, watermark_ps=int(prompts["time_ps"].max()), event_wall_ns=0,
    )  # fmt: skip
    run.take(header, [prompts.astype(COINCIDENCE).tobytes(), b""])
    end = RunEnd(run=folder.name, prompts=len(prompts), delayeds=0)
    assert run.end(end, stopped=lambda: False) is not None
    assert "does not say" not in run.report().message
    run.close()
    imager.close()


def exported(folder: Path, name: str, form: str, path: Path) -> Path:
    asked = ["--image", name, "--format", form, "--output", str(path)]
    assert main(["export", str(folder), *asked]) == 0
    return path


def test_a_viewer_finds_the_live_image_and_whose_it_is(run_folder: Path, tmp_path: Path) -> None:
    exported(run_folder, "live", "dicom", tmp_path / "live.nii.gz")
    (series,) = viewer.series_in(tmp_path / "live-dicom")
    assert not dciodvfy(tmp_path / "live-dicom" / "PT000001.dcm")[0]
    one, identity, start = series[0], RunIdentity.of(run_folder), started_at(run_folder)
    assert one.StudyInstanceUID == identity.study_uid
    assert one.FrameOfReferenceUID == identity.frame_of_reference_uid
    assert list(one.ImageOrientationPatient) == [-1, 0, 0, 0, -1, 0]
    assert viewer.half_life_s(one) == pytest.approx(OXYGEN.half_life_s)
    assert float(one.PatientWeight) == WEIGHT_KG
    assert start is not None and one.DecayCorrection == "START"
    for moment in (viewer.scan_moment(one), viewer.corrected_to(one), viewer.acquired(one)[0]):
        assert abs((moment - start).total_seconds()) < 1e-3
    shown = nib.load(run_folder / "images" / "live.nii.gz").get_fdata()
    corner, along = viewer.place_mm(one, 0, 0), np.array(one.ImageOrientationPatient, float)
    assert (corner[:2] > 0).all() and list(along[[0, 4]]) == [-1, -1]  # rows and columns run back
    seen = viewer.values(series)[:, ::-1, ::-1].transpose(2, 1, 0)  # prone: +x left, +y back
    np.testing.assert_allclose(seen, shown, rtol=1e-4, atol=1e-4 * shown.max())


def test_only_where_it_is_asked_for_a_patient_is_in_it_as_the_form_names_them(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "of-someone"
    shutil.copytree(run_folder, folder)
    typed = {"patient_id": "MRN 4711/β", "sex": "F", "age_years": "42"}
    read = read_study_form(typed, datetime.now(UTC))
    assert not read.faults
    write_identity(folder, identity_of(read.args["identity"]))
    write_study(folder, study_of(read.args["study"]))

    plain = exported(folder, "live", "dicom", tmp_path / "plain.nii.gz")
    (nobody, *_), *_ = viewer.series_in(plain.with_name("plain-dicom"))
    assert nobody.PatientID == "of-someone" and not nobody.PatientSex
    assert nobody.PatientIdentityRemoved == "YES"

    asked = ["export", str(folder), "--image", "live", "--format", "dicom", "--identified"]
    assert main(asked) != 0  # in the run's folder it would lie beside what is given on
    assert "outside of the run's folder" in capsys.readouterr().err
    assert main([*asked, "--output", str(tmp_path / "named.nii.gz")]) == 0
    files = tmp_path / "named-dicom"
    (one, *_), *_ = viewer.series_in(files)
    assert (one.PatientID, one.PatientSex, one.PatientAge) == ("MRN 4711/β", "F", "042Y")
    assert one.PatientIdentityRemoved == "NO" and "DeidentificationMethod" not in one
    assert not dciodvfy(files / "PT000001.dcm")[0]
    modes = {path.stat().st_mode & 0o777 for path in (files, *files.iterdir())}
    assert modes == {0o700, 0o600}


def test_its_suv_is_that_of_the_console(run_folder: Path, tmp_path: Path) -> None:
    """Of an image in Bq/mL: what is said beside the live image of this run is changed to it."""
    images = run_folder / "images"
    (images / "calibrated.nii.gz").write_bytes((images / "live.nii.gz").read_bytes())
    told = json.loads((images / "live.json").read_text())
    told["unit"] = "Bq/mL"
    told["corrections"]["attenuation"]["applied"] = True
    (images / "calibrated.json").write_text(json.dumps(told))
    exported(run_folder, "calibrated", "dicom", tmp_path / "a.nii.gz")
    (series,) = viewer.series_in(tmp_path / "a-dicom")
    factor = suv_per_Bq_per_mL(
        WEIGHT_KG, INJECTED_MBQ * 1e6, half_lives_since=-INJECTED_S / OXYGEN.half_life_s
    )
    assert viewer.suv_per_value(series[0]) == pytest.approx(factor, rel=1e-6)


def test_the_other_formats_and_names_that_are_free(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = run_folder / "images"
    whole = nib.load(images / "live_unfiltered.nii.gz").get_fdata()
    for number in ("", "-2"):
        assert (
            main(["export", str(run_folder), "--image", "live_unfiltered", "--format", "nifti"])
            == 0
        )
        made = run_folder / "export" / f"live_unfiltered{number}.nii.gz"
        np.testing.assert_array_equal(nib.load(made).get_fdata(), whole)
    header = exported(run_folder, "live", "interfile", tmp_path / "b.nii.gz").with_name("b.hv")
    assert "!imaging modality := PT" in header.read_text()
    assert main(["export", str(run_folder), "--image", "osem", "--format", "dicom"]) == 1
    assert "--image osem: run holds" in capsys.readouterr().err
    assert main(["export", str(run_folder), "--format", "dicom"]) == 1
    assert main(["export", str(run_folder), "--image", "live", "--format", "petsird"]) == 1
