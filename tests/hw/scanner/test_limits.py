"""Limits of acceptance in a preset: optional, checked, and without effect on who the scanner is."""

from __future__ import annotations

import pytest

from hw.scanner.description import ScannerError
from hw.scanner.preset_file import PRESET_FOLDER, parse_scanner, scanner_names
from hw.scanner.serial import standard_serial

TEXT = (PRESET_FOLDER / "bench2.toml").read_text(encoding="utf-8").replace("bench2", "mine")


def with_limits(lines: str) -> str:
    return f"{TEXT}\n{lines}\n"


def test_limits_are_read_and_may_be_left_out():
    scanner = parse_scanner(with_limits("[acceptance.nu2]\nmost_fwhm_mm = 3.0"))
    assert scanner.acceptance is not None
    assert scanner.acceptance.nu2 is not None
    assert scanner.acceptance.nu2.most_fwhm_mm == 3.0
    assert scanner.acceptance.nu2.most_scatter_fraction is None
    assert scanner.acceptance.nu4 is None
    assert parse_scanner(TEXT).acceptance is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[acceptance.nu2]\nmost_fwmh_mm = 3.0", "did you mean most_fwhm_mm"),
        ("[acceptance.nu3]\nmost_fwhm_mm = 3.0", "nu3 is not a key"),
        ("[acceptance.nu4]\nleast_recovery = -1", "least_recovery = -1"),
        ("[acceptance.nu4]\nleast_recovery = 'all'", "least_recovery = 'all'"),
    ],
)
def test_limits_that_are_wrong_are_refused(lines, words):
    with pytest.raises(ScannerError, match=words):
        parse_scanner(with_limits(lines))


def test_limits_do_not_change_the_serial_number():
    limited = parse_scanner(with_limits("[acceptance.nu2]\nmost_fwhm_mm = 3.0"))
    assert standard_serial(limited) == standard_serial(parse_scanner(TEXT))
    shipped = (PRESET_FOLDER / "bench2.toml").read_text(encoding="utf-8")
    limited = parse_scanner(f"{shipped}\n[acceptance.nu2]\nmost_fwhm_mm = 3.0\n")
    assert standard_serial(limited) == "bench2-0001"


def test_shipped_presets_state_no_limits():
    from hw.scanner.preset_file import load_scanner

    assert [name for name in scanner_names() if load_scanner(name).acceptance] == []
