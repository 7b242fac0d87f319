"""What is told before a start: of each check what is right, what is doubtful, and what stops."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daq.folder.calibration_set import load_set
from daq.folder.run_config import FACTORY, RunConfig, default_settings
from daq.service.watching.start_checks import STALE_DAYS, Facts, StartChecks
from hw.messages.telemetry import StartCheck
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.scanner.serial import factory_calibration

GB = 10**9
BENCH = scanner_to_toml_text("bench2")
SETTINGS = default_settings(load_scanner("bench2"))
TEMPLATE = RunConfig(scanner_toml=BENCH, settings=SETTINGS, calibration=FACTORY)
GOOD = Facts(
    template=TEMPLATE, serial="bench2-0001", sources="emulator (bench2)", mismatch="", imager=True,
    disk_free=80 * GB, least_free=GB // 4, bytes_per_s=2e6,
)  # fmt: skip


def made(day: int = 0) -> StartChecks:
    path = factory_calibration("bench2-0001")
    assert path is not None
    created = dt.datetime.fromisoformat(load_set(path).about.created)
    return StartChecks(lambda: True, lambda: created + dt.timedelta(days=day))


def found(facts: Facts, checks: StartChecks | None = None) -> dict[str, StartCheck]:
    return {check.name: check for check in (checks or made()).of(facts)}


def test_where_all_is_well_it_is_said_of_each() -> None:
    told = found(GOOD)
    assert list(told) == ["source", "calibration", "disk", "imager", "clock"]
    assert {check.state for check in told.values()} == {"ok"}
    assert told["disk"].words == "80 GB free: 11 h at the last run's rate"
    assert told["calibration"].words.endswith(", of today")


@pytest.mark.parametrize(
    ("name", "changes", "state", "words"),
    [
        ("source", {"mismatch": "no source is attached"}, "stops", "no source"),
        ("imager", {"imager": False}, "warning", "tomoshibi imager"),
        ("disk", {"disk_free": GB // 10}, "stops", "a run needs 0.25: make room"),
        ("disk", {"disk_free": 2 * GB}, "warning", "2 GB free: 15 min at"),
        ("disk", {"disk_free": 2 * GB, "bytes_per_s": 0.0}, "ok", "2 GB free"),
        ("calibration", {"serial": ""}, "warning", "none: "),
        ("calibration", {"serial": "bench2-9999"}, "warning", "no factory calibration of serial"),
    ],
)
def test_what_is_wrong_is_told(name: str, changes: dict[str, Any], state: str, words: str) -> None:
    check = found(replace(GOOD, **changes))[name]
    assert check.state == state
    assert words in check.words


def test_a_planned_duration_needs_its_room() -> None:
    long = RunConfig(
        scanner_toml=BENCH, settings=SETTINGS, calibration=FACTORY, duration_s=43_200.0
    )
    assert found(replace(GOOD, template=long))["disk"].state == "warning"


def test_a_calibration_grows_old_with_the_days() -> None:
    assert found(GOOD, made(day=STALE_DAYS))["calibration"].state == "ok"
    old = found(GOOD, made(day=STALE_DAYS + 1))["calibration"]
    assert old.state == "warning"
    assert "91 days old" in old.words


def test_a_damaged_set_stops(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    path.write_bytes(b"no set")
    template = RunConfig(scanner_toml=BENCH, settings=SETTINGS, calibration=str(path))
    assert found(replace(GOOD, template=template))["calibration"].state == "stops"


def test_a_clock_that_nobody_keeps_is_told() -> None:
    checks = made()
    checks.synchronised = lambda: False
    assert found(GOOD, checks)["clock"].state == "warning"
    checks.synchronised = lambda: None  # it cannot be told
    assert found(GOOD, checks)["clock"].state == "ok"
