"""Limits of the daily QC in a preset: there by default, checked, no part of who the scanner is."""

from __future__ import annotations

import pytest

from hw.scanner.description import ScannerError
from hw.scanner.preset_file import PRESET_FOLDER, parse_scanner
from hw.scanner.serial import standard_serial

TEXT = (PRESET_FOLDER / "bench2.toml").read_text(encoding="utf-8")


def test_every_preset_has_limits_and_may_state_its_own() -> None:
    assert parse_scanner(TEXT).qc.overdue_h == 24.0
    stated = parse_scanner(f"{TEXT}\n[qc]\noverdue_h = 12.0\n")
    assert stated.qc.overdue_h == 12.0
    assert stated.qc.most_noisy == 0.0
    assert standard_serial(stated) == "bench2-0001"


@pytest.mark.parametrize(
    ("line", "words"),
    [("overdue_d = 1", "did you mean overdue_h"), ("most_ctr_ratio = 0", "most_ctr_ratio = 0")],
)
def test_limits_that_are_wrong_are_refused(line: str, words: str) -> None:
    with pytest.raises(ScannerError, match=words):
        parse_scanner(f"{TEXT}\n[qc]\n{line}\n")
