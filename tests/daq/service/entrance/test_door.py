"""Who may command: real sockets, real keys, over TCP and by ipc."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq

from daq.client.client import ClientError, ControlClient, DisplayClient
from daq.folder.run_config import default_settings
from daq.service.entrance.command_journal import NAME
from daq.service.entrance.door import MOST_REFUSALS, Door
from daq.service.service import DaqService
from hw.messages.codec import decode_as, encode
from hw.messages.commands import Command, Reply
from hw.messages.endpoints import Endpoints
from hw.messages.keys import KeyRing, Role, write_key_file
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from rigs.acquisition_process import free_tcp
from rigs.other_user import as_nobody, needs_another_user

Use = Callable[[Role | None], None]


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyRing:
    monkeypatch.setenv("TOMOSHIBI_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("TOMOSHIBI_KEY_FILE", raising=False)
    return KeyRing()


@pytest.fixture
def use(ring: KeyRing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Use:
    """Make the following connections with a new key of a role; None: with this user's own."""

    def choose(role: Role | None) -> None:
        if role is None:
            monkeypatch.delenv("TOMOSHIBI_KEY_FILE", raising=False)
            return
        path = tmp_path / f"{role}.json"
        write_key_file(path, ring.make(role, role))
        monkeypatch.setenv("TOMOSHIBI_KEY_FILE", str(path))

    return choose


@contextmanager
def serving(endpoints: Endpoints, runs: Path) -> Iterator[DaqService]:
    service = DaqService(endpoints, runs_root=runs)
    thread = threading.Thread(target=service.serve)
    thread.start()
    try:
        yield service
    finally:
        service.leave()
        thread.join(30)


@pytest.fixture
def tcp(ring: KeyRing, tmp_path: Path) -> Iterator[Endpoints]:
    endpoints = free_tcp()
    with serving(endpoints, tmp_path / "runs"):
        yield endpoints


def lines(runs: Path) -> list[dict[str, Any]]:
    path = runs / NAME
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_this_users_own_programs_need_nothing(tcp: Endpoints) -> None:
    with ControlClient(tcp) as daq:
        assert daq.call("status")["state"] == "idle"
    with closing(DisplayClient(tcp)) as display:
        assert display.telemetry(5.0) is not None


def raw_client(endpoints: Endpoints, **curve: bytes) -> zmq.Socket[bytes]:
    client: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    client.setsockopt(zmq.LINGER, 0)
    for name, value in curve.items():
        setattr(client, name, value)
    client.connect(endpoints.of("control"))
    return client


def answers(client: zmq.Socket[bytes], command: Command) -> Reply | None:
    try:
        client.send(encode(command), zmq.NOBLOCK)
    except zmq.Again:  # the handshake failed already: nobody is there to send to
        return None
    return decode_as(Reply, client.recv()) if client.poll(700) else None


def test_without_a_key_or_with_an_unknown_one_there_is_no_answer(
    tcp: Endpoints, ring: KeyRing
) -> None:
    public, secret = zmq.curve_keypair()
    server = ring.pair()[0]
    ping = Command(id=1, name="ping")
    with closing(raw_client(tcp)) as plain:
        assert answers(plain, ping) is None
    with closing(raw_client(
        tcp, curve_serverkey=server, curve_publickey=public, curve_secretkey=secret
    )) as unknown:  # fmt: skip
        assert answers(unknown, ping) is None
    own = ring.own()
    with closing(raw_client(
        tcp, curve_serverkey=server, curve_publickey=own.public.encode(),
        curve_secretkey=own.secret.encode(),
    )) as known:  # fmt: skip
        assert answers(known, ping) is not None


GREETING = (b"\xff" + bytes(7) + b"\x01\x7f\x03\x00NULL").ljust(64, b"\0")
READY = b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"


@needs_another_user
def test_another_user_of_this_machine_gets_nothing_over_tcp(tcp: Endpoints, ring: KeyRing) -> None:
    """It may open the port, where it hears the protocol's greeting; and it cannot read the key."""
    port = tcp.of("control").rsplit(":", 1)[1]
    talk = f"exec 3<>/dev/tcp/127.0.0.1/{port}; cat >&3; timeout 1 cat <&3"
    command = encode(Command(id=1, name="shutdown"))
    said = GREETING + READY + bytes([0, len(command)]) + command
    heard = as_nobody('exec bash -c "$1"', talk, input=said).stdout
    assert len(heard) <= 64
    assert as_nobody('cat "$1"/own.json', str(ring.folder)).stdout == b""
    with ControlClient(tcp) as daq:
        assert daq.call("status")["state"] == "idle"


@pytest.mark.parametrize(
    ("role", "allowed", "refused"),
    [
        ("observe", ["ping", "status"], ["arm", "start", "stop", "reset", "live", "shutdown"]),
        ("operate", ["ping", "status", "live"], ["fault", "module"]),
        ("service", ["ping", "status", "live"], []),
    ],
)
def test_a_role_may_what_it_may(
    tcp: Endpoints, use: Use, tmp_path: Path, role: Role, allowed: list[str], refused: list[str]
) -> None:
    use(role)
    args: dict[str, dict[str, Any]] = {"module": {"action": "update"}, "fault": {"action": "set"}}
    with ControlClient(tcp) as daq:
        for name in allowed:
            try:
                daq.call(name)
            except ClientError as error:
                assert "role" not in str(error)
        for name in refused:
            with pytest.raises(ClientError, match=f"this key may {role}, the command is for the"):
                daq.call(name, **args.get(name, {}))
    told = [line for line in lines(tmp_path / "runs") if line.get("refused")]
    assert [line["command"] for line in told] == refused
    assert {line["client"] for line in told} <= {role}


