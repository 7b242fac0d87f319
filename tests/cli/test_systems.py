"""Commands about a running system find it: none, one, several; one that was killed is forgotten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from daq.cli import main
from rigs.acquisition_process import Acquisition, wait_until
from rigs.demo_process import demo


@pytest.fixture(autouse=True)
def _own_runtime_folder(tmp_path, monkeypatch):
    place = tmp_path / "runtime"
    place.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    monkeypatch.delenv("TOMOSHIBI_ENDPOINT", raising=False)


@pytest.fixture
def start(tmp_path):
    running = []

    def begin(name):
        folder = tmp_path / name
        folder.mkdir()
        running.append(Acquisition(folder))
        return running[-1]

    yield begin
    for daq in running:
        daq.end()


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "daq.cli", *arguments],
        capture_output=True, text=True, timeout=120, env=os.environ, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("words", [["tap", "prompts"], ["fault", "set", "drop=0.01"]])
def test_without_a_system_commands_say_so_and_how_to_start_one(words, capsys):
    assert main(words) == 1
    told = capsys.readouterr().err
    assert "no system runs here" in told
    assert "tomoshibi demo" in told


def test_one_is_used_of_two_one_is_asked_for_and_a_killed_one_is_forgotten(start, capsys):
    one = start("one")
    wait_until(lambda: one.endpoints.base in cli("systems").stdout, "its entry")
    done = cli("tap", "prompts", "--seconds", "0.5", "--json")
    assert done.returncode == 0, done.stderr
    assert one.endpoints.base in done.stderr

    two = start("two")
    wait_until(lambda: two.endpoints.base in cli("systems").stdout, "the second entry")
    assert main(["fault", "set", "drop=0.01"]) == 1
    told = capsys.readouterr().err
    assert "2 systems run here; say which" in told
    for daq in (one, two):
        assert f"--endpoint {daq.endpoints.base}" in told

    two.process.kill()
    two.process.wait(5)
    assert main(["systems", "--json"]) == 0
    [left] = json.loads(capsys.readouterr().out.splitlines()[-1])["systems"]
    assert left["endpoint"] == one.endpoints.base
    assert left["runs"] == str(one.runs)
    assert (left["scanner"], left["by"], left["pid"]) == ("bench2", "acquire", one.process.pid)

    one.end()
    assert main(["systems"]) == 0
    assert "no system runs here" in capsys.readouterr().out


def test_a_hang_up_ends_no_acquisition(start):
    daq = start("one")
    daq.process.send_signal(signal.SIGHUP)
    assert daq.state() == "idle"
    assert daq.process.poll() is None


def test_an_emulator_outlives_the_shell_that_started_it(tmp_path):
    """The shell ends at once; the emulator is there when the acquisition comes, much later."""
    base = f"ipc://{tmp_path}/one/ipc"
    words = f"-m daq.cli emulate --preset bench2 --phantom point --endpoint {base}"
    log = tmp_path / "log"
    script = f"nohup {sys.executable} {words} >{log} 2>&1 & echo $!"
    shell = ["sh", "-c", script]
    pid = int(subprocess.run(shell, capture_output=True, text=True, check=True, timeout=20).stdout)
    (tmp_path / "one").mkdir()
    daq = Acquisition(tmp_path / "one")
    try:
        wait_until(lambda: bool(daq.control.call("status")["sources"]), "the source", timeout_s=90)
    finally:
        os.kill(pid, signal.SIGTERM)
        daq.end()


def test_a_demo_on_a_dead_display_goes_on_headless_is_found_and_outlives_a_hang_up(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DISPLAY", ":59173")
    for name in ("WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    process = demo(tmp_path / "runs", "--duration", "6", headless=False)
    try:
        wait_until(
            lambda: "by `tomoshibi demo`" in cli("systems").stdout, "its entry", timeout_s=90
        )
        process.send_signal(signal.SIGHUP)
        done = cli("tap", "prompts", "--count", "10", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1])["records"] == 10
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "nothing answers at DISPLAY=:59173: running headless" in err
    assert json.loads(out.splitlines()[-1])["condition"] == "good"
    assert main(["systems", "--json"]) == 0
