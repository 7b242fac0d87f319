"""A set is applied only to the instrument that it names; otherwise the run says why."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import new_set, save_set
from daq.folder.run_config import FACTORY, RunConfig
from daq.service.own_calibration import calibrated
from hw.messages.live_settings import LiveSettings
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from hw.scanner.serial import factory_calibration

MakeConfig = Callable[..., RunConfig]
MINE = "bench2-0007"


@pytest.fixture
def own(tmp_path: Path, bench: Scanner) -> str:
    """A set of the instrument MINE, with an activity calibration beside it."""
    path = save_set(new_set("own", bench, sources=(), serial=MINE), tmp_path / "own.npz")
    (tmp_path / "own.activity.json").write_text("{}")
    return str(path)


def test_the_factory_calibration_is_that_of_the_serial_number(make_config: MakeConfig) -> None:
    found = calibrated(make_config(calibration=FACTORY), "bench2-0001")
    path = factory_calibration("bench2-0001")
    assert (found.calibration, found.serial, found.uncalibrated) == (str(path), "bench2-0001", "")
    assert found.live.activity.endswith("bench2-0001.activity.json")


@pytest.mark.parametrize(
    ("serial", "why"),
    [("", "this source names no serial number"), (MINE, f"no factory calibration .* {MINE}")],
)
def test_another_source_stays_uncalibrated_and_the_run_says_why(
    serial: str, why: str, make_config: MakeConfig
) -> None:
    found = calibrated(make_config(calibration=FACTORY), serial)
    assert (found.calibration, found.serial, found.live.activity) == ("", serial, "")
    assert re.search(why, found.uncalibrated)


def test_no_calibration_can_be_asked_for(make_config: MakeConfig) -> None:
    found = calibrated(make_config(calibration=""), "bench2-0001")
    assert (found.calibration, found.uncalibrated) == ("", "none was asked for")


def test_a_set_of_ones_own_is_applied_with_the_activity_calibration_beside_it(
    own: str, make_config: MakeConfig
) -> None:
    found = calibrated(make_config(calibration=own), MINE)
    assert found.calibration == own
    assert found.live.activity == own.removesuffix(".npz") + ".activity.json"


def test_an_activity_calibration_that_was_asked_for_is_kept(
    own: str, make_config: MakeConfig
) -> None:
    live = LiveSettings(activity="/mine.json")
    assert calibrated(make_config(calibration=own, live=live), MINE).live.activity == "/mine.json"


@pytest.mark.parametrize(
    ("serial", "why"),
    [
        ("", "is of serial number bench2-0007, this source names none"),
        ("bench2-0001", "is of serial number bench2-0007, this source is bench2-0001"),
    ],
)
def test_a_set_of_another_instrument_is_not_applied(
    serial: str, why: str, own: str, make_config: MakeConfig
) -> None:
    found = calibrated(make_config(calibration=own), serial)
    assert found.calibration == "" and why in found.uncalibrated


def test_a_set_that_names_no_instrument_is_taken_at_the_persons_word(
    tmp_path: Path, bench: Scanner, make_config: MakeConfig
) -> None:
    path = save_set(new_set("old", bench, sources=()), tmp_path / "old.npz")
    for serial in ("", "bench2-0001"):
        assert calibrated(make_config(calibration=str(path)), serial).calibration == str(path)


def test_a_set_of_another_scanner_is_refused(tmp_path: Path, make_config: MakeConfig) -> None:
    other = load_scanner("tof_brain")
    path = save_set(new_set("other", other, sources=()), tmp_path / "other.npz")
    with pytest.raises(CalibrationSetError, match="tof_brain"):
        calibrated(make_config(calibration=str(path)), "bench2-0001")
