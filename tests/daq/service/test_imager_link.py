"""The coincidence stream never waits for the imager, and what it did not get is counted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zmq

from coincidence.events import ANGLE, COINCIDENCE, SINGLE, TRIPLE
from daq.folder.run_config import RunConfig
from daq.path.frame_check import FrameChecker
from daq.path.pipeline import Output, Progress
from daq.path.takers.statistics import RecentLive
from daq.service.imager_link import ImagerLink
from hw.messages.codec import decode, encode
from hw.messages.imager import CoincidenceBatch, ImagerReport, RunBegin, RunEnd
from hw.messages.source import Heartbeat


def output(prompts: int, delayeds: int, watermark_ps: int = 5) -> Output:
    return Output(
        np.zeros(prompts, COINCIDENCE), np.ones(delayeds, COINCIDENCE),
        np.empty(0, SINGLE), np.empty(0, SINGLE), np.empty(0, TRIPLE), np.empty(0, ANGLE),
        FrameChecker(n_modules=1, run_tag=1).check([]), np.zeros(1, np.int64),
        Progress(watermark_ps, watermark_ps, np.zeros(1, np.int64), accepted=0, windowed=0),
    )  # fmt: skip


class Stage:
    """An imager link and the imager's ends of its sockets."""

    def __init__(self, sockets, config: RunConfig, *, queue: int = 1000) -> None:
        self.stream, self.imager = sockets(zmq.PUSH, zmq.PULL, queue=queue)
        self.reports, self.reporter = sockets(zmq.PULL, zmq.PUSH)
        self.link = ImagerLink(self.stream, self.reports)
        self.run = SimpleNamespace(
            name="run-1", folder=Path("/runs/run-1"), mu_map=Path("/runs/run-1/mu_map.npz"),
            config=config, undelivered=0, imager=None, calibration=None, live=config.live,
            suv_per_Bq_per_mL=2e-4,
            takers=SimpleNamespace(
                statistics=SimpleNamespace(
                    recent_live=lambda: RecentLive([0.9, 0.8], 0.72), mean_live=lambda: 0.75
                )
            ),
        )  # fmt: skip

    def next(self) -> list[bytes]:
        assert self.imager.poll(2000), "nothing came within 2 s"
        return self.imager.recv_multipart()

    def report(self, message: bytes) -> list[str]:
        self.reporter.send(message)
        self.reports.poll(2000)
        return self.link.poll(self.run)


@pytest.fixture
def stage(sockets, make_config) -> Stage:
    return Stage(sockets, make_config())


def test_a_run_is_announced_with_all_an_imager_needs(stage: Stage) -> None:
    stage.link.start(stage.run)
    begin = decode(stage.next()[0])
    assert isinstance(begin, RunBegin)
    assert (begin.run, begin.folder, begin.mu_map) == ("run-1", "/runs/run-1", "")
    assert begin.settings == stage.run.config.settings
    assert begin.live.window == "grow" and begin.calibration == ""


def test_batches_tell_the_live_share(stage: Stage) -> None:
    stage.link.batch(stage.run, output(1, 0), event_wall_ns=1)
    batch = decode(stage.next()[0])
    assert isinstance(batch, CoincidenceBatch)
    assert (batch.live_share, batch.mean_live_share) == (0.72, 0.75)
    stage.run.config.mu_map = "/somewhere/else.npz"
    stage.link.begin(stage.run)
    assert decode(stage.next()[0]).mu_map == "/runs/run-1/mu_map.npz"


def test_batches_are_numbered_and_carry_the_totals_before_them(stage: Stage) -> None:
    stage.link.start(stage.run)
    stage.next()
    headers = []
    for n in (3, 0, 2):
        stage.link.batch(stage.run, output(n, n + 1), event_wall_ns=77)
        header, prompts, delayeds = stage.next()
        headers.append(decode(header))
        assert len(np.frombuffer(prompts, COINCIDENCE)) == n
        np.testing.assert_array_equal(
            np.frombuffer(delayeds, COINCIDENCE), output(0, n + 1).delayeds
        )
    assert [(h.sequence, h.prompts_before, h.delayeds_before) for h in headers] == [
        (0, 0, 0),
        (1, 3, 4),
        (2, 3, 5),
    ]
    assert all(isinstance(h, CoincidenceBatch) and h.event_wall_ns == 77 for h in headers)
    stage.link.end(stage.run)
    assert decode(stage.next()[0]) == RunEnd(run="run-1", prompts=5, delayeds=8)


def test_a_new_run_begins_its_numbers_anew(stage: Stage) -> None:
    for _ in range(2):
        stage.link.start(stage.run)
        stage.next()
        stage.link.batch(stage.run, output(3, 0), event_wall_ns=0)
        header = decode(stage.next()[0])
        assert (header.sequence, header.prompts_before) == (0, 0)


def test_a_slow_imager_is_not_waited_for_and_finds_the_gap(sockets, make_config) -> None:
    stage = Stage(sockets, make_config(), queue=1)
    for _ in range(50):
        stage.link.batch(stage.run, output(2, 0), event_wall_ns=0)
    assert stage.run.undelivered > 0
    got = []
    while stage.imager.poll(100):
        got.append(decode(stage.imager.recv_multipart()[0]))
    assert len(got) * 2 + stage.run.undelivered == 100
    for _ in range(100):  # a moment passes before the sender knows of the room
        stage.link.batch(stage.run, output(2, 0), event_wall_ns=0)
        if stage.imager.poll(20):
            break
    after = decode(stage.next()[0])
    assert after.sequence >= 50 > got[-1].sequence + 1
    assert after.prompts_before == 2 * after.sequence


def test_without_an_imager_nothing_blocks_and_all_is_counted(stage: Stage) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as alone:
        alone.bind("inproc://nobody")
        link = ImagerLink(alone, stage.reports)
        link.start(stage.run)
        for _ in range(20):
            link.batch(stage.run, output(5, 1), event_wall_ns=0)
        link.end(stage.run)
    assert stage.run.undelivered == 100


def test_reports_of_this_run_are_kept_and_words_passed_on(stage: Stage) -> None:
    assert not stage.link.present
    assert stage.report(encode(ImagerReport(run="other", images=3))) == []
    assert (stage.link.present, stage.run.imager) == (True, None)
    words = stage.report(encode(ImagerReport(run="run-1", images=4, message="no µ map")))
    assert words == ["imager: no µ map"]
    assert stage.run.imager.images == 4


@pytest.mark.parametrize("rubbish", [b"", b"\xc1rubbish", encode(Heartbeat())])
def test_an_unreadable_report_is_told_and_harms_nothing(stage: Stage, rubbish: bytes) -> None:
    (words,) = stage.report(rubbish)
    assert words.startswith("imager: ")
    assert not stage.link.present


def test_reports_outside_a_run_are_taken_in_too(stage: Stage) -> None:
    stage.reporter.send(encode(ImagerReport(run="run-0")))
    stage.reports.poll(2000)
    assert stage.link.poll(None) == []
    assert stage.link.present
