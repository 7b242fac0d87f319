"""The JSON beside a PET image has what BIDS requires, as its own schema says where it is there."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
from recon.exchange.errors import ExchangeError
from recon.exchange.images.bids_folder import write_bids
from recon.exchange.images.formats import MadeImage, formats_of, write_images
from recon.exchange.images.nifti import write_nifti

GRID = ImageGrid((6, 5, 4), (2.0, 2.5, 3.0))
ABOUT: dict[str, Any] = {
    "created": "2026-11-21T10:00:00+00:00", "scanner": "caremibrain", "unit": "Bq/mL",
    "algorithm": "list-mode OSEM", "iterations": 4, "subsets": 8, "post_filter_fwhm_mm": 3.0,
    "corrections": {"decay": True, "attenuation": {"applied": True, "how": "the run's µ map"}},
    "nuclide": "F-18", "tracer": "FDG", "administered_activity_Bq": 1.5e8, "injected_s": -3600.0,
    "decay_reference_s": 0.0,
}  # fmt: skip
REQUIRED = {
    "Manufacturer", "ManufacturersModelName", "Units", "TracerName", "TracerRadionuclide",
    "InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectedMass", "InjectedMassUnits",
    "SpecificRadioactivity", "SpecificRadioactivityUnits", "ModeOfAdministration", "TimeZero",
    "ScanStart", "InjectionStart", "FrameTimesStart", "FrameDuration", "AcquisitionMode",
    "ImageDecayCorrected", "ImageDecayCorrectionTime", "ReconMethodName",
    "ReconMethodParameterLabels", "ReconMethodParameterUnits", "ReconMethodParameterValues",
    "ReconFilterType", "ReconFilterSize", "AttenuationCorrection",
}  # fmt: skip
"""Of rules.sidecars.pet in BIDS's schema (bidsschematools 2.0.1), for an image with a filter."""


def sidecar(folder: Path, **changes: Any) -> dict[str, Any]:
    about = {key: value for key, value in {**ABOUT, **changes}.items() if value is not None}
    frames = [FrameTime(0.0, 60.0)]
    image = np.ones(GRID.shape, np.float32)
    path = write_nifti(folder / "a.nii.gz", image, GRID, about, frames)
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_every_key_that_bids_requires_is_there(tmp_path: Path) -> None:
    said = sidecar(tmp_path)
    assert set(said) >= REQUIRED
    assert (said["TracerName"], said["TracerRadionuclide"]) == ("FDG", "F18")
    assert (said["InjectedRadioactivity"], said["InjectedRadioactivityUnits"]) == (150.0, "MBq")
    assert (said["TimeZero"], said["ScanStart"], said["InjectionStart"]) == ("10:00:00", 0, -3600)
    assert said["ReconMethodParameterValues"] == [4, 8] and said["ReconFilterSize"] == 3.0
    assert said["AttenuationCorrection"] == "the run's µ map"
    assert said["ImageDecayCorrected"] is True


def test_what_is_not_known_is_not_made_up(tmp_path: Path) -> None:
    said = sidecar(
        tmp_path, administered_activity_Bq=None, injected_s=None, created=None, nuclide="a mixture",
        iterations=None, subsets=None, post_filter_fwhm_mm=0.0, corrections={},
    )  # fmt: skip
    lacking = {
        "InjectedRadioactivity",
        "InjectionStart",
        "TimeZero",
        "TracerName",
        "ReconFilterSize",
    }
    assert not lacking & set(said)
    assert said["ReconMethodParameterLabels"] == ["none"] and said["ReconFilterType"] == "none"
    assert said["AttenuationCorrection"] == "none" and said["ImageDecayCorrected"] is False


def test_bids_s_own_schema_asks_for_no_more(tmp_path: Path) -> None:
    schema = pytest.importorskip("bidsschematools.schema", reason="pip install bidsschematools")
    rules = schema.load_schema()["rules"]["sidecars"]["pet"]
    asked = {
        name
        for rule in rules.values()
        if 'suffix == "pet"' in rule["selectors"] and len(rule["selectors"]) == 2
        for name, level in rule["fields"].items()
        if (level if isinstance(level, str) else level["level"]) == "required"
    }
    assert asked <= set(sidecar(tmp_path))


FRAMES = [FrameTime(0.0, 60.0), FrameTime(60.0, 120.0)]


def dataset(folder: Path) -> Path:
    image = np.ones((*GRID.shape, 2), np.float32)
    return write_bids(folder, image, GRID, FRAMES, {**ABOUT, "run": "brain 7_a", "weight_kg": 70.5})


def test_a_dataset_has_its_places_and_names_nobody(tmp_path: Path) -> None:
    image = dataset(tmp_path / "set")
    assert image.relative_to(tmp_path / "set").as_posix() == (
        "sub-brain7a/pet/sub-brain7a_trc-FDG_pet.nii.gz"
    )
    said = json.loads(image.with_name("sub-brain7a_trc-FDG_pet.json").read_text(encoding="utf-8"))
    assert set(said) >= REQUIRED - {"ReconFilterSize"} and said["FrameDuration"] == [60.0, 120.0]
    assert (tmp_path / "set" / "participants.tsv").read_text() == (
        "participant_id\tweight\nsub-brain7a\t70.5\n"
    )
    again = dataset(tmp_path / "set")  # the same dataset anew, and nobody else's
    assert again == image
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    with pytest.raises(Exception, match=r"thesis\.tex"):
        dataset(tmp_path / "other")


def test_bids_has_no_place_for_spect(tmp_path: Path) -> None:
    made = MadeImage(np.ones(GRID.shape, np.float32), GRID, [FrameTime(0.0, 60.0)], ABOUT, "SPECT")
    with pytest.raises(ExchangeError, match="none for SPECT"):
        write_images(made, tmp_path / "a.nii.gz", ["bids"])
    with pytest.raises(ExchangeError, match="none for SPECT"):  # before anything is reconstructed
        formats_of("nifti,bids", modality="SPECT")


def test_the_validator_finds_no_error(tmp_path: Path) -> None:
    program = shutil.which("bids-validator-deno")
    if program is None:
        pytest.skip("bids-validator-deno is not installed: pip install bids-validator-deno")
    dataset(tmp_path / "set")
    asked = [program, "--json", str(tmp_path / "set")]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    found = json.loads(done.stdout)["issues"]["issues"]
    assert [one for one in found if one["severity"] == "error"] == []
