"""Following a real acquisition's events: complete where nothing was lost, honest where it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daq.client.client import ClientError
from daq.client.event_reader import EventReader
from daq.folder.listmode_log import ListmodeReader
from daq.folder.singles_log import SinglesReader
from daq.replay.sort_again import verify
from hw.wire.block_layout import BlockKind

pytestmark = pytest.mark.processes


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Poll a condition that itself waits a little, bounded."""
    deadline = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within 20 s"


class TapProcess:
    """A real ``tomoshibi tap``."""

    def __init__(self, daq: Any, *arguments: str) -> None:
        argv = [sys.executable, "-m", "daq.cli", "tap", *arguments, "--json"]
        self.process = subprocess.Popen(
            [*argv, "--endpoint", daq.endpoints.base],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ,
        )  # fmt: skip

    def wait_until_it_waits(self) -> None:
        """Wait for its first words: from then on it subscribes."""
        assert self.process.stderr is not None
        assert "waiting for" in self.process.stderr.readline()

    def result(self) -> dict[str, Any]:
        """Wait for the end; return what it printed."""
        out, err = self.process.communicate(timeout=30)
        assert out, err
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


@pytest.fixture
def tap() -> Iterator[Callable[..., TapProcess]]:
    """Start taps; all are stopped at the end of the test."""
    started: list[TapProcess] = []

    def start(daq: Any, *arguments: str) -> TapProcess:
        started.append(TapProcess(daq, *arguments))
        started[-1].wait_until_it_waits()
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def subscribed(daq: Any, source: Any, readers: list[EventReader]) -> None:
    """Send periods until every reader has had its first message: then all taps are joined."""
    waiting = list(readers)

    def all_joined() -> bool:
        source.send_periods(1)
        source.link.poll()
        waiting[:] = [reader for reader in waiting if reader.read(0.05) is None]
        return not waiting

    wait_until(all_joined, "the first events")


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return found


def test_a_tap_gets_what_the_logs_have(acquisition, source, tap, tmp_path: Path) -> None:
    daq = acquisition("--window", "peak=400:600")
    taps = {
        "prompts": tap(daq, "prompts", "--output", str(tmp_path / "prompts.npy")),
        "singles": tap(daq, "singles", "--output", str(tmp_path / "singles.tmws")),
    }
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(20)
    modules.finish()
    daq.wait_for_state("closed")
    results = {kind: one.result() for kind, one in taps.items()}
    summary = summary_of(folder)
    tapped = np.load(tmp_path / "prompts.npy")
    logged = ListmodeReader(folder / "listmode.tmlm").read_all(BlockKind.PROMPTS)
    first = results["prompts"]["before"]
    assert results["prompts"] | {"seconds": 0, "per_s": 0} == {
        "run": folder.name, "kind": "prompts", "records": summary["prompts"] - first, "lost": 0,
        "before": first, "seconds": 0, "per_s": 0, "complete": first == 0,
        "output": str(tmp_path / "prompts.npy"),
    }  # fmt: skip
    assert tapped.tobytes() == logged[first:].tobytes()
    first = results["singles"]["before"]
    singles = SinglesReader(tmp_path / "singles.tmws").read_all(BlockKind.SINGLES)
    logged = SinglesReader(folder / "singles.tmws").read_all(BlockKind.SINGLES)
    assert singles.tobytes() == logged[first:].tobytes()
    assert len(singles) == summary["windows"]["peak"] - first > 0
    assert all(one.process.returncode == 0 for one in taps.values())


def test_a_slow_subscriber_loses_is_told_how_many_and_the_run_is_unharmed(
    acquisition, source
) -> None:
    daq = acquisition()
    with (
        EventReader(daq.endpoints, "prompts") as quick,
        EventReader(daq.endpoints, "prompts", queue=1) as slow,
    ):
        modules = source(daq)
        folder = daq.start_run(modules)
        subscribed(daq, modules, [quick, slow])
        seen = quick.tally.records
        for _ in range(200):  # about 6 MB, one message each; the slow one reads none of them
            modules.send_periods(1, events=1000)
            modules.link.poll()  # the source's heartbeat
            wait_until(lambda: quick.read(0.5) is not None, "a batch")
        modules.finish()
        daq.wait_for_state("closed")
        wait_until(lambda: quick.read(0.1) is not None and quick.tally.finished, "the end")
        wait_until(lambda: slow.read(0.1) is not None and slow.tally.finished, "the slow one's end")
    summary = summary_of(folder)
    for tally in (quick.tally, slow.tally):
        assert tally.joined_after + tally.records + tally.lost == summary["prompts"]
    assert (quick.tally.lost, quick.tally.records > seen) == (0, True)
    assert slow.tally.lost > 1000
    assert summary["condition"] != "incomplete"
    assert summary["frames"]["lost"] == 0
    assert summary["conserved"] is True
    assert verify(folder).identical


