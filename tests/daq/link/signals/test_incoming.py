"""Lines of a serial port, messages of a publisher, what Lab Streaming Layer has become samples."""

from __future__ import annotations

import os
import time
import tty
from collections.abc import Callable

import pytest
import zmq

from daq.errors import DaqError
from daq.link.signals.incoming import (
    Incoming,
    LslSamples,
    Reading,
    Sample,
    SerialLines,
    SignalError,
    ZmqMessages,
)

TRIGGERS, NUMBERS = Reading(triggers=True, only="R"), Reading(triggers=False, column=1, scale=2.0)


def read_until(
    incoming: Incoming, count: int, again: Callable[[], object] = lambda: 0
) -> list[Sample]:
    found: list[Sample] = []
    deadline = time.monotonic() + 20.0
    while len(found) < count:
        assert time.monotonic() < deadline, f"only {found}"
        again()
        found += incoming.read(0.1)
    return found


@pytest.mark.parametrize(
    ("reading", "line", "value"),
    [
        (TRIGGERS, "R", 1.0),
        (TRIGGERS, "Q", None),
        (TRIGGERS, "  ", None),
        (NUMBERS, "12.5;-3e2 cps", -600.0),
        (NUMBERS, "belt=.5, 0.25", 0.5),
    ],
)
def test_a_line_is_a_trigger_or_has_a_number(
    reading: Reading, line: str, value: float | None
) -> None:
    assert reading.value_of(line) == value


def test_lines_of_a_serial_port_in_pieces_and_what_is_no_number_is_counted() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    port = SerialLines(os.ttyname(slave), 115200, NUMBERS)
    os.close(slave)
    before = time.monotonic_ns()
    os.write(master, b"1 2\r\nno number\r\n7")
    found = read_until(port, 1)
    os.write(master, b" 8\n" + b"x" * 5000 + b"\n3 4\n")
    found += read_until(port, 2)
    assert [one.value for one in found] == [4.0, 16.0, 8.0]
    assert all(before <= one.wall_ns <= time.monotonic_ns() for one in found)
    assert port.broken >= 2
    os.close(master)
    with pytest.raises(DaqError, match="went away"):
        for _ in range(100):
            port.read(0.05)
    port.close()


def test_a_port_that_is_not_there_is_named() -> None:
    with pytest.raises(DaqError, match="/dev/no-such-port"):
        SerialLines("/dev/no-such-port", 115200, TRIGGERS)


def test_messages_of_a_publisher() -> None:
    publisher = zmq.Context.instance().socket(zmq.PUB)
    port = publisher.bind_to_random_port("tcp://127.0.0.1")
    incoming = ZmqMessages(f"tcp://127.0.0.1:{port}", TRIGGERS)
    try:
        found = read_until(incoming, 2, lambda: publisher.send_multipart([b"topic", b"R wave"]))
        assert {one.value for one in found} == {1.0}
        assert found[0].wall_ns <= found[-1].wall_ns
    finally:
        incoming.close()
        publisher.close(linger=0)
    with pytest.raises(SignalError, match="tcp://HOST:PORT"):
        ZmqMessages("nowhere", TRIGGERS)


def test_samples_of_lab_streaming_layer_have_the_time_at_which_they_were_taken() -> None:
    pylsl = pytest.importorskip("pylsl", reason="./tomoshibi setup lab installs pylsl")
    name = f"tomoshibi-{os.getpid()}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Respiration", 2, 0, "double64", name))
    incoming = LslSamples(name, NUMBERS)
    try:
        read_until(incoming, 1, lambda: outlet.push_sample([0.0, 1.0]))
        taken_ns = time.monotonic_ns()
        taken_s = pylsl.local_clock() - 0.5
        outlet.push_sample([0.0, 21.0], taken_s)
        deadline = time.monotonic() + 20
        found: list[Sample] = []
        while not any(one.value == 42.0 for one in found):
            assert time.monotonic() < deadline
            found += incoming.read(0.1)
    finally:
        incoming.close()
    assert found[-1].wall_ns <= time.monotonic_ns()
    assert len({one.wall_ns for one in found}) == len(found)
    assert taken_ns - found[-1].wall_ns < 10**9


def test_a_stream_that_nobody_sends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pylsl", reason="./tomoshibi setup lab installs pylsl")
    monkeypatch.setattr("daq.link.signals.incoming.LSL_FIND_S", 0.3)
    with pytest.raises(
        SignalError, match="0 streams of Lab Streaming Layer are called 'nobody-here'"
    ):
        LslSamples("nobody-here", TRIGGERS)
