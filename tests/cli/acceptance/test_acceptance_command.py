"""From emulated runs to a judged report, beside the emulator's own truth.

The runs are seconds of the real chain: emulator, frames, sorting, logs. Tolerances are those of
their counts unless a test says otherwise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from daq.cli import main
from daq.cli.acceptance.emulated_runs import emulate_run
from daq.cli.acceptance.runs_to_take import PlannedRun
from daq.replay.truth_join import CLASSES, join
from hw.scanner.preset_file import PRESET_FOLDER
from recon.acceptance.line_sinogram import aligned_profile, line_alone, sinogram, strip_counts
from recon.offline.run_reader import run_data

LIMITS = """
[acceptance.nu2]
least_sensitivity_cps_per_kBq = 10.0
most_scatter_fraction = 0.1
most_tof_fwhm_ps = 1000.0
"""


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> str:
    """A scanner with limits; that of the scatter fraction is out of its reach."""
    path = tmp_path_factory.mktemp("preset") / "judged.toml"
    text, _, _ = (PRESET_FOLDER / "tof_brain.toml").read_text("utf-8").partition("[acceptance")
    path.write_text(text + LIMITS, encoding="utf-8")
    return str(path)


def make(runs: Path, preset: str, name: str, phantom: str, mbq: float, seconds: float, **more):
    one = PlannedRun((), name, phantom, "F-18", mbq, seconds)
    return emulate_run(one, preset=preset, runs=runs, **more)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, preset) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for sleeves in (1, 5):
        make(folder, preset, f"line-{sleeves}", f"nema-line:sleeves={sleeves}", 2.0, 0.3,
             seed=sleeves)  # fmt: skip
    make(folder, preset, "low", "nema-scatter", 1.0, 1.5, truth=True)
    for number, mbq in enumerate((60.0, 250.0), 5):
        make(folder, preset, f"high-{number}", "nema-scatter", mbq, 0.05, seed=number)
    return folder


def judged(capsys, *words: str) -> dict:
    code = main(["acceptance", "nu2", *words, "--json", "--threads", "1"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    result["exit"] = code
    result["parts"] = {part["part"]: part for part in result["parts"]}
    return result


def figure(part: dict, name: str) -> dict:
    return next(one for one in part["figures"] if one["figure"].startswith(name))


def test_report_says_pass_fail_and_what_was_not_measured(runs, preset, capsys, tmp_path):
    report = tmp_path / "nu2.pdf"
    found = judged(
        capsys, "--runs", str(runs), "--sensitivity", "line-1", "line-5",
        "--count-rates", "low", "high-5", "high-6", "--tof", "low", "--report", str(report),
    )  # fmt: skip
    parts = found["parts"]
    assert found["exit"] == 1
    assert figure(parts["count-rates"], "scatter fraction")["verdict"] == "FAIL"
    assert figure(parts["count-rates"], "peak NECR")["verdict"] == "no limit given"
    assert figure(parts["sensitivity"], "sensitivity")["verdict"] == "pass"
    assert parts["resolution"]["verdict"] == "not measured"
    assert "--resolution" in parts["resolution"]["reason"]
    assert any("fewer than five" in words for words in parts["sensitivity"]["deviations"])
    assert report.read_bytes().startswith(b"%PDF")
    assert found["summary"]["FAIL"] == 1


def test_aluminium_of_the_sleeves_is_found(runs, preset, capsys):
    """µ of aluminium at 511 keV is 0.226 1/cm with all scatter (NIST, 0.0836 cm²/g); the open
    geometry still counts what is scattered little, so the slope lies below it."""
    found = judged(capsys, "--runs", str(runs), "--sensitivity", "line-1", "line-5")
    mu = figure(found["parts"]["sensitivity"], "µ of the sleeves")["value"]
    assert 0.1 < mu < 0.27


def test_scatter_fraction_beside_the_truth(runs, preset, capsys):
    """The recipe draws a straight line under the strip, so scatter's hump there counts as true: by
    the labels, the recipe leaves hardly any true pair below the line, and only a share of the
    scattered. Its figure must be the true fraction times that share, within the counts' error."""
    labels, data = join(runs / "low"), run_data(runs / "low")
    pairs = np.concatenate(list(data.prompts()))
    by = line_alone(sinogram(pairs, data.geometry))
    below, counts = {}, labels.counts()
    for name in ("true", "scattered"):
        of_kind = pairs[labels.prompts["class"] == CLASSES.index(name)]
        division = strip_counts(aligned_profile(sinogram(of_kind, data.geometry), by))
        below[name] = division.below / division.total
    assert below["true"] < 0.02
    assert 0.4 < below["scattered"] < 0.85
    truth = counts["scattered"] / (counts["true"] + counts["scattered"])
    found = judged(capsys, "--runs", str(runs), "--count-rates", "low")
    share = figure(found["parts"]["count-rates"], "scatter fraction")
    assert share["value"] == pytest.approx(below["scattered"] * truth, abs=3 * share["sigma"])


def test_time_resolution_is_that_of_the_preset(runs, preset, capsys):
    """CTR 250 ps of two photons of 511 keV, calibrated by the factory's set. The depth within the
    crystals, which is not measured, adds little (15 mm of path are 50 ps at the speed of light)."""
    found = judged(capsys, "--runs", str(runs), "--tof", "low")
    width = figure(found["parts"]["tof"], "time resolution")
    assert width["value"] == pytest.approx(260, abs=3 * width["sigma"])


def test_only_the_time_resolution_at_the_lowest_activity_has_a_limit(runs, preset, capsys):
    found = judged(capsys, "--runs", str(runs), "--tof", "low", "high-5")
    widths = found["parts"]["tof"]["figures"]
    assert [one["limit"] for one in widths] == [1000.0, None]
    assert [one["verdict"] for one in widths] == ["pass", "information"]


def test_runs_of_two_scanners_are_not_judged_together(runs, preset, tmp_path, capsys):
    make(tmp_path, "bench2", "other", "point", 0.1, 0.05)
    code = main(["acceptance", "nu2", "--tof", str(runs / "low"), str(tmp_path / "other")])
    assert code == 1
    assert "different scanners" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "no run was given"),
        (["--sensitivity", "nowhere"], "nowhere is not a run"),
        (["--plan", "--only", "colour"], "nu2 has sensitivity"),
    ],
)
def test_what_is_missing_is_told(words, told, capsys):
    assert main(["acceptance", "nu2", *words]) == 1
    assert told in capsys.readouterr().err


def test_a_run_without_activity_is_not_measured_and_says_so(runs, preset, capsys, tmp_path):
    path = tmp_path / "runs.toml"
    text = '[[run]]\nrun = "low"\nparts = ["count-rates"]\nactivity_MBq = -1\n'
    path.write_text(text, encoding="utf-8")
    found = judged(capsys, "--runs", str(runs), "--from", str(path))
    part = found["parts"]["count-rates"]
    assert part["verdict"] == "not measured"
    assert "activity_MBq at its start is -1" in part["reason"]


def test_page_holds_the_figures_between_marks_and_renews_them(runs, preset, capsys, tmp_path):
    page = tmp_path / "validation.md"
    page.write_text("# Validation\n\nbefore\n", encoding="utf-8")
    for _ in range(2):
        judged(capsys, "--runs", str(runs), "--tof", "low", "--write", str(page))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Validation\n\nbefore\n")
    assert text.count("<!-- acceptance tof_brain, NEMA NU 2-2018 -->") == 1
    assert text.count("| time resolution") == 1
