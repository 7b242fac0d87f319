"""Runs by a protocol, through a real daq: ended by counts or noise, kept, replayed to the bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from daq.client.client import ClientError, DisplayClient
from daq.folder.protocols.shelf import Shelf
from daq.folder.run_folder import run_config
from daq.replay.sort_again import verify
from hw.messages.codec import encode
from hw.messages.imager import ImagerReport
from hw.messages.live_settings import LiveSettings
from hw.messages.scan_protocol import RunUntil, ScanProtocol, SortChanges
from rigs.acquisition_process import wait_until
from rigs.daq_in_thread import DaqInThread

pytestmark = pytest.mark.processes

SHORT = ScanProtocol(
    name="short", version=3, modality="PET", nuclide="F-18", until=RunUntil(counts=60),
    sorting=SortChanges(policy="discard"), live=LiveSettings(frame_s=2.0),
)  # fmt: skip
PLAIN: dict[str, Any] = msgspec.to_builtins(SHORT)

Attach = Callable[..., Any]


@pytest.fixture(autouse=True)
def own_shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def reports(daq: DaqInThread) -> Iterator[Callable[..., None]]:
    """The imager's reports, sent by hand over the real socket."""
    socket = zmq.Context.instance().socket(zmq.PUSH)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(daq.endpoints.of("reports"))
    images = iter(range(1, 1000))

    def send(noise: float, *, final: bool = False) -> None:
        number = next(images)
        report = ImagerReport(run=daq.run.name, images=number, noise=noise, final=final)
        socket.send(encode(report))
        wait_until(lambda: daq.run.imager is not None and daq.run.imager.images == number, "it")

    yield send
    socket.close()


def begun(daq: DaqInThread, source: Any, **args: Any) -> Path:
    folder = Path(daq.control.call("arm", **args)["run"])
    daq.control.call("start")
    source.wait_for_start()
    return folder


def closed(daq: DaqInThread, folder: Path) -> dict[str, Any]:
    wait_until(lambda: daq.service.life.state == "closed", "the run's end")
    return dict(json.loads((folder / "summary.json").read_text(encoding="utf-8")))


def test_the_daq_ends_the_run_after_so_many_counts(daq: DaqInThread, source: Attach) -> None:
    sender = source(daq)
    folder = begun(daq, sender, protocol=PLAIN)
    sender.send_periods(2)  # 40 pairs, of which the horizon holds some back
    sender.send_periods(4)
    sender.obey_stop()
    summary = closed(daq, folder)
    assert summary["ended_by"].startswith("60 counts are reached: ")
    assert summary["prompts"] >= 60
    assert summary["condition"] == "good", summary["conditions"]
    assert daq.service.life.reason == summary["ended_by"]  # the headline's
    journal = daq.journal(folder)
    assert "protocol short v3: no title; ends after 60 counts" in journal
    assert f"stopping: {summary['ended_by']}" in journal
    again = verify(folder)
    assert again.identical and again.complete


def test_the_run_keeps_the_whole_protocol_and_repeats_it(daq: DaqInThread, source: Attach) -> None:
    sender = source(daq)
    folder = begun(daq, sender, protocol=PLAIN)
    sender.finish()
    closed(daq, folder)
    config = run_config(folder)
    assert config.protocol == SHORT
    assert (config.settings.policy, config.live.frame_s, config.until_counts) == (
        "discard",
        2.0,
        60,
    )
    assert config.labels["nuclide"] == "F-18"
    repeated = Path(daq.control.call("arm")["run"])
    assert run_config(repeated).protocol == SHORT


