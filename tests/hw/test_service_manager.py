"""What a service manager is told, over a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hw.service_manager import ServiceManager


@pytest.fixture(params=["a file", "no file"])
def listening(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A manager's socket, by a path and in Linux's namespace without files, and its name."""
    name = str(tmp_path / "notify") if request.param == "a file" else f"@tomoshibi-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name.replace("@", "\0"))
        listener.settimeout(5.0)
        yield listener, name


def heard(listener: socket.socket) -> list[str]:
    """Return all that has been said so far."""
    words = []
    listener.setblocking(False)
    while True:
        try:
            words.append(listener.recv(1000).decode())
        except BlockingIOError:
            return words


def test_ready_signs_of_life_and_the_end_are_told_in_order(listening):
    listener, name = listening
    manager = ServiceManager.of({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"})
    manager.ready()
    manager.alive(100.0)
    manager.leaving()
    assert heard(listener) == ["READY=1", "WATCHDOG=1", "STOPPING=1"]


def test_of_a_limit_of_2_s_a_busy_loop_gives_a_sign_each_half_second(listening):
    listener, name = listening
    manager = ServiceManager(name, limit_s=2.0)
    signs = 0
    for turn in range(1001):  # 10 s, turns of 10 ms
        manager.alive(50.0 + turn / 100)
        signs += len(heard(listener))
    assert signs == 21


def test_without_a_limit_there_are_no_signs(listening):
    listener, name = listening
    manager = ServiceManager.of({"NOTIFY_SOCKET": name})
    manager.alive(1.0)
    assert heard(listener) == []


@pytest.mark.parametrize("limit", ["", "-1", "soon", "1e6", "2 s"])
def test_a_limit_that_is_no_number_is_none(listening, limit):
    listener, name = listening
    ServiceManager.of({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": limit}).alive(1.0)
    assert heard(listener) == []


def test_the_limit_of_another_process_is_none_of_ours(listening):
    listener, name = listening
    environ = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
    ServiceManager.of(environ | {"WATCHDOG_PID": "1"}).alive(1.0)
    assert heard(listener) == []
    ServiceManager.of(environ | {"WATCHDOG_PID": str(os.getpid())}).alive(1.0)
    assert heard(listener) == ["WATCHDOG=1"]


def test_children_do_not_inherit_the_way():
    environ = {"NOTIFY_SOCKET": "@x", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "HOME": "/"}
    ServiceManager.of(environ).leaving()
    assert environ == {"HOME": "/"}


def test_without_a_manager_nothing_is_said_and_nothing_fails():
    manager = ServiceManager.of({})
    manager.ready()
    manager.alive(1.0)
    manager.leaving()


def test_a_manager_that_has_gone_or_does_not_read_is_no_trouble(tmp_path):
    gone = ServiceManager(str(tmp_path / "nobody"), limit_s=1.0)
    gone.ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "full"))
        deaf = ServiceManager(str(tmp_path / "full"), limit_s=1.0)
        for turn in range(10_000):  # beyond what the socket holds: a wait would be without end
            deaf.alive(float(turn))
        assert 0 < len(heard(listener)) < 10_000
