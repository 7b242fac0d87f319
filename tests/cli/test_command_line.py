"""The command line as a person meets it: help that teaches, errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daq.cli import COMMANDS, main
from hw.messages.endpoints import Endpoints
from rigs.host_pace import in_time


def cli(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "daq.cli", *arguments]
    env = {**os.environ, **environment}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=env)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_explains_it_with_examples(command, capsys):
    if command == "test":
        pytest.skip("everything behind `test` goes to pytest, its help too")
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    assert "examples:" in text
    assert f"tomoshibi {command}" in text


def test_the_plain_command_lists_all_commands_and_says_it_is_research_software(capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(command in text for command in COMMANDS)
    assert "not a medical device" in text


def test_the_help_is_quick_because_nothing_heavy_is_imported():
    code = (
        "import sys; from daq.cli import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numba', 'pyqtgraph', 'PySide6', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["sort", "nowhere"], "is not a run"),
        (["replay", "last", "--verify", "--runs", "/nonexistent"], "there are no runs"),
        (["demo", "--headless", "--preset", "gantry9"], "caremibrain"),
        (["demo", "--headless", "--phantom", "elephant"], "brain"),
        (["emulate", "--nuclide", "Ge-68"], "emits neither positrons nor photons"),
        (["acquire", "--endpoint", "tcp://10.1.2.3:7000"], "ssh"),
        (["acquire", "--energy-keV", "600:500"], "LLD"),
        (["acquire", "--window-ns", "300", "--delay-ns", "500"], "delay"),
        (["import", "gate", "/nonexistent.npz"], "cannot be read"),
        (["acquire", "--mu-map", "/nonexistent.npz"], "there is no such file"),
        (["acquire", "--live-activity", "/nonexistent.json"], "there is no such file"),
        (["demo", "--headless", "--live-activity", "/nonexistent.json"], "calibrate activity"),
    ],
)
def test_errors_name_what_is_wrong_and_leave_with_status_1(arguments, words, tmp_path):
    done = cli(*arguments, TOMOSHIBI_RUNS=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_demo_of_what_cannot_be_emulated_leaves_no_run(tmp_path):
    wrong = ("--preset", "bench2", "--phantom", "point", "--fault", "drop:module=9")
    done = cli("demo", "--headless", *wrong, TOMOSHIBI_RUNS=str(tmp_path))
    assert done.returncode == 1, done.stderr
    assert "no module 9, the scanner has 0 to 1" in done.stderr
    assert not list(tmp_path.glob("*/run.json"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--duration", "-3"], "positive"),
        (["sort", "x", "--energy-keV", "350"], "LLD:ULD"),
        (["demo", "--fault", "fire=0.1"], "no kind 'fire'; there are corrupt, drop"),
        (["nosuch"], "invalid choice"),
        (
            ["demo", "--activity-mbq", "3"],
            "error: unrecognized arguments: --activity-mbq 3 (did you mean --activity-MBq?)",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_with_status_2(arguments, words):
    done = cli(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 2
    assert done.stderr.splitlines()[1].startswith("see `tomoshibi")


def test_a_preset_with_a_mistake_names_file_key_value_and_bound(tmp_path):
    from hw.scanner.preset_file import scanner_to_toml_text

    path = tmp_path / "mine.toml"
    text = scanner_to_toml_text("bench2").replace("lld_keV = 400.0", "lld_keV = -4.0")
    path.write_text(text, encoding="utf-8")
    done = cli("acquire", "--preset", str(path))
    assert done.returncode == 1
    assert "mine.toml" in done.stderr
    assert "acquisition.lld_keV" in done.stderr
    assert "-4" in done.stderr


def test_doctor_tells_the_state_of_this_machine(tmp_path):
    done = cli(
        "doctor", "--json", "--runs", str(tmp_path), TOMOSHIBI_ENDPOINT=f"ipc://{tmp_path}/q"
    )
    findings = json.loads(done.stdout.splitlines()[-1])["findings"]
    by_name = {finding["what"]: finding for finding in findings}
    assert {"libraries", "qt", "display", "disk", "endpoint", "clock"} <= by_name.keys()
    assert by_name["libraries"]["verdict"] == "ok"
    assert all(f["remedy"] for f in findings if f["verdict"] == "trouble")


def test_runs_of_an_empty_folder_says_how_to_make_one(tmp_path):
    done = cli("runs", "--runs", str(tmp_path))
    assert done.returncode == 0
    assert "tomoshibi demo" in done.stdout


def test_bench_gives_figures_and_peers_as_json():
    done = cli("bench", "sort", "--quick", "--json")
    figures = json.loads(done.stdout.splitlines()[-1])
    for name in (
        "sorted_window_pairs_Msps",
        "full_chain_disordered_Msps",
        "full_chain_two_cores_Msps",
        "frames_to_listmode_Msps",
    ):
        assert figures[name] > 0
    assert figures["peers"]["numpy_searchsorted_Msps"] > 0
    assert figures["machine"]["cores"]


@pytest.mark.processes
def test_acquire_and_emulate_started_apart_make_a_run(tmp_path):
    """Two terminals, the source first: the order in which processes start does not matter."""
    base = Endpoints(f"ipc://{tmp_path}/q").base
    argv = [sys.executable, "-m", "daq.cli"]
    emulate = subprocess.Popen(
        [*argv, "emulate", "--preset", "bench2", "--phantom", "point", "--endpoint", base]
    )
    try:
        where = ("--endpoint", base, "--runs", str(tmp_path / "runs"))
        acquire = cli(
            "acquire", "--preset", "bench2", "--auto", "--duration", "1", "--json", *where
        )
        summary = json.loads(acquire.stdout.splitlines()[-1])
        assert summary["conserved"] is True
        assert summary["singles"]["received"] > 0
    finally:
        emulate.terminate()
        began = time.monotonic()
        emulate.wait(30)
    assert in_time(time.monotonic() - began, 2.0)
    assert Path(summary["run"]).is_dir()