def test_noise_ends_it_once_three_reports_agree(
    daq: DaqInThread, source: Attach, reports: Callable[..., None]
) -> None:
    sender = source(daq)
    by_noise = {**PLAIN, "until": {"noise_percent": 5.0}}
    folder = begun(daq, sender, protocol=by_noise)
    for noise in (0.0, 0.3, 0.04, 0.06, 0.049):
        reports(noise)
    sender.send_periods(2)
    daq.recorded(4)
    assert daq.service.life.state == "running"
    reports(0.048)
    reports(0.047)
    sender.obey_stop()
    reports(0.047, final=True)
    summary = closed(daq, folder)
    words = "the live image has the noise that was wanted: 4.7 %, at most 5 %"
    assert summary["ended_by"] == words
    assert verify(folder).identical


def test_telemetry_tells_plan_and_progress(daq: DaqInThread, source: Attach) -> None:
    display = DisplayClient(daq.endpoints)
    daq.control.call("arm", protocol=PLAIN)
    told: list[Any] = []

    def armed() -> bool:
        telemetry = display.telemetry(0.1)
        told.append(telemetry)
        return telemetry is not None and telemetry.state == "armed"

    wait_until(armed, "telemetry of the armed run")
    display.close()
    assert told[-1].protocol == "short v3"
    assert told[-1].until == RunUntil(counts=60)
    assert told[-1].counted == 0


def test_a_saved_protocol_is_armed_by_name(daq: DaqInThread) -> None:
    Shelf().save(SHORT)
    folder = Path(daq.control.call("arm", protocol="short@1", duration_s=2.5)["run"])
    config = run_config(folder)
    assert config.protocol is not None and config.protocol.label == "short v1"
    assert config.duration_s == 2.5
    assert "not as the protocol says: end" in daq.journal(folder)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("none-such", "there is no protocol 'none-such'; there are .*fdg-brain"),
        ("fdg-brain", "fdg-brain v1 is for caremibrain, tof_brain, not for bench2"),
        ({"name": "x"}, "modality is missing"),
        (7, "a table of a protocol's keys is needed, not 7"),
        ({**PLAIN, "nuclide": "Xy-9"}, "Xy-9"),
    ],
)
def test_what_cannot_be_used_is_refused_and_nothing_is_armed(
    daq: DaqInThread, wanted: Any, words: str
) -> None:
    with pytest.raises(ClientError, match=words):
        daq.control.call("arm", protocol=wanted)
    assert daq.control.call("status")["state"] == "idle"


def test_none_goes_back_to_how_the_daq_was_before_protocols(daq: DaqInThread) -> None:
    daq.control.call("arm", settings={"triples": True})
    daq.control.call("reset")
    daq.control.call("arm", protocol=PLAIN)
    daq.control.call("reset")
    config = run_config(Path(daq.control.call("arm", protocol=None)["run"]))
    assert config.protocol is None
    assert (config.settings.policy, config.settings.triples) == ("all", True)
    assert config.until == RunUntil()


def test_again_arms_the_same_for_the_same_patient(daq: DaqInThread, source: Attach) -> None:
    sender = source(daq)
    study = {"tracer": "FDG", "weight_kg": 70.0}
    identity = {"patient_id": "P-0042"}
    with pytest.raises(ClientError, match="arm a run first"):
        daq.control.call("arm", again=True)
    folder = begun(
        daq, sender, protocol=PLAIN, study=study, identity=identity, patient_position="HFS"
    )
    sender.finish()
    closed(daq, folder)
    with pytest.raises(ClientError, match="leave name out"):
        daq.control.call("arm", again=True, name="x")
    second = Path(daq.control.call("arm", again=True)["run"])
    assert second != folder
    first_config, config = run_config(folder), run_config(second)
    assert config.protocol == first_config.protocol
    assert (config.settings, config.patient_position) == (first_config.settings, "HFS")
    for name in ("study.json", "identity.json"):
        assert (second / name).read_text() == (folder / name).read_text()
    daq.control.call("reset")
    third = Path(daq.control.call("arm")["run"])  # nobody inherits a patient unasked
    assert not (third / "identity.json").exists()
    assert run_config(third).patient_position == "unknown"
