"""`tomoshibi validate`: a table, JSON, a page; exit status 1 where a figure fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from daq.cli import main
from daq.cli.validate import matter

FAST = ("--quick", "--threads", "1", "--only", "attenuation", "--only", "compton")


def test_table_and_exit_status_through_the_command_line():
    argv = [sys.executable, "-m", "daq.cli", "validate", "emulator", *FAST]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["figure", "measured", "expected", "tolerance", "verdict"]
    assert lines[1].startswith("µ(water) at 511 keV")
    assert all(line.endswith("pass") for line in lines[1:-1])
    assert lines[-1] == "5 of 5 figures pass, with few counts (--quick)"


def test_page_tells_figures_sources_and_the_command_that_wrote_it(tmp_path, capsys):
    page = tmp_path / "validation.md"
    assert main(["validate", "emulator", *FAST, "--write", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "# Validation of the emulator" in text
    assert "`tomoshibi validate emulator --only attenuation --only compton --quick" in text
    assert "not edited by hand" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0] == "| figure | measured | expected | tolerance | verdict | source |"
    assert len(rows) == 1 + 5
    assert all("| pass |" in row for row in rows[1:])
    assert "NISTIR 5632" in text


def test_figure_that_fails_makes_exit_status_1(monkeypatch, capsys):
    wrong = {energy: 1.1 * value for energy, value in matter.NIST_WATER_CM2_PER_G.items()}
    monkeypatch.setattr(matter, "NIST_WATER_CM2_PER_G", wrong)
    assert main(["validate", "emulator", "--only", "attenuation", "--json"]) == 1
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [f["verdict"] for f in result["figures"]] == ["FAIL", "FAIL"]
    assert result["summary"] == "0 of 2 figures pass, 2 FAIL"


def test_check_that_breaks_fails_and_the_others_are_computed(monkeypatch, capsys):
    def broken(scope: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(matter, "attenuation", broken)
    assert main(["validate", "emulator", *FAST, "--json"]) == 1
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["figures"][0]["verdict"] == "FAIL"
    assert result["figures"][0]["reason"] == "ValueError: no such thing"
    assert {f["verdict"] for f in result["figures"][1:]} == {"pass"}


def test_figures_without_reference_data_are_told_as_not_run(monkeypatch, capsys):
    monkeypatch.delenv("TOMOSHIBI_REFERENCE_DATA", raising=False)
    assert main(["validate", "emulator", "--only", "spectra", "--quick"]) == 0
    text = capsys.readouterr().out
    assert "not run: spectrum of singles, point in air: TOMOSHIBI_REFERENCE_DATA names no" in text
    assert "0 of 2 figures pass, 2 not run" in text


@pytest.mark.reference_data
def test_spectra_agree_with_gate_and_are_drawn(tmp_path, capsys):
    root = os.environ.get("TOMOSHIBI_REFERENCE_DATA")
    if not root or not (Path(root) / "gate").is_dir():
        pytest.skip("TOMOSHIBI_REFERENCE_DATA names no folder with gate/ in it")
    page = tmp_path / "validation.md"
    assert main(["validate", "emulator", "--only", "spectra", "--quick", "--write", str(page)]) == 0
    assert (tmp_path / "images/validation_spectra.png").read_bytes().startswith(b"\x89PNG")
    assert "](images/validation_spectra.png)" in page.read_text(encoding="utf-8")


def test_list_names_the_checks_and_an_unknown_one_is_refused_with_them(capsys):
    assert main(["validate", "emulator", "--list"]) == 0
    assert "half-life" in capsys.readouterr().out
    assert main(["validate", "emulator", "--only", "sensitivity"]) == 1
    assert "attenuation, narrow-beam" in capsys.readouterr().err
