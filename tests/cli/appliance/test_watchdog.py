"""A daq under a service manager: signs of life come from its loop, and end where it hangs.

The real process; the test holds the manager's socket.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from daq.client.client import ClientError
from rigs.acquisition_process import Acquisition, wait_until

pytestmark = pytest.mark.processes

LIMIT_S = 2.0
HEARD_S = 2.5
"""Time for two signs of life, each half a second, on a busy machine too."""


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A service manager's end of the way, which bears so much silence."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(int(LIMIT_S * 1e6)))
        yield listener


@pytest.fixture
def daq(manager: socket.socket, tmp_path: Path) -> Iterator[Acquisition]:
    """A daq that the manager has started."""
    running = Acquisition(tmp_path)
    yield running
    running.end()


def words(manager: socket.socket, *, within_s: float) -> list[str]:
    """Return what is said within a time."""
    found, end_s = [], time.monotonic() + within_s
    while (left_s := end_s - time.monotonic()) > 0:
        manager.settimeout(left_s)
        try:
            found.append(manager.recv(1000).decode())
        except TimeoutError:
            break
    return found


def test_a_daq_that_hangs_gives_no_sign_of_life_until_it_goes_on(manager, daq):
    first = words(manager, within_s=HEARD_S)
    assert first[0] == "READY=1"
    assert first.count("WATCHDOG=1") >= 2
    os.kill(daq.process.pid, signal.SIGSTOP)
    words(manager, within_s=0.3)  # what it had said before
    assert words(manager, within_s=LIMIT_S) == []  # here systemd would end it and start another
    os.kill(daq.process.pid, signal.SIGCONT)
    assert "WATCHDOG=1" in words(manager, within_s=HEARD_S)


def test_a_daq_that_leaves_says_so(manager, daq):
    daq.end()
    assert words(manager, within_s=1.0)[-1] == "STOPPING=1"


def test_who_would_not_end_a_run_is_refused_while_one_is_under_way(daq):
    daq.control.call("arm")
    with pytest.raises(ClientError, match="a run is armed"):
        daq.control.call("shutdown", unless_run=True)
    daq.control.call("reset")
    daq.control.call("shutdown", unless_run=True)
    wait_until(lambda: daq.process.poll() == 0, "the daq's end")
