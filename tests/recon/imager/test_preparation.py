"""A sensitivity that takes long keeps nobody waiting: the service answers, and events are kept."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from hw.messages.codec import encode
from hw.messages.imager import CoincidenceBatch, RunBegin, RunEnd
from hw.messages.sort_settings import SortSettings
from hw.scanner.preset_file import load_scanner, scanner_to_toml_text
from oracles.reconstruction import simulated_records
from recon.core.grid import Image, ReconError
from recon.core.scanner_tables import ReconSystem
from recon.em.sensitivity import SensitivityStopped
from recon.imager import preparation
from rigs.daq_side import DaqSide

BENCH = load_scanner("bench2")
BATCHES, EACH = 10, 200
LONG_S = 120.0

pytestmark = pytest.mark.processes


class SlowSensitivity:
    """A real sensitivity that is not ready before it is let go."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.stopped = False
        self.error = ""
        self._real = preparation.sensitivity_image

    def __call__(self, system: ReconSystem, *, stopped: Callable[[], bool]) -> Image:
        self.asked.set()
        while not self.go_on.wait(0.01):
            if stopped():
                self.stopped = True
                raise SensitivityStopped
        if self.error:
            raise ReconError(self.error)
        return self._real(system, stopped=stopped)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowSensitivity:
    planted = SlowSensitivity()
    monkeypatch.setattr(preparation, "sensitivity_image", planted)
    return planted


@pytest.fixture
def daq(tmp_path: Path, slow: SlowSensitivity) -> Iterator[DaqSide]:
    side = DaqSide(tmp_path)
    yield side
    slow.go_on.set()
    side.close()


@pytest.fixture(scope="module")
def records() -> np.ndarray:
    system = ReconSystem.of(BENCH)
    spread = np.random.default_rng(0).normal(0, 3, (160_000, 3))
    return simulated_records(system.scanner, system.geometry, spread, rate_Hz=1e4)[: BATCHES * EACH]


def begin_message(run: str) -> RunBegin:
    return RunBegin(
        run=run,
        folder="",
        scanner_toml=scanner_to_toml_text("bench2"),
        settings=SortSettings(lld_keV=350, uld_keV=650, window_ps=5000, delay_ps=500_000),
    )


def send_batch(daq: DaqSide, records: np.ndarray, number: int, run: str = "one") -> None:
    header = CoincidenceBatch(
        run=run,
        sequence=number,
        prompts=EACH,
        delayeds=0,
        prompts_before=number * EACH,
        delayeds_before=0,
        watermark_ps=(number + 1) * 10**11,
        event_wall_ns=1,
    )
    mine = records[number * EACH : (number + 1) * EACH]
    daq.stream.send_multipart([encode(header), mine.tobytes(), b""])


def test_the_service_answers_while_it_waits_and_no_event_is_lost(
    daq: DaqSide, slow: SlowSensitivity, records: np.ndarray
) -> None:
    daq.stream.send(encode(begin_message("one")))
    assert slow.asked.wait(LONG_S)
    for number in range(BATCHES):
        send_batch(daq, records, number)
    daq.stream.send(b"no message at all")
    # that later messages are answered shows that the thread waits for nothing
    words = ""
    while not ("sensitivity is being computed" in words and "not a message" in words):
        words += daq.report(final=False).message
    slow.go_on.set()
    daq.stream.send(encode(RunEnd(run="one", prompts=BATCHES * EACH, delayeds=0)))
    final = daq.image(final=True)
    assert final.prompts_used == BATCHES * EACH and final.fraction_used == 1.0


def test_an_ended_run_that_waits_tells_progress(
    daq: DaqSide, slow: SlowSensitivity, records: np.ndarray
) -> None:
    daq.stream.send(encode(begin_message("one")))
    send_batch(daq, records, 0)
    daq.stream.send(encode(RunEnd(run="one", prompts=EACH, delayeds=0)))
    reports = []
    while len(reports) < 3:
        report = daq.report(final=False)
        reports += [report] if report.run else []
    assert [report.run for report in reports] == ["one"] * 3
    assert 0 < reports[0].finishing < reports[1].finishing < reports[2].finishing < 0.01
    slow.go_on.set()
    assert daq.image(final=True).prompts_used == EACH


def test_the_next_run_is_obeyed_at_once(
    daq: DaqSide, slow: SlowSensitivity, records: np.ndarray
) -> None:
    daq.stream.send(encode(begin_message("one")))
    assert slow.asked.wait(LONG_S)
    slow.asked.clear()
    daq.stream.send(encode(begin_message("two")))
    assert slow.asked.wait(LONG_S) and slow.stopped
    send_batch(daq, records, 0, run="one")
    send_batch(daq, records, 0, run="two")
    slow.go_on.set()
    assert daq.image(final=False).run == "two"


def test_why_it_cannot_be_prepared_is_told_once(daq: DaqSide, slow: SlowSensitivity) -> None:
    slow.error = "no such crystal"
    slow.go_on.set()
    for _ in range(2):
        daq.stream.send(encode(begin_message("one")))
    while daq.report(final=False).message != "no such crystal":
        pass
    assert not any("crystal" in daq.report(final=False).message for _ in range(2))


def test_what_has_no_room_to_wait_is_dropped_from_its_beginning(
    slow: SlowSensitivity, records: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "WAITING_BYTES", 3 * EACH * records.itemsize)
    waiting = preparation.RunInWaiting(begin_message("one"), BENCH)
    for number in range(5):
        header = CoincidenceBatch(
            run="one",
            sequence=number,
            prompts=EACH,
            delayeds=0,
            prompts_before=number * EACH,
            delayeds_before=0,
            watermark_ps=number,
            event_wall_ns=number,
        )
        waiting.keep(header, [records[:EACH].tobytes(), b""])
    assert waiting.dropped == 2
    kept = [message for message, _ in waiting.held()]
    assert [one.sequence for one in kept if isinstance(one, CoincidenceBatch)] == [2, 3, 4]
    waiting.close()
