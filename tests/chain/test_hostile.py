"""Forged messages, too many connections, files that are none: the daq lives, records on, and says
so. With a real process and real sockets.
"""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from daq.client.client import ClientError, ControlClient, DisplayClient
from daq.replay.sort_again import verify
from hw.messages.codec import decode, encode
from hw.messages.commands import Command
from hw.messages.source import Hello, Refused, SourceReport
from rigs.acquisition_process import Acquisition, free_tcp, wait_until

pytestmark = pytest.mark.processes

STRANGER = Hello(kind="stranger", scanner="bench2", modules=0)


class Stranger:
    """Somebody on the source plane."""

    def __init__(self, daq: Acquisition) -> None:
        self._socket = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.connect(daq.endpoints.of("source"))

    def say(self, data: bytes) -> None:
        self._socket.send(data)

    def refused(self) -> str:
        """Return the words of the next refusal."""
        while self._socket.poll(5000):
            message = decode(self._socket.recv())
            if isinstance(message, Refused):
                return message.reason
        raise AssertionError("nothing was refused within 5 s")

    def close(self) -> None:
        self._socket.close(linger=0)


@pytest.fixture
def running(acquisition, source) -> Iterator[tuple]:
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    yield daq, modules, folder


def end_well(daq: Acquisition, modules, folder: Path) -> str:
    """Finish the run, which must be as good as without an attack; return its journal."""
    modules.send_periods(5)
    modules.finish()
    daq.wait_for_state("closed")
    text = (folder / "summary.json").read_text(encoding="utf-8")
    summary = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} in summary.json"))
    assert summary["conserved"] is True and summary["condition"] == "good"
    assert summary["frames"]["sent"] == summary["frames"]["received"] == 22
    assert verify(folder).identical
    return (folder / "journal.jsonl").read_text(encoding="utf-8")


def report_of(modules, **changes: object) -> bytes:
    values = {
        "type": "SourceReport", "version": 3, "run_tag": modules.run_tag,
        "singles_emitted": [1, 2], "frames_sent": [3, 4], "dead_events": [0, 0], **changes,
    }  # fmt: skip
    return msgpack.packb(values)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"singles_emitted": [1, 2, 3]}, "singles_emitted is of 3 modules"),
        ({"singles_emitted": [2**63, 0]}, "singles_emitted"),
        ({"truth": {"decays": float("nan")}}, "truth"),
        ({"frames_sent": [0] * 3, "singles_emitted": [0] * 3, "dead_events": [0] * 3}, "3 modules"),
    ],
)
def test_a_report_that_does_not_add_up_is_refused_and_the_run_goes_on(
    acquisition, source, changes, words
) -> None:
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    modules.send_periods(5)
    modules.link._socket.send(report_of(modules, **changes))
    if len(changes) == 3:  # well formed: it was the source's one report
        wait_until(lambda: daq.state() == "closed", "the end")
        assert "a SourceReport of 3 modules" in journal_of(folder)
        return
    modules.link.poll(1.0)
    assert words in end_well(daq, modules, folder)


def journal_of(folder: Path) -> str:
    return (folder / "journal.jsonl").read_text(encoding="utf-8")


def test_a_strangers_reports_do_not_end_the_run(running) -> None:
    daq, modules, folder = running
    with closing(Stranger(daq)) as stranger:
        stranger.say(encode(STRANGER))
        for _ in range(300):
            stranger.say(report_of(modules))
        assert "stranger takes no part" in stranger.refused()
        assert daq.state() == "running"
        journal = end_well(daq, modules, folder)
    assert len([line for line in journal.splitlines() if "stranger takes no part" in line]) == 1


def test_six_thousand_sources_are_not_all_remembered(running) -> None:
    daq, modules, folder = running
    context = zmq.Context()
    for k in range(1000):
        dealer = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 100)
        dealer.setsockopt(zmq.IDENTITY, b"crowd%d" % k)
        dealer.connect(daq.endpoints.of("source"))
        dealer.send(encode(STRANGER))
        if k % 20 == 0:
            dealer.poll(1000)
        dealer.close()
    assert len(daq.control.call("status")["sources"]) <= 32
    assert "sources are attached already" in end_well(daq, modules, folder)
    context.destroy(linger=0)


def test_a_message_longer_than_its_plane_carries_ends_that_connection_alone(running) -> None:
    daq, modules, folder = running
    attackers = []
    for plane, kind in (("data", zmq.PUSH), ("control", zmq.DEALER), ("source", zmq.DEALER)):
        attacker = zmq.Context.instance().socket(kind)
        attacker.connect(daq.endpoints.of(plane))
        attacker.send(bytes(64 * 2**20))
        attackers.append(attacker)
    rss_kB = memory_kB(daq)
    assert daq.state() == "running"
    end_well(daq, modules, folder)
    assert memory_kB(daq) < rss_kB + 100_000
    for attacker in attackers:
        attacker.close(linger=0)


