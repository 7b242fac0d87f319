"""The link: what is the state, what is the past, and what cannot be read."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from gui.link.daq_view import Link
from hw.messages.base import MESSAGE_VERSION
from hw.messages.codec import encode
from hw.messages.endpoints import Endpoints
from rigs.gui.feeder import Feeder, Script

pytestmark = pytest.mark.gui


def wait_for(link: Link, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        link.poll()
        time.sleep(0.005)


def test_nothing_heard_yet_is_not_the_same_as_silence(endpoints: Endpoints) -> None:
    link = Link(endpoints)
    link.poll()
    assert link.state == "waiting"
    with Feeder(endpoints):
        wait_for(link, lambda: link.state == "connected")
    wait_for(link, lambda: link.state == "silent")
    assert link.age_s > 1.0
    link.close()


def test_ages_are_right_when_the_daqs_machine_booted_at_another_time(
    endpoints: Endpoints,
) -> None:
    offset_ns = 86_400_000_000_000
    link = Link(endpoints, clock_ns=lambda: time.monotonic_ns() + offset_ns)
    with Feeder(endpoints):
        wait_for(link, lambda: link.image is not None and link.telemetry is not None)
        assert link.state == "connected"
        assert link.image_age_s < 5.0
    link.close()


def test_another_version_is_said_and_recovered_from(endpoints: Endpoints) -> None:
    link = Link(endpoints)
    with Feeder(endpoints) as feeder:
        strange = feeder.telemetry()
        strange.version = MESSAGE_VERSION + 1
        feeder.script.raw_telemetry = encode(strange)
        wait_for(link, lambda: "message version" in link.fault)
        assert link.telemetry is None
        feeder.script.raw_telemetry = b""
        wait_for(link, lambda: link.telemetry is not None)
        assert link.fault == ""
    link.close()


@pytest.mark.parametrize("junk", [b"\xc1", b"hello", bytes(1000)])
def test_junk_is_a_fault_and_no_crash(endpoints: Endpoints, junk: bytes) -> None:
    link = Link(endpoints)
    with Feeder(endpoints, Script(raw_telemetry=junk)):
        wait_for(link, lambda: bool(link.fault))
        assert link.telemetry is None
    link.close()


def test_a_torn_histogram_is_a_fault(endpoints: Endpoints) -> None:
    link = Link(endpoints)
    torn = Feeder(endpoints).telemetry()
    torn.spectrum = torn.spectrum[:-1]
    with Feeder(endpoints, Script(raw_telemetry=encode(torn))):
        wait_for(link, lambda: "telemetry.spectrum has 1023 bytes" in link.fault)
        assert link.telemetry is None
    link.close()


def test_an_image_of_another_run_is_known_as_such(endpoints: Endpoints) -> None:
    link = Link(endpoints)
    script = Script(image_run="yesterday", image=np.ones((4, 5, 6), dtype=np.float32))
    with Feeder(endpoints, script):
        wait_for(link, lambda: link.image is not None and link.telemetry is not None)
        assert not link.image_is_of_run
    link.close()
