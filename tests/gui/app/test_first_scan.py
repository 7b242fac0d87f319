"""A whole first scan by mouse and keys, in a real window with a window manager."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pydicom
import pytest

from daq.folder.identity.review_file import read_review
from daq.folder.identity.study_file import read_study
from daq.folder.region_file import read_regions
from rigs.gui.desktop import Desktop, missing

pytestmark = [
    pytest.mark.gui,
    pytest.mark.processes,
    pytest.mark.timeout(420),
    pytest.mark.skipif(bool(missing()), reason=missing() or "complete"),
]

ROOT = Path(__file__).parents[3]
MOST_CLICKS, MOST_KEYS = 14, 30
"""To a run that is closed: the form's seven fields and their use, arm, start, stop, pages, SUV."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scan")


@pytest.fixture(scope="module")
def told(place: Path) -> dict[str, Any]:
    """What the script prints of a scan in a window of 1280 × 800."""
    with Desktop("1280x800") as desktop:
        done = subprocess.run(
            [sys.executable, str(ROOT / "tests/first_scan.py"), "--json", "--runs", str(place)],
            env=desktop.environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_it_takes_few_clicks_and_keys(told: dict[str, Any]) -> None:
    assert told["clicks_to_a_closed_run"] <= MOST_CLICKS
    assert told["keys_to_a_closed_run"] <= MOST_KEYS


def test_the_run_has_what_was_typed_and_decided(told: dict[str, Any], place: Path) -> None:
    folder = place / told["runs"][0]
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["condition"], summary["conserved"]) == ("good", True)
    study, signed = read_study(folder), read_review(folder)
    assert study is not None and (study.weight_kg, study.injected_MBq) == (70.0, 185.0)
    assert signed is not None and (signed.verdict, signed.reviewed_by) == ("keep", "Dr. Ito")
    assert len(read_regions(folder)) == 1
    assert (folder / "live.pdf").read_bytes().startswith(b"%PDF")
    images = [json.loads((folder / "images" / f"{n}.json").read_text()) for n in ("live", "bsrem")]
    assert [image["unit"] for image in images] == ["Bq/mL", "Bq/mL"]
    assert [image["patient_position"] for image in images[1:]] == ["HFS"]


def test_the_signature_is_in_the_dicom_files(told: dict[str, Any], place: Path) -> None:
    folder = place / told["runs"][0]
    command = ["reconstruct", str(folder), "--iterations", "1", "--subsets", "2"]
    (place / "d").mkdir()
    where = ["--format", "dicom", "--output", str(place / "d" / "image.nii.gz")]
    subprocess.run(
        [sys.executable, "-m", "daq.cli", *command, *where],
        cwd=ROOT, check=True, timeout=200, capture_output=True,
    )  # fmt: skip
    made = pydicom.dcmread(next(iter(sorted((place / "d").rglob("*.dcm")))))
    assert made.ApprovalStatus == "APPROVED"
    assert str(made.ReviewerName) == "Dr. Ito"


def test_the_source_that_died_in_the_second_scan_is_in_its_record(
    told: dict[str, Any], place: Path
) -> None:
    folder = place / told["runs"][1]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["condition"] == "incomplete"
    assert [gap["why"] for gap in summary["interruptions"]] == ["emulator was restarted"]
    assert read_study(folder) == read_study(place / told["runs"][0]), "for the same patient"
