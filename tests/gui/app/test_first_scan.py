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
MOST_CLICKS, MOST_KEYS = 16, 30
"""To a closed run: the form and its use, protocol, arm, start, stop, pages, SUV."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scan")


def told_by(place: Path, *options: str) -> dict[str, Any]:
    """What the script prints of a scan in a window of 1280 × 800."""
    with Desktop("1280x800") as desktop:
        script = [str(ROOT / "tests/first_scan.py"), "--json", "--runs", str(place)]
        done = subprocess.run(
            [sys.executable, *script, *options],
            env=desktop.environment | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
            capture_output=True, text=True, timeout=400,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def told(place: Path) -> dict[str, Any]:
    return told_by(place)


def test_it_takes_few_clicks_and_keys(told: dict[str, Any]) -> None:
    assert told["window"] == "xcb", "not in a real window"
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


@pytest.mark.evidence
def test_the_whole_of_it_each_process_killed_replayed_and_judged(tmp_path: Path) -> None:
    told = told_by(tmp_path, "--whole")
    first, _, third, replayed, *_ = (tmp_path / name for name in told["runs"])
    summaries = [json.loads((run / "summary.json").read_text()) for run in (first, third, replayed)]
    assert [summary["condition"] for summary in summaries] == ["good", "tainted", "good"]
    assert [gap["why"] for gap in summaries[1]["interruptions"]] == ["the daq was restarted"]
    config = json.loads((third / "run.json").read_text())["config"]
    assert config["protocol"]["name"] == "pet-counts", "the first scan's, after the daq died too"
    assert told["qc"] == "✓ QC: pass"
