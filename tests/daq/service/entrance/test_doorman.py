"""Connections are counted and bounded by a thread of its own: over real sockets."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import zmq

from daq.service.entrance import doorman
from daq.service.entrance.doorman import (
    LEAST_CONNECTIONS,
    Doorman,
    connections_within,
    raise_descriptor_limit,
)

WAIT_S = 10.0


@contextmanager
def watched(folder: Path, most: int) -> Iterator[tuple[Doorman, zmq.Socket, Path]]:
    """Bind a plane of so many connections."""
    man = Doorman({"plane": most})
    bound: zmq.Socket = zmq.Context.instance().socket(zmq.PULL)
    man.watch("plane", bound)
    bound.bind(f"ipc://{folder}/plane")
    man.start()
    yield man, bound, folder / "plane"
    bound.close(linger=0)
    man.close()


@contextmanager
def crowd(path: Path, count: int) -> Iterator[list[socket.socket]]:
    """Make raw connections that say nothing."""
    with ExitStack() as opened:
        made = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]
        for one in made:
            one.connect(str(path))
        yield made


def is_shut(one: socket.socket) -> bool:
    """Whether the other side has ended a connection."""
    one.setblocking(False)
    try:
        while data := one.recv(1000):
            assert data  # ZeroMQ's greeting
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    return True


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


def test_connections_beyond_the_bound_are_shut_and_those_that_stand_are_not(tmp_path) -> None:
    with watched(tmp_path, 5) as (man, _, path), crowd(path, 12) as made:
        assert eventually(lambda: sum(map(is_shut, made)) == 7)
        assert not any(map(is_shut, made[:5]))
        assert man.take_refused() == {"plane": 7}
        assert man.take_refused() == {}


def test_a_place_that_was_left_is_taken_by_the_next(tmp_path) -> None:
    with watched(tmp_path, 2) as (_, _, path):
        for _ in range(5):
            assert eventually(lambda: both_stand(path))


def both_stand(path: Path) -> bool:
    """Whether two more connections stand."""
    with crowd(path, 2) as made:
        time.sleep(0.05)
        return not any(map(is_shut, made))


def test_who_never_says_what_he_is_loses_his_place(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(doorman, "HANDSHAKE_S", 0.2)
    with watched(tmp_path, 2) as (_, _, path), crowd(path, 2) as silent:
        assert eventually(lambda: all(map(is_shut, silent)))
        assert eventually(lambda: both_stand(path))


def test_many_senders_that_come_at_once_all_get_through(tmp_path) -> None:
    context = zmq.Context()
    with watched(tmp_path, 300) as (_, bound, path):
        senders = [context.socket(zmq.PUSH) for _ in range(200)]
        for number, sender in enumerate(senders):
            sender.connect(f"ipc://{path}")
            sender.send(b"%d" % number)
        came = {bound.recv() for _ in senders if bound.poll(int(WAIT_S * 1000))}
    assert len(came) == 200
    context.destroy(linger=0)


def test_the_thread_ends_with_the_sockets(tmp_path) -> None:
    with watched(tmp_path, 5) as (man, _, path), crowd(path, 20):
        pass
    assert not man._thread.is_alive()


def test_the_soft_limit_of_descriptors_is_raised_to_the_hard_one() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert raise_descriptor_limit() == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("limit", [64, 256, 1024, 65_536])
def test_few_descriptors_are_shared_by_the_planes(limit: int) -> None:
    asked = {"data": 1024, "control": 64, "events": 64}
    most = connections_within(limit, asked)
    assert sum(most.values()) <= limit / 4 + 3 * LEAST_CONNECTIONS
    assert (most == asked) == (limit == 65_536)
