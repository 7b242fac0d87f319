"""Limits of acceptance in a preset: optional, checked, and without effect on who the scanner is."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.scanner.description import ScannerError
from hw.scanner.limits import Nu2Limits
from hw.scanner.preset_file import PRESET_FOLDER, load_scanner, parse_scanner, scanner_names
from hw.scanner.serial import standard_serial

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
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


def test_shipped_rings_state_the_limits_of_nu_2():
    """Two heads and cameras are no scanner that NEMA NU 2 is for."""
    limited = {name for name in scanner_names() if load_scanner(name).acceptance}
    assert limited == {"caremibrain", "tof_brain"}


@pytest.mark.parametrize("name", ["caremibrain", "tof_brain"])
def test_only_a_scanner_with_time_of_flight_has_a_limit_of_it(name):
    scanner = load_scanner(name)
    assert (limits_of(name).most_tof_fwhm_ps is not None) == scanner.acquisition.tof


def test_a_lost_module_of_caremibrain_is_beyond_its_limit():
    """Published: 13.82 cps/kBq. A pair needs two of the 48 modules."""
    least = limits_of("caremibrain").least_sensitivity_cps_per_kBq
    assert least is not None
    assert 13.82 * (1 - 2 / 48) < least < 13.82


def test_a_lost_block_of_the_mouse_ring_is_beyond_its_limit():
    """Measured: 3.569 % (docs/validation.md). A pair needs two of the 64 blocks."""
    scanner = load_scanner(str(EXAMPLES / "mouse_ring.toml"))
    assert scanner.acceptance is not None
    limits = scanner.acceptance.nu4
    assert limits is not None
    assert limits.least_sensitivity_percent is not None
    assert 3.569 * (1 - 2 / 64) < limits.least_sensitivity_percent < 3.569


def limits_of(name: str) -> Nu2Limits:
    limits = load_scanner(name).acceptance
    assert limits is not None
    assert limits.nu2 is not None
    return limits.nu2
