"""`tomoshibi qc`: from a stored run to a kept result, a PDF, a trend and an exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from daq import cli
from daq.folder.quality.qc_result import read_qc
from rigs.runs.spect_run_folder import flood_run


def qc(*words: object) -> int:
    return cli.main(["qc", *map(str, words)])


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A flat flood, one with a tilt of 20 %, one whose peak is 5 % high, one of few counts."""
    root = tmp_path_factory.mktemp("runs")
    wide = "least_flood_counts = 300.0\n" + "\n".join(
        f"most_{kind}_{field}_percent = 12.0"
        for kind in ("integral", "differential")
        for field in ("ufov", "cfov")
    )
    flood_run(root, name="flat", limits=wide)
    flood_run(root, name="tilted", tilt=0.2, limits=wide)
    flood_run(root, name="high", peak=1.05, limits=wide)
    flood_run(root, name="few", counts=20_000, limits=wide)
    flood_run(root, name="empty", counts=400, limits=wide, phantom="")
    return root


def figures(result: dict[str, Any]) -> dict[str, float]:
    return {one["name"]: one["value"] for part in result["parts"] for one in part["figures"]}


def test_a_flat_flood_passes_and_is_kept_with_a_pdf(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qc("run", "flat", "--runs", runs, "--background", "empty", "--json") == 0
    result = told(capsys)["qc"][0]
    assert result["verdict"] == "pass"
    assert Path(result["report"]).read_bytes().startswith(b"%PDF")
    assert read_qc(Path(result["folder"])).run == "flat"
    found = figures(result)
    assert found["peak, median of modules"] == pytest.approx(140.5, abs=0.5)
    assert found["resolution, modules' median"] == pytest.approx(9.9, rel=0.03)
    assert found["counts of the central pixel"] == pytest.approx(390, rel=0.15)
    # 400 counts in 0.2 s, nearly all of them within ± 10 % of the line
    assert found["rate in the photopeak window"] == pytest.approx(2000, rel=0.15)


@pytest.mark.parametrize(
    ("run", "failure"),
    [("tilted", "integral, UFOV"), ("high", "peak shift, worst module")],
)
def test_what_is_wrong_fails_by_its_name(
    runs: Path, capsys: pytest.CaptureFixture[str], run: str, failure: str
) -> None:
    assert qc("run", run, "--runs", runs, "--json") == 1
    captured = capsys.readouterr()
    result = json.loads(captured.out.splitlines()[-1])["qc"][0]
    assert result["verdicts"][failure] == "FAIL"
    assert captured.err.splitlines()[-1].startswith(f"QC of {run}: FAIL: ")
    if run == "tilted":  # from 0.8 to 1.2, without the outermost 5 %, and noise of a few percent
        assert 16 < figures(result)["integral, UFOV"] < 24


def test_a_flood_of_few_counts_is_told_how_much_longer(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qc("run", "few", "--runs", runs) == 1
    text = capsys.readouterr().out
    assert "300 are needed (NEMA NU 1-2018, 2.4)" in text
    assert "times as long" in text
    assert "QC of few: incomplete" in text


def test_trend_and_status_follow_what_was_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qc("status", "--runs", tmp_path) == 1
    assert "no QC yet" in capsys.readouterr().out
    assert qc("trend", "--runs", tmp_path) == 0
    assert qc("trend", "--runs", tmp_path, "--plot", tmp_path / "x.png") == 1
    assert "nothing to plot" in capsys.readouterr().err
    for name, tilt in (("one", 0.2), ("two", 0.0)):
        flood_run(tmp_path, name=name, tilt=tilt,
                  limits="least_flood_counts = 300.0\nmost_integral_ufov_percent = 15.0\n"
                  "most_integral_cfov_percent = 15.0\nmost_differential_ufov_percent = 15.0\n"
                  "most_differential_cfov_percent = 15.0")  # fmt: skip
        qc("run", name, "--runs", tmp_path)
    capsys.readouterr()
    assert qc("status", "--runs", tmp_path, "--json") == 0
    assert told(capsys)["state"] == "valid"
    assert qc("run", "two", "--runs", tmp_path) == 0  # again: kept beside the first
    assert {path.name for path in (tmp_path / "qc").iterdir()} == {"one", "two", "two-2"}
    capsys.readouterr()
    assert qc("trend", "--runs", tmp_path, "--plot", tmp_path / "t.png", "--json") == 0
    trend = told(capsys)["trend"]
    assert [(row["run"], row["verdict"]) for row in trend] == [("one", "FAIL"), ("two", "pass")]
    assert trend[0]["integral uniformity, %"] > 15 > trend[1]["integral uniformity, %"]
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["run"], "needs a run"),
        (["run", "nowhere"], "nowhere is not a run"),
        (["run", "empty"], "it does not say what stood there"),
        (["run", "flat", "--source", "point"], "a QC of this scanner takes a flood"),
        (["run", "flat", "--preset", "bench2"], "flat is of another"),
        (["status", "flat"], "takes no run"),
        (["trend", "--plot", "t.jpg"], "plots are .pdf or .png"),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    runs: Path, capsys: pytest.CaptureFixture[str], words: list[str], reason: str
) -> None:
    assert qc(*words, "--runs", runs) == 1
    assert reason in capsys.readouterr().err