def test_operators_may_switch_the_bias_off_and_not_on(tcp: Endpoints, use: Use) -> None:
    use("operate")
    with ControlClient(tcp) as daq:
        with pytest.raises(ClientError, match="no modules with firmware are attached"):
            daq.call("module", action="bias", modules=[], values={"target_mV": 0})
        for values in ({"target_mV": 54_000}, {}, {"target_mV": 0, "other": 1}):
            with pytest.raises(ClientError, match="the command is for the role service"):
                daq.call("module", action="bias", modules=[], values=values)


def test_an_observer_sees_telemetry_and_is_no_source(tcp: Endpoints, use: Use) -> None:
    use("observe")
    with closing(DisplayClient(tcp)) as display:
        assert display.telemetry(5.0) is not None
    source: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    with closing(source):
        source.setsockopt(zmq.LINGER, 0)
        failed = source.get_monitor_socket(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        tcp.connect(source, "source")
        assert failed.poll(5000)
        source.disable_monitor()
        failed.close()


def test_a_revoked_key_commands_nothing_from_then_on(
    tcp: Endpoints, use: Use, ring: KeyRing
) -> None:
    use("operate")
    with ControlClient(tcp) as daq:
        daq.call("live")
        ring.revoke("operate")
        with pytest.raises(ClientError, match="no longer, known"):
            daq.call("live")


def test_a_repeated_command_is_refused(tmp_path: Path, ipc_base: str) -> None:
    endpoints = Endpoints(ipc_base)
    with serving(endpoints, tmp_path / "runs"), closing(raw_client(endpoints)) as client:
        for number, well in ((5, True), (5, False), (4, False), (-1, False), (6, True)):
            reply = answers(client, Command(id=number, name="live"))
            assert reply is not None
            assert (reply.status == "done") is well
            assert well or "it was repeated" in reply.reason
        with closing(raw_client(endpoints)) as other:  # counts by itself
            reply = answers(other, Command(id=1, name="live"))
            assert reply is not None
            assert reply.status == "done"


def test_the_journal_says_who_and_what_and_no_words_of_people(
    tmp_path: Path, ipc_base: str
) -> None:
    endpoints, runs = Endpoints(ipc_base), tmp_path / "runs"
    with serving(endpoints, runs), ControlClient(endpoints) as daq:
        daq.call("ping")
        daq.call("status")
        with pytest.raises(ClientError):
            daq.call("arm", name="Anna Müller", labels={"patient": "Anna Müller"})
        with pytest.raises(ClientError):
            daq.call("fault", action="set", text="drop:p=0.01")
    assert stat.S_IMODE((runs / NAME).stat().st_mode) == 0o600
    armed, fault = lines(runs)
    assert (armed["command"], armed["args"]) == ("arm", ["labels", "name"])
    assert (armed["uid"], armed["pid"]) == (os.getuid(), os.getpid())
    assert (armed["client"], armed["role"]) == ("this user", "service")
    assert fault["told"] == {"action": "set", "text": "drop:p=0.01"}
    assert "Anna" not in (runs / NAME).read_text()


def test_the_journal_is_appended_to_and_never_through_a_link(tmp_path: Path) -> None:
    command = Command(id=1, name="reset")
    for _ in range(2):
        door = Door(tmp_path, secured=False)
        assert door.admit(b"a", command) == ""
        door.close()
    assert len(lines(tmp_path)) == 2
    (tmp_path / NAME).unlink()
    (tmp_path / "precious").write_text("keep me")
    (tmp_path / NAME).symlink_to("precious")
    door = Door(tmp_path, secured=False)
    assert door.admit(b"a", command) == ""  # a daq can be stopped without a journal
    assert "is a link to elsewhere" in door.news()
    assert door.news() == ""
    door.close()
    assert (tmp_path / "precious").read_text() == "keep me"


def test_refusals_do_not_fill_the_disk_nor_visitors_the_memory(tmp_path: Path) -> None:
    door = Door(tmp_path, secured=False)
    for _ in range(3 * MOST_REFUSALS):
        door.admit(b"a", Command(id=0, name="reset"))
    for number in range(3000):
        door.admit(number.to_bytes(4, "big"), Command(id=1, name="ping"))
    door.close()
    assert door.refused == 3 * MOST_REFUSALS
    assert len(lines(tmp_path)) == MOST_REFUSALS
    assert len(door._visitors) == 1000


def test_whom_a_run_is_about_goes_into_one_file_alone(tmp_path: Path, ipc_base: str) -> None:
    endpoints, runs = Endpoints(ipc_base), tmp_path / "runs"
    scanner = scanner_to_toml_text("bench2")
    config = {
        "scanner_toml": scanner,
        "settings": msgspec.to_builtins(default_settings(load_scanner("bench2"))),
    }
    anna = {"name": "Müller^Anna", "patient_id": "4711-X"}
    with serving(endpoints, runs), ControlClient(endpoints) as daq:
        for wrong, words in (
            ({"labels": {"patient": "4711-X"}}, "label 'patient' identifies"),
            ({"identity": anna, "name": "Anna"}, "the run's name contains the name"),
            ({"identity": {"sex": "4711-X"}}, "sex is not as it must be"),
        ):
            with pytest.raises(ClientError, match=words):
                daq.call("arm", **config, **wrong)
        with closing(DisplayClient(endpoints)) as display:
            folder = Path(daq.call("arm", **config, identity=anna)["run"])
            telemetry = display.telemetry(5.0)
        assert b"4711" not in encode(telemetry)  # type: ignore[arg-type]
    holding = [p.name for p in runs.rglob("*") if p.is_file() and b"4711-X" in p.read_bytes()]
    assert holding == ["identity.json"]
    assert stat.S_IMODE((folder / "identity.json").stat().st_mode) == 0o600
