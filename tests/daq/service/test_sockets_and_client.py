"""One daq per address, and a client that never waits longer than it was told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import zmq

from daq.client.client import ClientError, ControlClient, DisplayClient
from daq.errors import ServiceError
from daq.service.sockets import ServiceSockets, bind_service
from hw.messages.base import Message
from hw.messages.codec import decode, encode
from hw.messages.commands import Command, Reply
from hw.messages.endpoints import Endpoints
from hw.messages.pictures import ImageMessage
from rigs.acquisition_process import free_tcp
from rigs.other_user import as_nobody, everybodys_folder, needs_another_user

OWNER = """
import sys, time
from daq.service.sockets import bind_service
from hw.messages.endpoints import Endpoints
bound = bind_service(Endpoints(sys.argv[1]))
print("bound", flush=True)
time.sleep(60)
"""


@pytest.fixture
def endpoints(ipc_base: str) -> Endpoints:
    return Endpoints(ipc_base)


@pytest.fixture
def service(endpoints: Endpoints) -> Iterator[ServiceSockets]:
    bound = bind_service(endpoints)
    yield bound
    bound.close()


def test_a_second_daq_on_the_same_folder_is_refused_with_the_owners_pid(
    service: ServiceSockets, endpoints: Endpoints
) -> None:
    with pytest.raises(ServiceError, match=f"another daq \\(pid {os.getpid()}\\) owns"):
        bind_service(endpoints)
    with ControlClient(endpoints) as client:  # and the first one still has its sockets
        client.send("ping")
        assert service.control.poll(2000)


def test_a_daq_that_ends_leaves_no_socket_behind(ipc_base: str) -> None:
    endpoints = Endpoints(ipc_base)
    bound = bind_service(endpoints)
    assert sum(path.is_socket() for path in endpoints.folder.iterdir()) > 5
    bound.close()
    assert not any(path.is_socket() for path in endpoints.folder.iterdir())


@pytest.mark.processes
def test_the_owner_may_be_another_process_and_a_killed_one_leaves_no_trace(
    endpoints: Endpoints,
) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, endpoints.base],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "bound\n"
        with pytest.raises(ServiceError, match=f"pid {owner.pid}"):
            bind_service(endpoints)
    finally:
        owner.kill()
        owner.wait(10)
        owner.stdout.close()
    bind_service(endpoints).close()


def test_after_closing_the_address_is_free_again(endpoints: Endpoints) -> None:
    bind_service(endpoints).close()
    with closing(bind_service(endpoints)) as again, ControlClient(endpoints) as client:
        client.send("ping")
        assert again.control.poll(2000)


@pytest.mark.parametrize("plane", ["data", "control", "telemetry"])
def test_a_taken_port_is_a_service_error_and_lets_the_other_ports_go(plane: str) -> None:
    endpoints = free_tcp()
    port = int(endpoints.of(plane).rsplit(":", 1)[1])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ServiceError, match=f"cannot bind {plane}.*choose another --endpoint"):
            bind_service(endpoints)
    bind_within(5.0, endpoints).close()


def bind_within(seconds: float, endpoints: Endpoints) -> ServiceSockets:
    """Bind, patiently: ZeroMQ lets a closed socket's port go a moment later, in its own thread."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return bind_service(endpoints)
        except ServiceError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_a_failed_bind_lets_the_folder_go(endpoints: Endpoints) -> None:
    (endpoints.folder / "telemetry").mkdir(parents=True)
    with pytest.raises(ServiceError, match="cannot bind telemetry"):
        bind_service(endpoints)
    (endpoints.folder / "telemetry").rmdir()
    bind_within(5.0, endpoints).close()


def test_a_folder_that_cannot_be_used_is_a_service_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ServiceError, match="cannot use"):
        bind_service(Endpoints(f"ipc://{tmp_path}/file/x"))


