"""Sources announce themselves, are watched, and may wake again: over real sockets."""

from __future__ import annotations

import pytest
import zmq

from daq.service.data_sources import FORGET_AFTER_S, LOST_AFTER_S, Sources
from hw.messages.base import Message
from hw.messages.codec import decode, encode
from hw.messages.imager import RunEnd
from hw.messages.source import Heartbeat, Hello, SourceReport, Start, Stop, Welcome

HELLO = Hello(kind="emulator", scanner="bench2", modules=2)
REPORT = SourceReport(run_tag=1, singles_emitted=[1, 2], frames_sent=[3, 4], dead_events=[0, 0])


class Stage:
    """A source plane with a clock that the test moves, and one source on it."""

    def __init__(self, sockets) -> None:
        self.now = 1000.0
        self.router, self.dealer = sockets(zmq.ROUTER, zmq.DEALER)
        self.sources = Sources(self.router, clock=lambda: self.now)

    def say(self, *messages: Message | bytes):
        for message in messages:
            self.dealer.send(message if isinstance(message, bytes) else encode(message))
        self.router.poll(2000)
        return self.sources.poll()

    def hear(self) -> Message:
        assert self.dealer.poll(2000), "no answer within 2 s"
        return decode(self.dealer.recv())


@pytest.fixture
def stage(sockets) -> Stage:
    return Stage(sockets)


def test_a_hello_is_welcomed_each_time_but_new_only_once(stage: Stage) -> None:
    new, _ = stage.say(HELLO)
    assert [source.hello.kind for source in new] == ["emulator"]
    assert isinstance(stage.hear(), Welcome)
    assert stage.say(HELLO) == ([], [])
    assert isinstance(stage.hear(), Welcome)
    assert stage.sources.describe() == "emulator (bench2)"


def test_the_serial_number_is_the_one_that_the_sources_name(stage: Stage) -> None:
    assert stage.sources.serial == ""
    stage.say(Hello(kind="firmware", scanner="bench2", modules=2))
    assert stage.sources.serial == ""
    stage.say(Hello(kind="firmware", scanner="bench2", modules=2, serial="bench2-0003"))
    assert stage.sources.serial == "bench2-0003"


def test_heartbeats_carry_the_lag_and_reports_are_handed_on(stage: Stage) -> None:
    stage.say(HELLO)
    assert stage.sources.lag_s() == 0.0
    _, reports = stage.say(Heartbeat(lag_s=1.5), REPORT)
    assert reports == [REPORT]
    assert stage.sources.lag_s() == 1.5


def test_a_silent_source_is_lost_and_told_once(stage: Stage) -> None:
    stage.say(HELLO)
    stage.now += LOST_AFTER_S
    assert stage.sources.newly_lost() == []
    stage.now += 0.1
    assert [source.hello.kind for source in stage.sources.newly_lost()] == ["emulator"]
    assert stage.sources.newly_lost() == []
    assert stage.sources.present == []
    assert stage.sources.describe() == "none"


def test_a_lost_source_that_wakes_is_there_again_without_another_hello(stage: Stage) -> None:
    """It said Hello long ago and was welcomed, so it will never say it again."""
    stage.say(HELLO)
    stage.now += 10
    stage.sources.newly_lost()
    new, reports = stage.say(REPORT)
    assert [source.hello.kind for source in new] == ["emulator"]
    assert reports == [REPORT]
    assert len(stage.sources.present) == 1
    assert stage.say(Heartbeat()) == ([], [])


def test_a_source_long_gone_is_forgotten(stage: Stage) -> None:
    stage.say(HELLO)
    stage.now += 10
    stage.sources.newly_lost()
    stage.now += FORGET_AFTER_S
    stage.sources.newly_lost()
    assert stage.say(Heartbeat()) == ([], [])
    assert stage.sources.invalid_messages == 1


@pytest.mark.parametrize(
    "rubbish", [b"", b"rubbish", encode(Heartbeat()), encode(Heartbeat(version=9))]
)
def test_rubbish_and_strangers_are_counted_never_answered(stage: Stage, rubbish: bytes) -> None:
    assert stage.say(rubbish) == ([], [])
    assert stage.sources.invalid_messages == 1
    assert not stage.dealer.poll(50)


def test_a_message_that_is_not_a_sources_is_ignored(stage: Stage) -> None:
    stage.say(HELLO)
    assert stage.say(RunEnd(run="x", prompts=0, delayeds=0)) == ([], [])
    assert len(stage.sources.present) == 1


def test_commands_reach_every_source_lost_ones_too(stage: Stage, sockets) -> None:
    stage.say(HELLO)
    stage.hear()
    assert stage.sources.send_all(Start(run_tag=7)) == 1
    assert stage.hear() == Start(run_tag=7)
    stage.now += 10
    stage.sources.newly_lost()
    assert stage.sources.send_all(Stop()) == 0
    assert stage.hear() == Stop()  # were it only asleep, it must not go on for ever


def test_sending_to_a_source_that_is_gone_does_no_harm(stage: Stage) -> None:
    stage.say(HELLO)
    stage.dealer.close(linger=0)
    for _ in range(2000):
        stage.sources.send_all(Stop())
    assert len(stage.sources.present) == 1


def test_a_source_that_is_not_ready_says_why_and_the_newest_hello_counts(stage: Stage) -> None:
    stage.say(Hello(kind="firmware", scanner="bench2", modules=2, not_ready="module 1: no answer"))
    assert stage.sources.not_ready() == ["module 1: no answer"]
    stage.say(Hello(kind="firmware", scanner="bench2", modules=2))
    assert stage.sources.not_ready() == []


def test_modules_without_their_detector_are_not_ready(stage: Stage) -> None:
    stage.say(Hello(kind="firmware", scanner="bench2", modules=2, needs_detector=True))
    (words,) = stage.sources.not_ready()
    assert "emulate --hits" in words
