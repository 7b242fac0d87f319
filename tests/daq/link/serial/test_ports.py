"""Ports: every form that pyserial opens, for one host alone, and found."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
import serial
from serial.rfc2217 import PortManager

from daq.link.serial.line_errors import LinkLost, PortBusy, PortError
from daq.link.serial.ports import _lock_address, _unlock_address, open_port
from daq.link.serial.session import ModuleSession, discover
from rigs.scripted_module import ScriptedModule


def test_a_second_host_in_this_program_is_refused_and_told_whom_to_ask():
    with (
        ScriptedModule() as module,
        ModuleSession.open(module.url) as session,
        pytest.raises(PortBusy, match=rf"process {os.getpid()}.* has this port open; end it"),
    ):
        try:
            ModuleSession.open(module.url)
        finally:
            session.command("telemetry")  # the first one is none the worse


def test_another_program_on_the_port_is_named():
    hold = (
        "import sys; from daq.link.serial.ports import open_port\n"
        "port = open_port(sys.argv[1]); print('ready', flush=True); sys.stdin.read()"
    )
    with ScriptedModule() as module:
        other = subprocess.Popen(
            [sys.executable, "-c", hold, module.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert other.stdout.readline() == b"ready\n"
            with pytest.raises(PortBusy, match=rf"process {other.pid}\) has this port open"):
                ModuleSession.open(module.url)
        finally:
            other.communicate(timeout=10)
        with ModuleSession.open(module.url) as session:
            assert session.connected


def test_two_hosts_on_one_tcp_port_are_told_apart_as_well():
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"socket://127.0.0.1:{listener.getsockname()[1]}"
    try:
        first = open_port(url)
        with pytest.raises(PortBusy, match="one line serves one host"):
            open_port(url)
        first.close()
        open_port(url).close()
    finally:
        listener.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/dev/tty-that-is-not", "cannot be opened.*Ports of this machine"),
        ("socket://127.0.0.1:1", "cannot be opened"),
        ("socket://127.0.0.1:no", "cannot be used.*write /dev/ttyUSB0"),
        ("socket://127.0.0.1:99999", "cannot be used"),
        ("socket://nowhere-to-be-found", "cannot be used"),
        ("hwgrep://(", "cannot be used"),
        ("hwgrep://dead:beef", "no ports found matching"),
        ("carrier://pigeon", "cannot be used"),
        ("/etc/hostname", "cannot be opened"),
    ],
)
def test_what_is_no_port_is_an_error_with_words(url, words):
    with pytest.raises(PortError, match=words) as refused:
        ModuleSession.open(url)
    assert url in str(refused.value)


def test_a_closed_connection_is_a_lost_link_for_reader_and_writer():
    listener = socket.create_server(("127.0.0.1", 0))
    port = open_port(f"socket://127.0.0.1:{listener.getsockname()[1]}")
    connection, _ = listener.accept()
    assert port.read() == b""
    assert port.write(b"abc") == 3
    connection.sendall(b"xyz" * 1000)
    got = b""
    while len(got) < 3000:
        got += port.read()
    assert got == b"xyz" * 1000
    connection.close()
    listener.close()
    with pytest.raises(LinkLost, match="went away while reading"):
        while True:
            assert port.read() == b""
    port.close()
    with pytest.raises(LinkLost):
        port.write(b"abc")


def test_a_line_that_takes_nothing_does_not_hold_the_writer_up():
    master, slave = os.openpty()
    tty.setraw(slave)
    port = open_port(os.ttyname(slave))
    taken = [port.write(b"x" * 4096) for _ in range(200)]
    assert taken[-1] == 0
    assert sum(taken) > 0
    port.close()
    os.close(master)
    os.close(slave)


class LineWithoutModem(serial.Serial):
    """A pty has no modem lines to ask."""

    cts = dsr = ri = cd = False

    def _update_dtr_state(self) -> None:
        pass

    def _update_rts_state(self) -> None:
        pass


class Rfc2217Server:
    """pyserial's own server side of RFC 2217, between a TCP port and a serial port."""

    def __init__(self, url: str) -> None:
        self._line = LineWithoutModem(url, timeout=0.01)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"rfc2217://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ending = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._connection = connection = self._listener.accept()[0]
        connection.settimeout(0.005)
        manager = PortManager(self._line, _Sender(connection))
        while not self._ending:
            data = self._line.read(4096)
            try:
                if data:
                    connection.sendall(b"".join(manager.escape(data)))
                came = connection.recv(4096)
                if not came:
                    break
                self._line.write(b"".join(manager.filter(came)))
            except TimeoutError:
                continue

    def close(self) -> None:
        self._ending = True
        self._thread.join(3.0)
        self._connection.close()
        self._listener.close()
        self._line.close()


class _Sender:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> None:
        self._connection.sendall(data)


def test_a_module_behind_a_terminal_server_is_spoken_to_over_rfc_2217():
    with ScriptedModule() as module:
        server = Rfc2217Server(module.url)
        try:
            with ModuleSession.open(server.url) as session:
                for _ in range(5):
                    session.command("telemetry")
                assert session.statistics.baud == 115_200
        finally:
            server.close()


def test_discovery_says_which_ports_answer_and_why_others_do_not():
    master, slave = os.openpty()  # a port with nobody behind
    silent = os.ttyname(slave)
    with ScriptedModule() as module, ScriptedModule() as taken, ModuleSession.open(taken.url):
        urls = [module.url, silent, taken.url, "/dev/tty-that-is-not"]
        found = {entry.url: entry for entry in discover(also=urls, hello_s=0.3)}
    os.close(master)
    os.close(slave)
    assert int(found[module.url].identity["build"]) == 0xABCDEF01
    assert found[module.url].problem == ""
    assert "no HELLO" in found[silent].problem
    assert "has this port open" in found[taken.url].problem
    assert "cannot be opened" in found["/dev/tty-that-is-not"].problem
    assert found[silent].identity is None


def test_a_lock_planted_for_an_address_is_refused_and_what_it_names_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / "precious").write_text("keep me")
    with closing_lock("socket://127.0.0.1:9") as lock:
        planted = Path(lock.name)
        assert planted.parent.parent == tmp_path
    planted.symlink_to(tmp_path / "precious")
    with pytest.raises(PortError, match="is a link to elsewhere"):
        _lock_address("socket://127.0.0.1:9")
    assert (tmp_path / "precious").read_text() == "keep me"


@contextmanager
def closing_lock(url: str) -> Iterator[IO[str]]:
    lock = _lock_address(url)
    yield lock
    _unlock_address(lock)
