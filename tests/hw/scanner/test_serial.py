"""A serial number names one instrument; the sets that come with the package name theirs."""

from __future__ import annotations

import msgspec
import pytest

from daq.folder.calibration_set import Status, load_set_for
from hw.scanner.description import ScannerError
from hw.scanner.preset_file import load_scanner, scanner_names
from hw.scanner.serial import (
    CALIBRATION_FOLDER,
    activity_beside,
    check_serial,
    factory_calibration,
    serial_of,
    standard_serial,
)
from recon.core.quantification import load_calibration

PET = ("bench2", "caremibrain", "tof_brain")
MOST_BYTES = 1_000_000


@pytest.mark.parametrize("name", scanner_names())
def test_a_shipped_presets_scanner_has_the_first_serial_number(name: str) -> None:
    assert standard_serial(load_scanner(name)) == f"{name}-0001"
    assert serial_of("", load_scanner(name)) == f"{name}-0001"


def test_a_preset_that_was_changed_is_another_instrument() -> None:
    bench = load_scanner("bench2")
    changed = msgspec.structs.replace(bench.response, gain_spread=0.2)
    other = standard_serial(msgspec.structs.replace(bench, response=changed))
    assert other.startswith("bench2-") and other != "bench2-0001"
    assert factory_calibration(other) is None


@pytest.mark.parametrize("serial", ["../secret", "a b", "-x", "x" * 61, "é"])
def test_what_is_no_serial_number_is_refused(serial: str) -> None:
    with pytest.raises(ScannerError, match="serial number"):
        check_serial(serial)
    with pytest.raises(ScannerError, match="serial number"):
        factory_calibration(serial)


def test_a_source_without_serial_number_has_no_factory_calibration() -> None:
    assert factory_calibration("") is None
    assert factory_calibration("digitizer-17") is None


@pytest.mark.parametrize("name", PET)
def test_every_pet_preset_comes_calibrated(name: str) -> None:
    path = factory_calibration(f"{name}-0001")
    assert path is not None
    found = load_set_for(path, load_scanner(name))
    assert found.about.serial == f"{name}-0001"
    for quantity in ("gain", "skew_ps", "walk_ps", "efficiency"):
        assert (found.statuses[quantity] != Status.NOT_CALIBRATED).all()
    activity = activity_beside(path)
    assert activity is not None
    acquisition = load_scanner(name).acquisition
    factor = load_calibration(activity)
    assert (factor.scanner, factor.lld_keV) == (name, acquisition.lld_keV)
    assert factor.corrections["normalisation"] and factor.corrections["scatter"]


def test_every_factory_calibration_names_the_instrument_of_its_file() -> None:
    files = sorted(CALIBRATION_FOLDER.glob("*.npz"))
    assert [path.stem for path in files] == sorted(f"{name}-0001" for name in PET)


def test_the_factory_calibrations_are_small() -> None:
    assert sum(path.stat().st_size for path in CALIBRATION_FOLDER.iterdir()) < MOST_BYTES
