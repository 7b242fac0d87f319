"""The JSON beside a PET image has what BIDS requires, as its own schema says where it is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid
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