def test_a_lock_that_links_elsewhere_is_refused_and_what_it_names_is_kept(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    (tmp_path / "t").mkdir(mode=0o700)
    (tmp_path / "t" / "lock").symlink_to("../precious.txt")
    with pytest.raises(ServiceError, match="lock is a link to elsewhere: remove it"):
        bind_service(Endpoints(f"ipc://{tmp_path}/t"))
    assert (tmp_path / "precious.txt").read_text() == "keep me"


@needs_another_user
def test_a_lock_planted_by_another_user_destroys_nothing(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("keep me")
    with everybodys_folder() as shared:
        plant = 'mkdir -m 700 "$1/t" && ln -s "$2" "$1/t/lock"'
        as_nobody(plant, str(shared), str(tmp_path / "precious.txt"))
        with pytest.raises(ServiceError, match="belongs to another user"):
            bind_service(Endpoints(f"ipc://{shared}/t"))
    assert (tmp_path / "precious.txt").read_text() == "keep me"


@needs_another_user
def test_another_user_cannot_reach_the_sockets_with_any_umask() -> None:
    with everybodys_folder() as shared:
        before = os.umask(0)
        try:
            bound = bind_service(Endpoints(f"ipc://{shared}/t"))
        finally:
            os.umask(before)
        with closing(bound):
            assert (shared / "t" / "control").is_socket()
            assert as_nobody('test -e "$1/t/control"', str(shared)).returncode == 1


def answering(
    service: ServiceSockets, reply: Callable[[Command], list[Message]]
) -> threading.Thread:
    """Answer one command in a thread, as the service would."""

    def answer() -> None:
        if service.control.poll(5000):
            identity, data = service.control.recv_multipart()
            command = decode(data)
            assert isinstance(command, Command)
            for message in reply(command):
                service.control.send_multipart([identity, encode(message)])

    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_a_call_waits_through_accepted_until_done(
    service: ServiceSockets, endpoints: Endpoints
) -> None:
    def reply(command: Command) -> list[Message]:
        return [
            Reply(id=command.id + 1000, status="done", result={"of": "another"}),
            Reply(id=command.id, status="accepted"),
            Reply(id=command.id, status="done", result={"args": command.args}),
        ]

    with ControlClient(endpoints) as client:
        thread = answering(service, reply)
        assert client.call("arm", timeout_s=5, name="x") == {"args": {"name": "x"}}
        thread.join()


def test_a_failed_command_is_an_error_with_the_daqs_reason(
    service: ServiceSockets, endpoints: Endpoints
) -> None:
    with ControlClient(endpoints) as client:
        thread = answering(
            service, lambda c: [Reply(id=c.id, status="failed", reason="arm a run first")]
        )
        with pytest.raises(ClientError, match="start: arm a run first"):
            client.call("start", timeout_s=5)
        thread.join()


def test_a_daq_of_another_version_is_a_client_error(
    service: ServiceSockets, endpoints: Endpoints
) -> None:
    with ControlClient(endpoints) as client:
        thread = answering(service, lambda c: [Reply(id=c.id, status="done", version=1)])
        with pytest.raises(ClientError, match="version 1"):
            client.call("ping", timeout_s=5)
        thread.join()


def test_no_answer_is_an_error_within_the_bound_that_says_what_to_do(endpoints: Endpoints) -> None:
    with ControlClient(endpoints) as client:
        with pytest.raises(ClientError, match=r"ping: no answer .* within 0\.05 s; is it running"):
            client.call("ping", timeout_s=0.05)
        assert client.poll() == []


def test_commands_to_nobody_fill_a_bounded_queue(endpoints: Endpoints) -> None:
    with ControlClient(endpoints) as client, pytest.raises(ClientError, match="is the daq running"):
        for _ in range(1000):
            client.send("ping")


def test_ids_tell_commands_apart(endpoints: Endpoints) -> None:
    with ControlClient(endpoints) as client:
        assert [client.send("ping") for _ in range(3)] == [1, 2, 3]


def image(sequence: int) -> bytes:
    return encode(
        ImageMessage(
            run="r", sequence=sequence, shape=(1, 1, 1), voxel_mm=(1, 1, 1), image=b"\0" * 4,
            unit="", detector_time_s=0, event_wall_ns=0, published_wall_ns=0, prompts_used=0,
            delayeds_used=0, fraction_used=1, corrections={},
        )
    )  # fmt: skip


def test_a_slow_display_gets_the_newest_only(endpoints: Endpoints) -> None:
    publisher = zmq.Context.instance().socket(zmq.XPUB)
    publisher.bind(endpoints.of("images"))
    display = DisplayClient(endpoints)
    try:
        assert publisher.poll(5000)  # the subscription has come
        publisher.recv()
        for sequence in range(20):
            publisher.send(image(sequence))
        shown = [-1]
        while shown[-1] < 19 and (found := display.image(timeout_s=5.0)) is not None:
            shown.append(found.sequence)
        assert shown[-1] == 19
        assert shown == sorted(set(shown))
        assert display.telemetry() is None
    finally:
        display.close()
        publisher.close(linger=0)


def test_a_killed_imagers_socket_goes_with_the_daqs_and_a_living_ones_stays(tmp_path: Path) -> None:
    for living in (False, True):
        endpoints = Endpoints(f"ipc://{tmp_path}/{living}")
        sockets = bind_service(endpoints)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(endpoints.folder / "images"))
        listener.listen()
        if not living:
            listener.close()  # its file stays, as after a kill
        sockets.close()
        assert (endpoints.folder / "images").exists() == living
        listener.close()
