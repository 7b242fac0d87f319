"""`tomoshibi protocols`, and `--protocol` of the commands that begin runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from daq.cli import build_parser, main
from daq.cli.commands import acquire, demo
from daq.folder.protocols.planned_config import departures
from daq.folder.run_config import RunConfig
from daq.service.run import Run


@pytest.fixture(autouse=True)
def own_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "tomoshibi" / "protocols"


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["protocols", *words])
    found = capsys.readouterr()
    return status, found.out + found.err


def template(*words: str) -> RunConfig:
    return acquire.template(build_parser("acquire").parse_args(["acquire", *words]))


def demo_options(*words: str) -> argparse.Namespace:
    return build_parser("demo").parse_args(["demo", *words])


def test_they_are_listed_shown_and_read_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, text = said(capsys)
    assert status == 0 and "fdg-brain " in text and "shipped" in text
    _, text = said(capsys, "show", "fdg-brain")
    (tmp_path / "mine.toml").write_text(text.replace("600.0", "300.0"))
    status, text = said(capsys, "save", "mine", "--from", str(tmp_path / "mine.toml"))
    assert status == 0 and "mine v1, ends after 300 s" in text
    _, text = said(capsys, "--json")
    found = [one for one in json.loads(text)["protocols"] if one["yours"]]
    assert [(one["name"], one["version"], one["until"]["duration_s"]) for one in found] == [
        ("mine", 1, 300.0)
    ]


def test_one_is_saved_from_a_run_and_takes_the_same_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ["--calibration", "none", "--policy", "discard", "--live-frames", "5"]
    config = template("--preset", "bench2", *words)
    config.labels["nuclide"] = "F-18"
    run = Run(config, tmp_path / "runs")
    run.put_away()
    words = ["--from", run.name, "--runs", str(tmp_path / "runs"), "--noise-percent", "5"]
    for version in (1, 2):
        status, text = said(capsys, "save", "ours", *words)
        assert status == 0 and f"ours v{version}, ends after 5 % noise" in text
    again = template("--preset", "bench2", "--protocol", "ours")
    kept = ("settings", "live")
    assert [getattr(again, name) for name in kept] == [getattr(config, name) for name in kept]
    assert again.until_noise_percent == 5.0
    assert again.protocol is not None and again.protocol.label == "ours v2"
    status, text = said(capsys, "delete", "ours@2")
    assert status == 0 and "deleted: ours v2" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show"], "protocols show: say which"),
        (["show", "none-such"], "there is no protocol 'none-such'; there are fdg-brain"),
        (["save", "x"], "--from RUN or --from FILE.toml says what"),
        (["save", "x", "--from", "none.toml"], "none.toml: cannot be read"),
        (["save", "x", "--from", "none"], "none is not a run"),
        (["delete", "fdg-brain"], "it came with the program"),
    ],
)
def test_what_cannot_be_done_is_told_with_the_remedy(
    capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    status, text = said(capsys, *words)
    assert status == 1 and told in text


def test_options_go_before_the_protocol_and_the_run_says_so() -> None:
    planned = template("--preset", "tof_brain", "--protocol", "fdg-brain")
    assert (planned.duration_s, planned.live.frame_s) == (600.0, 30.0)
    assert departures(planned) == []
    changed = template(
        "--preset", "tof_brain", "--protocol", "fdg-brain", "--duration", "60",
        "--policy", "discard", "--live-off", "scatter",
    )  # fmt: skip
    assert (changed.duration_s, changed.settings.policy) == (60.0, "discard")
    assert (changed.live.frame_s, changed.live.off) == (30.0, ("scatter",))
    assert departures(changed) == ["sorting", "live image", "end"]
    untouched: dict[str, Any] = msgspec.to_builtins(planned.protocol)
    assert msgspec.to_builtins(changed.protocol) == untouched


def test_a_demo_emulates_the_protocols_nuclide() -> None:
    options = demo_options("--protocol", "ga68-brain")
    demo.take_protocol(options)
    assert (options.nuclide, options.duration) == ("Ga-68", 900.0)
    plan = demo.demo_plan(options)
    assert plan.config.labels["nuclide"] == "Ga-68"
    assert plan.config.settings.triples
    assert plan.source[plan.source.index("--nuclide") + 1] == "Ga-68"
    with pytest.raises(Exception, match="ga68-brain v1 is for Ga-68; leave it out"):
        demo.take_protocol(demo_options("--protocol", "ga68-brain", "--nuclide", "F-18"))
