"""Clients are answered, so many commands a second from each; junk is told and folded."""

from __future__ import annotations

import pytest
import zmq

from daq.folder.journal import BURST as JOURNAL_BURST
from daq.folder.journal import Journal
from daq.service.entrance.control_desk import BURST, COMMANDS_PER_S, Allowance, ControlDesk
from hw.messages.codec import decode_as, encode
from hw.messages.commands import Command, Reply


def obey(identity: bytes, command: Command) -> Reply:
    return Reply(id=command.id, status="done")


class Stage:
    def __init__(self, sockets) -> None:
        self.router, self.dealer = sockets(zmq.ROUTER, zmq.DEALER)
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)  # as the service's own
        self.journal = Journal()
        self.desk = ControlDesk(self.router, self.journal, clock=lambda: 0.0)

    def say(self, data: bytes, times: int = 1) -> None:
        for _ in range(times):
            self.dealer.send(data)
        while self.router.poll(50):
            self.desk.serve(obey)

    def replies(self) -> list[Reply]:
        found = []
        while self.dealer.poll(50):
            found.append(decode_as(Reply, self.dealer.recv()))
        return found


@pytest.fixture
def stage(sockets) -> Stage:
    return Stage(sockets)


def test_each_command_is_obeyed_and_answered(stage: Stage) -> None:
    stage.say(encode(Command(id=1, name="ping")))
    assert stage.replies() == [Reply(id=1, status="done")]


def test_a_client_beyond_its_allowance_is_told_so_with_each_reply(stage: Stage) -> None:
    stage.say(encode(Command(id=1, name="ping")), BURST + 20)
    replies = stage.replies()
    assert len(replies) == BURST + 20
    assert [reply.status for reply in replies[:BURST]] == ["done"] * BURST
    failed = [reply for reply in replies if reply.status == "failed"]
    assert len(failed) == 20 and "too many commands: 200 a second" in failed[0].reason


def test_junk_is_told_a_few_times_and_counts_against_the_allowance(stage: Stage) -> None:
    stage.say(b"junk", BURST + 50)
    texts = [entry.text for entry in stage.journal.tail]
    assert len([text for text in texts if "not a command" in text]) == JOURNAL_BURST
    stage.say(encode(Command(id=1, name="ping")))
    assert stage.replies()[0].status == "failed"


def test_a_client_that_is_gone_is_told_of_not_stumbled_over(stage: Stage) -> None:
    stage.desk.reply(b"gone", Reply(id=7, status="done"))
    assert "reply 7 was dropped" in stage.journal.tail[-1].text


def test_an_allowance_is_renewed_with_time_and_is_each_clients_own() -> None:
    now = [0.0]
    allowance = Allowance(lambda: now[0])
    assert all(allowance.take(b"a") for _ in range(BURST))
    assert not allowance.take(b"a")
    assert allowance.take(b"b")
    now[0] = 1.0
    assert sum(allowance.take(b"a") for _ in range(1000)) == COMMANDS_PER_S
    now[0] = 1000.0
    assert sum(allowance.take(b"a") for _ in range(1000)) == BURST


def test_so_many_clients_are_remembered() -> None:
    allowance = Allowance(lambda: 0.0)
    for k in range(10_000):
        allowance.take(b"%d" % k)
    assert len(allowance._left) <= 256
