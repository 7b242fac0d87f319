"""Sources announce themselves, are watched, and may wake again: over real sockets."""

from __future__ import annotations

import pytest
import zmq

from daq.service.data_sources import (
    FORGET_AFTER_S,
    LOST_AFTER_S,
    MOST_SOURCES,
    REFUSE_EVERY_S,
    Sources,
)
from hw.messages.base import Message
from hw.messages.codec import decode, encode
from hw.messages.imager import RunEnd
from hw.messages.source import Heartbeat, Hello, Refused, SourceReport, Start, Stop, Welcome

HELLO = Hello(kind="emulator", scanner="bench2", modules=2)
REPORT = SourceReport(run_tag=1, singles_emitted=[1, 2], frames_sent=[3, 4], dead_events=[0, 0])
OTHER_REPORT = SourceReport(
    run_tag=1, singles_emitted=[9, 9], frames_sent=[3, 4], dead_events=[0, 0]
)


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

    def hear_all(self) -> list[Message]:
        """Return what has been answered so far."""
        messages = []
        while self.dealer.poll(100):
            messages.append(decode(self.dealer.recv()))
        return messages

    def refusals(self) -> list[str]:
        """Return the words of what was refused."""
        return [one.reason for one in self.hear_all() if isinstance(one, Refused)]

    def start(self, run_tag: int = 1) -> None:
        """Let the source take part in a run."""
        self.say(HELLO)
        self.sources.send_all(Start(run_tag=run_tag))
        self.hear_all()


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
    stage.start()
    assert stage.sources.lag_s() == 0.0
    stage.say(Heartbeat(lag_s=1.5))
    _, reports = stage.say(REPORT)
    assert [report for _, report in reports] == [REPORT]
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
    stage.start()
    stage.now += 10
    stage.sources.newly_lost()
    new, reports = stage.say(REPORT)
    assert [source.hello.kind for source in new] == ["emulator"]
    assert [report for _, report in reports] == [REPORT]
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
def test_rubbish_and_strangers_are_counted_answered_and_told_once(
    stage: Stage, rubbish: bytes
) -> None:
    assert stage.say(rubbish) == ([], [])
    assert stage.say(rubbish) == ([], [])
    assert stage.sources.invalid_messages == 2
    (reason,) = stage.refusals()
    (words,) = stage.sources.take_refusals()
    assert words == f"refused on the source plane, from somebody unknown: {reason}"
    stage.now += REFUSE_EVERY_S
    stage.say(rubbish)
    assert stage.refusals() == [reason]
    assert stage.sources.take_refusals() == []


def test_a_source_of_another_version_is_told_the_remedy(stage: Stage) -> None:
    stage.say(encode(Hello(kind="emulator", scanner="bench2", modules=2, version=9)))
    (reason,) = stage.refusals()
    assert "version 9" in reason and "same installation" in reason


def test_a_message_that_is_not_a_sources_is_refused(stage: Stage) -> None:
    stage.say(HELLO)
    assert stage.say(RunEnd(run="x", prompts=0, delayeds=0)) == ([], [])
    assert stage.refusals() == ["a source does not send RunEnd"]
    assert len(stage.sources.present) == 1


def test_one_report_is_taken_of_each_source_that_was_started(stage: Stage) -> None:
    stage.start()
    assert not stage.sources.all_reported
    _, reports = stage.say(REPORT)
    assert len(reports) == 1 and stage.sources.all_reported
    _, reports = stage.say(REPORT)  # again, as after a restart of the daq
    assert reports == [] and stage.refusals() == []
    _, reports = stage.say(OTHER_REPORT)
    assert reports == []
    (reason,) = stage.refusals()
    assert "another SourceReport of emulator: one is taken" in reason


def test_a_source_whose_run_goes_on_after_a_restart_of_the_daq_takes_part_by_its_hello(
    stage: Stage,
) -> None:
    hello = Hello(kind="emulator", scanner="bench2", modules=2, run_tag=1)
    stage.say(hello)
    _, reports = stage.say(REPORT)  # before the daq goes on: it is asked for again
    assert reports == [] and stage.refusals() == []
    stage.sources.go_on(1)
    _, reports = stage.say(REPORT)
    assert len(reports) == 1 and stage.sources.all_reported
    stage.sources.send_all(Start(run_tag=2))
    stage.say(hello)  # late: it takes part in the new run
    assert stage.sources.expected == 1 and not stage.sources.all_reported


