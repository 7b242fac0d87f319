"""What is told before a start: of each check what is right, what is doubtful, and what stops."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daq.folder.calibration_set import load_set
from daq.folder.quality.qc_result import QcPart, QcResult, new_qc, write_qc
from daq.folder.run_config import FACTORY, RunConfig, default_settings
from daq.service.watching.start_checks import STALE_DAYS, Facts, StartChecks
from hw.messages.telemetry import StartCheck
from hw.notices.catalogue import notice, words_of
from hw.scanner.judged_figure import Figure
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from hw.scanner.serial import factory_calibration

GB = 10**9
BENCH = scanner_to_toml_text("bench2")
SETTINGS = default_settings(load_scanner("bench2"))
TEMPLATE = RunConfig(scanner_toml=BENCH, settings=SETTINGS, calibration=FACTORY)
GOOD = Facts(
    template=TEMPLATE, serial="bench2-0001", sources="emulator (bench2)", mismatch=None,
    imager=True, disk_free=80 * GB, least_free=GB // 4, bytes_per_s=2e6, modules_live=2,
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
    assert list(told) == ["source", "modules", "calibration", "disk", "imager", "clock"]
    assert {check.state for check in told.values()} == {"ok"}
    assert told["disk"].words == "80 GB free: 11 h at the last run's rate"
    assert told["calibration"].words.endswith(", of today")
    assert told["modules"].words == "all 2 live"
    assert all(words_of(check.id, check.values, "ja") for check in told.values())


@pytest.mark.parametrize(
    ("name", "changes", "state", "words"),
    [
        ("source", {"mismatch": notice("refused.no_source")}, "stops", "no source"),
        ("modules", {"modules_live": 1}, "warning", "1 of 2 live"),
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


def make_qc(runs: Path, measured: dt.datetime, *, noisy: int = 0, serial: str = "bench2-0001",
            run: str = "monday") -> None:  # fmt: skip
    figure = Figure("noisy crystals", float(noisy), limit_key="most_noisy", limit=0.0)
    result = QcResult(
        run=run, scanner="bench2", serial=serial, modality="PET", source="point",
        measured=measured.isoformat(), made=measured.isoformat(), detector_time_s=60.0,
        calibration="none", overdue_h=24.0, parts=(QcPart(title="Crystals", figures=(figure,)),),
    )  # fmt: skip
    with new_qc(runs, run) as folder:
        write_qc(folder, result)


def test_that_there_is_no_qc_is_a_warning(tmp_path: Path) -> None:
    check = found(replace(GOOD, runs=tmp_path))["QC"]
    assert (check.state, check.words) == (
        "warning",
        "no QC yet (`tomoshibi qc run last` makes one)",
    )


def test_a_failed_or_overdue_qc_warns_and_refuses_nothing(tmp_path: Path) -> None:
    checks, facts = made(), replace(GOOD, runs=tmp_path)
    now = checks.today()
    make_qc(tmp_path, now - dt.timedelta(hours=1), run="one")
    assert found(facts, checks)["QC"].words == "valid, 60 min old"
    checks.today = lambda: now + dt.timedelta(hours=30)
    overdue = found(facts, checks)["QC"]
    assert (overdue.state, overdue.words) == ("warning", "31 h old: one is due every 24 h")
    make_qc(tmp_path, now + dt.timedelta(hours=29), noisy=1, run="two")
    failed = found(facts, checks)["QC"]
    assert (failed.state, failed.words) == ("warning", "failed: noisy crystals; 60 min old")


def test_the_qc_of_another_instrument_is_not_this_ones(tmp_path: Path) -> None:
    checks = made()
    make_qc(tmp_path, checks.today(), noisy=1, serial="bench2-0002")
    assert found(replace(GOOD, runs=tmp_path), checks)["QC"].words.startswith("no QC yet")