def memory_kB(daq: Acquisition) -> int:
    status = Path(f"/proc/{daq.process.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0])


def test_idle_connections_beyond_the_descriptors_are_shut_and_the_run_records_on(
    acquisition, source
) -> None:
    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 1024))

    daq = acquisition(preexec=few_files)
    modules = source(daq)
    folder = daq.start_run(modules)
    ours, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    crowd: list[socket.socket] = []
    for plane in ("control", "telemetry", "events", "data"):
        for _ in range(min(600, ours // 5)):
            crowd.append(socket.socket(socket.AF_UNIX))
            crowd[-1].connect(str(daq.endpoints.folder / plane))
    modules.send_periods(5)
    assert daq.process.poll() is None
    assert descriptors(daq) < 1000
    assert daq.state() == "running"
    with closing(DisplayClient(daq.endpoints)):
        wait_until(lambda: "were shut" in journal_of(folder), "the journal's word")
    for one in crowd:
        one.close()
    journal = end_well(daq, modules, folder)
    assert "were shut" in journal


def first_words(daq: Acquisition) -> str:
    return daq.log.read_text(encoding="utf-8")


def descriptors(daq: Acquisition) -> int:
    return len(os.listdir(f"/proc/{daq.process.pid}/fd"))  # noqa: PTH208


def test_a_connection_that_never_says_what_it_is_ends(acquisition) -> None:
    daq = acquisition()
    before = descriptors(daq)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for one in silent:
        one.connect(str(daq.endpoints.folder / "control"))
    wait_until(lambda: descriptors(daq) >= before + 30, "30 connections")
    wait_until(lambda: descriptors(daq) <= before + 1, "their end")
    for one in silent:
        one.close()


def test_a_pipe_or_a_huge_file_in_a_command_is_refused_at_once(idle_daq, tmp_path) -> None:
    pipe, huge = tmp_path / "pipe.npz", tmp_path / "huge.npz"
    os.mkfifo(pipe)
    with huge.open("wb") as file:
        file.truncate(3 * 2**30)
    for args in (
        {"calibration": str(pipe)},
        {"mu_map": str(pipe)},
        {"live": {"activity": str(pipe)}},
    ):
        with pytest.raises(ClientError, match="not a regular file"):
            idle_daq.control.call("arm", **args)
    for args in ({"calibration": str(huge)}, {"mu_map": str(huge)}):
        with pytest.raises(ClientError, match="it has 3 GiB, more than"):
            idle_daq.control.call("arm", **args)
    with pytest.raises(ClientError, match="not a regular file"):
        idle_daq.control.call("live", activity=str(tmp_path))
    assert idle_daq.state() == "idle"


def test_a_value_that_json_cannot_hold_never_reaches_the_run_folder(idle_daq) -> None:
    with pytest.raises(ClientError, match="arm: nan is no number that can be kept"):
        idle_daq.control.send("arm", labels={"activity_MBq": float("nan")})
    forged = {"type": "Command", "version": 3, "id": 1, "name": "arm"}
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.connect(idle_daq.endpoints.of("control"))
    dealer.send(msgpack.packb({**forged, "args": {"labels": {"activity_MBq": float("nan")}}}))
    dealer.send(encode(Command(id=2, name="ping")))
    assert dealer.poll(5000)
    dealer.close(linger=0)
    assert not [path for path in idle_daq.runs.iterdir() if path.is_dir()]


def test_over_tcp_nobody_reads_a_file_that_is_not_of_the_runs(
    acquisition, tmp_path_factory
) -> None:
    secret = tmp_path_factory.mktemp("s") / "secret.npz"
    secret.write_text("secret of root", encoding="utf-8")
    daq = acquisition(endpoints=free_tcp())
    for name in ("mu_map", "calibration"):
        with pytest.raises(ClientError, match="a command over TCP may name no files"):
            daq.control.call("arm", **{name: str(secret)})
    with pytest.raises(ClientError, match="a command over TCP"):
        daq.control.call("live", activity="/etc/shadow")
    sneaky = daq.runs / "link.npz"
    daq.runs.mkdir(exist_ok=True)
    sneaky.symlink_to(secret)
    with pytest.raises(ClientError, match="a command over TCP"):
        daq.control.call("arm", mu_map=str(sneaky))
    own = daq.runs / "map.npz"
    np.savez(own, mu_per_mm=np.zeros((2, 2, 2), np.float32), voxel_mm=np.ones(3))
    armed = daq.control.call("arm", mu_map=str(own))
    assert (Path(armed["run"]) / "mu_map.npz").read_bytes() == own.read_bytes()


def test_a_client_that_sends_too_many_commands_is_told_so(idle_daq) -> None:
    with ControlClient(idle_daq.endpoints) as client:
        reasons: list[str] = []
        rounds = 0
        while "".join(reasons) == "" and rounds < 400:
            rounds += 1
            for _ in range(25):
                client.send("ping")
            while len(reasons) < 25 * rounds:
                reasons += [reply.reason for reply in client.poll(5.0)]
    assert reasons[:200] == [""] * 200
    assert any("too many commands: 200 a second" in reason for reason in reasons)
    idle_daq.control.call("ping")  # another client is served


def test_commands_with_more_parts_than_any_message_has_do_no_harm(idle_daq) -> None:
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.connect(idle_daq.endpoints.of("control"))
    dealer.send_multipart([b"part"] * 100_000 + [encode(Command(id=5, name="ping"))])
    assert dealer.poll(10_000)
    dealer.close(linger=0)


def test_a_daq_that_starts_by_itself_says_what_it_waits_for_and_stays_for_the_second_source(
    acquisition, source
) -> None:
    daq = acquisition("--auto")
    wait_until(lambda: "waiting: no source" in first_words(daq), "what it waits for")
    detector = source(daq, modules=0)
    modules = source(daq)
    modules.wait_for_start()
    detector.run_tag = modules.run_tag
    modules.send_periods(3)
    detector.link.report(
        SourceReport(
            run_tag=modules.run_tag,
            singles_emitted=[0, 0], frames_sent=[0, 0], dead_events=[0, 0],
        )
    )  # fmt: skip
    wait_until(lambda: detector.link.poll(0.05) is not None, "its way")
    detector.close()
    modules.send_periods(3)
    assert daq.process.poll() is None and daq.state() == "running"
    modules.finish()
    assert daq.process.wait(20) == 0