def test_a_tap_ends_clean_with_ctrl_c_and_by_count(acquisition, source, tap, tmp_path) -> None:
    daq = acquisition()
    interrupted = tap(daq, "prompts", "--output", str(tmp_path / "a.tmlm"))
    counted = tap(daq, "prompts", "--count", "50", "--output", str(tmp_path / "b.npy"))
    modules = source(daq)
    daq.start_run(modules)
    with EventReader(daq.endpoints, "prompts") as here:
        subscribed(daq, modules, [here])
        modules.send_periods(20)
        assert counted.result()["records"] == 50
        wait_until(lambda: daq.answers() and (tmp_path / "a.tmlm").exists(), "the first events")
    assert len(np.load(tmp_path / "b.npy")) == 50
    interrupted.process.send_signal(signal.SIGINT)
    result = interrupted.result()
    assert interrupted.process.returncode == 0
    log = ListmodeReader(tmp_path / "a.tmlm")
    assert len(log.read_all(BlockKind.PROMPTS)) == result["records"] > 0
    assert log.closed
    modules.finish()
    daq.wait_for_state("closed")


def test_a_tap_whose_daq_dies_keeps_what_came_and_says_so(
    acquisition, source, tap, tmp_path: Path
) -> None:
    daq = acquisition()
    tapped = tap(daq, "prompts", "--output", str(tmp_path / "x.tmlm"))
    modules = source(daq)
    daq.start_run(modules)
    with EventReader(daq.endpoints, "prompts") as here:
        subscribed(daq, modules, [here])
        wait_until(lambda: daq.answers() and (tmp_path / "x.tmlm").exists(), "the first events")
        assert here.linked
        daq.process.kill()
        daq.process.wait(5)
        wait_until(lambda: here.read(0.05) is None and not here.linked, "the end of the link")
    _, err = tapped.process.communicate(timeout=20)
    assert tapped.process.returncode == 1
    assert "is gone: what was received of" in err
    log = ListmodeReader(tmp_path / "x.tmlm")
    assert len(log.read_all(BlockKind.PROMPTS)) > 0
    assert log.closed


def test_windows_and_policy_of_the_next_run_are_set_when_arming(acquisition, source) -> None:
    daq = acquisition("--duration", "5")
    changes = {
        "policy": "RemoveMultiples",
        "delay_windows": 2,
        "windows": [{"name": "Lu_208", "lld_keV": 187.5, "uld_keV": 229.2}],
    }
    folder = Path(daq.control.call("arm", settings=changes)["run"])
    config = json.loads((folder / "run.json").read_text(encoding="utf-8"))["config"]
    assert config["duration_s"] == 5
    assert config["settings"]["policy"] == "RemoveMultiples"
    assert config["settings"]["lld_keV"] == 400
    assert config["settings"]["windows"][0]["name"] == "Lu_208"
    assert (folder / "singles.tmws").exists()


def test_settings_that_cannot_be_are_refused_with_the_reason_and_the_daq_stays_idle(
    acquisition,
) -> None:
    daq = acquisition()
    beyond = {"name": "a", "lld_keV": 1, "uld_keV": 3, "modules": [2]}
    refused: list[tuple[object, str]] = [
        ({"policy": "best"}, "Invalid enum value 'best'"),
        ({"windows": [{"name": "a", "lld_keV": 5, "uld_keV": 3}]}, "empty"),
        ({"windows": [beyond]}, "bench2 has no module 2, its 2 modules are 0 to 1"),
        ({"window_ps": 10**10}, r"window_ps.*found 10000000000"),
        ("discard", "an object of the settings"),
        ({"polcy": "all"}, "polcy"),
    ]
    for settings, words in refused:
        with pytest.raises(ClientError, match=words):
            daq.control.call("arm", settings=settings)
    assert daq.state() == "idle"
    assert [path for path in daq.runs.iterdir() if path.is_dir()] == []
