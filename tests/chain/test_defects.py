"""An error of ours anywhere in the daq's loop is told and taints the run; the recording goes on.

The real service over real sockets; only the errors are planted.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daq.client.client import ClientError, ControlClient
from daq.folder.run_config import RunConfig, default_settings, versions
from daq.replay.sort_again import verify
from daq.service import service as loop
from daq.service.data_sources import Sources
from daq.service.entrance.control_desk import ControlDesk
from daq.service.entrance.doorman import Doorman
from daq.service.event_stream import EventStream
from daq.service.imager_link import ImagerLink
from daq.service.run import Run
from daq.service.run_life import RunLife
from daq.service.service import DaqService
from daq.service.watching.watch import RunWatch
from hw.messages.endpoints import Endpoints
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.acquisition_process import WAIT_S, wait_until

PLACES: list[tuple[Any, str, str]] = [
    (loop, "compose_telemetry", "telemetry"),
    (loop, "compose_projections", "pictures"),
    (RunLife, "watch_disk", "watching the disk"),
    (Sources, "newly_lost", "looking after sources"),
    (Doorman, "take_refused", "keeping journals"),
    (RunLife, "announce", "announcing the run"),
    (ImagerLink, "poll", "the imager's reports"),
    (ImagerLink, "batch", "sending to the imager"),
    (EventStream, "batch", "sending to subscribers"),
    (Sources, "poll", "sources"),
    (RunWatch, "look", "run control"),
    (Run, "take_on_disk", "telling what is on the disk"),
]


class Daq:
    """The service in a thread, and a client."""

    def __init__(self, folder: Path) -> None:
        scanner = load_scanner("bench2")
        template = RunConfig(
            scanner_toml=scanner_to_toml_text("bench2"), settings=default_settings(scanner)
        )
        self.endpoints = Endpoints(f"ipc://{folder}/ipc")
        self.service = DaqService(self.endpoints, runs_root=folder / "runs", template=template)
        self.control = ControlClient(self.endpoints)
        self._thread = threading.Thread(target=self.service.serve)
        self._thread.start()

    def state(self) -> str:
        return str(self.control.call("status")["state"])

    def wait_for(self, state: str) -> None:
        wait_until(lambda: self.state() == state, f"state {state}")

    def close(self) -> None:
        self.service.leave()
        self._thread.join(WAIT_S)
        self.control.close()
        assert not self._thread.is_alive()


@pytest.fixture
def daq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daq]:
    daq = Daq(tmp_path_factory.mktemp("q"))
    yield daq
    daq.close()


def start(daq: Daq, modules) -> Path:
    armed = daq.control.call("arm")
    daq.control.call("start")
    modules.wait_for_start()
    return Path(armed["run"])


def explode(*args: object, **options: object) -> Any:
    raise ZeroDivisionError("planted")


@pytest.mark.parametrize(("owner", "name", "what"), PLACES, ids=[place[2] for place in PLACES])
def test_an_error_in_one_part_of_the_loop_keeps_no_other_from_its_work(
    daq, source, monkeypatch, owner, name, what
) -> None:
    modules = source(daq)
    folder = start(daq, modules)
    modules.send_periods(2)
    with monkeypatch.context() as planted:
        planted.setattr(owner, name, explode)
        words = f"internal error in {what}"
        wait_until(lambda: words in journal_with(daq, modules), "the journal's words")
        modules.send_periods(2)
        daq.control.call("ping")
        assert daq.state() == "running"
    modules.finish()
    daq.wait_for("closed")
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["condition"] == "tainted" and words in summary["conditions"]
    assert summary["conserved"] is True and verify(folder).identical


def journal_with(daq: Daq, modules) -> str:
    modules.send_periods(1)
    modules.link.poll(0.02)
    return "\n".join(entry.text for entry in list(daq.service.life.journal.tail))


def test_an_error_in_serving_commands_does_not_end_the_loop(daq, source, monkeypatch) -> None:
    modules = source(daq)
    folder = start(daq, modules)
    with monkeypatch.context() as planted:
        planted.setattr(ControlDesk, "serve", explode)
        words = "internal error in commands"
        wait_until(lambda: words in journal_with(daq, modules), "the journal's words")
    modules.finish()
    daq.wait_for("closed")
    assert verify(folder).identical


@pytest.mark.parametrize("name", ["write_summary", "finish"])
def test_an_error_in_closing_is_latched_and_the_next_run_is_well(
    daq, source, monkeypatch, name
) -> None:
    modules = source(daq)
    folder = start(daq, modules)
    modules.send_periods(3)
    with monkeypatch.context() as planted:
        planted.setattr(Run, name, explode)
        modules.finish()
        daq.wait_for("error")
    assert "internal error in closing" in daq.control.call("status")["reason"]
    assert verify(folder).identical
    daq.control.call("reset")
    second = start(daq, modules)
    modules.send_periods(3)
    modules.finish()
    daq.wait_for("closed")
    assert json.loads((second / "summary.json").read_text(encoding="utf-8"))["condition"] == "good"


def test_an_error_while_a_run_is_given_up_keeps_no_step_from_being_taken(
    daq, source, monkeypatch
) -> None:
    modules = source(daq)
    folder = start(daq, modules)
    with monkeypatch.context() as planted:
        for owner, name in ((Run, "finish"), (Run, "abandon"), (ImagerLink, "end")):
            planted.setattr(owner, name, explode)
        modules.finish()
        daq.wait_for("error")
    text = (folder / "journal.jsonl").read_text(encoding="utf-8")
    assert "closing the logs failed" in text and "telling the imager failed" in text
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8"))["conditions"]


def test_a_daq_that_is_told_to_leave_leaves_in_spite_of_an_error(daq, source, monkeypatch) -> None:
    modules = source(daq)
    start(daq, modules)
    monkeypatch.setattr(RunLife, "hurry", explode)
    daq.service.leave()
    wait_until(lambda: daq.service.life.state == "error", "its end")


def test_an_error_in_telling_of_an_error_does_not_end_the_loop(daq, source, monkeypatch) -> None:
    modules = source(daq)
    folder = start(daq, modules)
    with monkeypatch.context() as planted:
        planted.setattr(Sources, "newly_lost", explode)
        planted.setattr(RunLife, "defect", explode)
        time.sleep(2.5)  # two looks around
        daq.control.call("ping")
    modules.finish()
    daq.wait_for("closed")
    assert verify(folder).identical


def test_an_arm_that_hits_an_error_is_answered(daq, monkeypatch) -> None:
    monkeypatch.setattr(RunLife, "arm", explode)
    with pytest.raises(ClientError, match="internal error in arm, please report"):
        daq.control.call("arm")


def test_versions_never_fail_a_summary_and_are_looked_up_once(monkeypatch) -> None:
    from daq.folder import run_config

    monkeypatch.setattr(run_config, "version", explode)
    run_config._versions.cache_clear()
    assert versions()["numpy"] == "unknown"
    monkeypatch.undo()
    assert versions()["numpy"] == "unknown"
    run_config._versions.cache_clear()
    assert versions()["numpy"] != "unknown"


def test_the_traceback_of_a_defect_is_printed_once(capsys) -> None:
    told: list[str] = []
    life = SimpleNamespace(defect=lambda what, error: told.append(what))
    service = SimpleNamespace(_defects=set(), life=life)
    for _ in range(3):
        try:
            explode()
        except ZeroDivisionError as error:
            DaqService._note_defect(service, "telemetry", error)  # type: ignore[arg-type]
    assert told == ["telemetry"] * 3
    assert capsys.readouterr().err.count("Traceback") == 1