def test_a_strangers_report_of_the_runs_tag_is_refused_and_told_once(stage: Stage, sockets) -> None:
    stage.start()
    stranger = stage.router.context.socket(zmq.DEALER)
    stranger.connect(stage.router.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    for message in (Hello(kind="stranger", scanner="bench2", modules=0), REPORT, REPORT):
        stranger.send(encode(message))
        stage.router.poll(2000)
        _, reports = stage.sources.poll()
        assert reports == []
    (words,) = stage.sources.take_refusals()
    assert "from stranger: a SourceReport of run tag 1, in which stranger takes no part" in words
    assert (stage.sources.all_reported, stage.sources.expected) == (False, 1)
    stranger.close(linger=0)


def test_the_end_does_not_wait_for_a_lost_source_nor_come_with_the_first_of_two(
    stage: Stage, sockets
) -> None:
    second = stage.router.context.socket(zmq.DEALER)
    second.connect(stage.router.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    second.send(encode(HELLO))
    stage.router.poll(2000)
    stage.sources.poll()
    stage.start()
    stage.say(REPORT)
    assert (stage.sources.expected, stage.sources.all_reported) == (2, False)
    stage.now += 2
    second.send(encode(Heartbeat()))
    stage.router.poll(2000)
    stage.sources.poll()
    stage.now += 2
    stage.sources.newly_lost()  # the first one has left: it is not waited for
    assert (stage.sources.expected, stage.sources.all_reported) == (2, False)
    stage.now += 10
    stage.sources.newly_lost()
    assert (stage.sources.expected, stage.sources.all_reported) == (1, True)
    second.close(linger=0)


def test_so_many_sources_are_remembered_and_the_one_lost_longest_gives_its_place(
    stage: Stage, sockets
) -> None:
    crowd = [stage.router.context.socket(zmq.DEALER) for _ in range(MOST_SOURCES + 2)]
    for one in crowd:
        one.connect(stage.router.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode())
    stage.start()
    for one in crowd[: MOST_SOURCES - 1]:
        one.send(encode(HELLO))
        stage.router.poll(2000)
        stage.sources.poll()
    assert len(stage.sources.present) == MOST_SOURCES
    crowd[-2].send(encode(HELLO))
    stage.router.poll(2000)
    assert stage.sources.poll() == ([], [])
    assert crowd[-2].poll(2000)
    refused = decode(crowd[-2].recv())
    assert isinstance(refused, Refused) and "32 sources are attached" in refused.reason
    stage.now += 10
    stage.sources.newly_lost()
    crowd[-1].send(encode(HELLO))
    stage.router.poll(2000)
    new, _ = stage.sources.poll()
    assert len(new) == 1
    _, reports = stage.say(REPORT)  # of the one that takes part: it was not forgotten
    assert len(reports) == 1
    for one in crowd:
        one.close(linger=0)


def test_runs_of_one_tag_one_after_the_other_do_not_use_up_the_places(
    stage: Stage, sockets
) -> None:
    """Each replay of a log has its tag: after 32 of them no source was taken any more."""
    address = stage.router.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
    for _ in range(MOST_SOURCES + 2):
        one = stage.router.context.socket(zmq.DEALER)
        one.setsockopt(zmq.LINGER, 0)
        one.connect(address)
        one.send(encode(HELLO))
        stage.router.poll(2000)
        new, _ = stage.sources.poll()
        if not new:
            one.close()
            pytest.fail("a source was not taken")
        assert stage.sources.send_all(Start(run_tag=1)) == 1
        one.send(encode(REPORT))
        stage.router.poll(2000)
        assert len(stage.sources.poll()[1]) == 1
        assert (stage.sources.expected, stage.sources.all_reported) == (1, True)
        one.close()
        stage.now += LOST_AFTER_S + 1
        stage.sources.newly_lost()


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
