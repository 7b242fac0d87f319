"""A flood on any plane leaves data, displays and other clients served: with real processes."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from daq.client.client import DisplayClient
from rigs.flooder import WHAT, Flooder

pytestmark = pytest.mark.processes

PERIODS_PER_S = 100
LOOK_S = 2.0
LEAST_SHARE = 0.5
"""Of the quiet rate; without bounds in the loop a flood left 0 to 0.44 of it."""

LEAST_TELEMETRY_HZ = 2.0
MOST_JOURNAL_BYTES = 50_000


class SteadySource(threading.Thread):
    """Sends periods at a steady pace, as long as the daq takes them."""

    def __init__(self, modules) -> None:
        super().__init__(daemon=True)
        self._modules = modules
        self._over = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        while not self._over.is_set():
            self._modules.send_periods(1, events=5)
            self._modules.link.poll()
            due += 1 / PERIODS_PER_S
            time.sleep(max(0.0, due - time.monotonic()))

    def end(self) -> None:
        self._over.set()
        self.join(10)


def rates(display: DisplayClient) -> tuple[float, float]:
    """Return frames received and telemetry messages a second, as a display sees them."""
    first = display.telemetry(10.0)
    assert first is not None
    began, count, last = time.monotonic(), 0, first
    while time.monotonic() < began + LOOK_S:
        newest = display.telemetry(0.5)
        if newest is not None:
            count, last = count + 1, newest
    seconds = (last.wall_ns - first.wall_ns) * 1e-9 or LOOK_S
    frames = last.counters["frames.received"] - first.counters["frames.received"]
    return frames / seconds, count / LOOK_S


def test_floods_leave_the_data_taken_the_displays_served_and_the_journal_small(acquisition, source):
    daq = acquisition()
    modules = source(daq)
    folder = daq.start_run(modules)
    steady = SteadySource(modules)
    steady.start()
    found = {}
    with closing(DisplayClient(daq.endpoints)) as display:
        rates(display)
        quiet, _ = rates(display)
        for what in WHAT:
            with Flooder(daq.endpoints, what):
                found[what] = rates(display)
                assert daq.state() == "running"
    steady.end()
    modules.finish()
    daq.wait_for_state("closed")
    print(f"quiet {quiet:.0f} frames/s; {found}")
    assert min(frames for frames, _ in found.values()) > LEAST_SHARE * quiet, found
    assert min(telemetry for _, telemetry in found.values()) > LEAST_TELEMETRY_HZ, found
    assert (folder / "journal.jsonl").stat().st_size < MOST_JOURNAL_BYTES
    journal = (folder / "journal.jsonl").read_text(encoding="utf-8")
    assert "is not a command" in journal and "too many commands" in journal
    assert "times)" in journal
