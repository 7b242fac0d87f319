"""Orders to modules find the link process and come back; its news reach journal and run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from daq.errors import RunError
from daq.folder.journal import Journal
from daq.path.books import HitBooks
from daq.service.relays import FaultRelay, ModuleRelay
from hw.messages.commands import Command, Reply
from hw.messages.modules import ModuleAnswer, ModuleOrder
from hw.messages.source import FaultAnswer, FaultOrder, Hello, SourceReport
from hw.notices.catalogue import words_of

EMULATOR = Hello(kind="emulator", scanner="bench2", modules=0)
LINK = Hello(kind="firmware", scanner="bench2", modules=2)


class Stage:
    """Relays between one client and sources that a test speaks for."""

    def __init__(self, *hellos: Hello) -> None:
        self.now = 100.0
        self.sent: list[tuple[str, Any]] = []
        self.answers: list[Any] = []
        self.replies: list[Reply] = []
        self.journal = Journal()
        sources: Any = SimpleNamespace(send_all=self._send, take_answers=self._take)
        self._hellos = hellos
        options: Any = {"clock": lambda: self.now}
        self.modules = ModuleRelay(sources, self.journal, self._reply, **options)
        self.faults = FaultRelay(sources, self.journal, self._reply, **options)

    def _send(self, message: Any, *, to: Any) -> int:
        chosen = [hello.kind for hello in self._hellos if to(hello)]
        self.sent += [(kind, message) for kind in chosen]
        return len(chosen)

    def _take(self, kind: type[Any]) -> list[Any]:
        taken = [answer for answer in self.answers if isinstance(answer, kind)]
        self.answers = [answer for answer in self.answers if answer not in taken]
        return taken

    def _reply(self, identity: bytes, reply: Reply) -> None:
        assert identity == b"client"
        self.replies.append(reply)

    def order(self, **args: Any) -> None:
        self.modules.order(b"client", Command(id=7, name="module", args=args))

    def told(self) -> list[str]:
        return [f"{entry.severity}: {entry.text}" for entry in self.journal.tail]


def test_module_orders_go_to_the_link_process_and_faults_to_the_emulator():
    stage = Stage(EMULATOR, LINK)
    stage.order(action="bias", modules=[1], values={"target_mV": 56_000})
    stage.faults.order(b"client", Command(id=8, name="fault", args={"action": "list"}))
    assert stage.sent == [
        ("firmware", ModuleOrder(id=1, action="bias", modules=[1], values={"target_mV": 56_000})),
        ("emulator", FaultOrder(id=1, action="list")),
    ]


def test_an_order_that_was_obeyed_is_answered_with_its_values_and_journaled():
    stage = Stage(LINK)
    stage.order(action="write", values={"energy_threshold": 900})
    values = {"0": {"energy_threshold": 900}}
    stage.answers.append(ModuleAnswer(id=1, accepted=True, values=values))
    stage.modules.poll()
    (reply,) = stage.replies
    assert (reply.id, reply.status, reply.result["values"]) == (7, "done", values)
    assert stage.told() == ["info: module all: write energy_threshold=900"]


def test_reading_leaves_no_line_in_the_journal():
    stage = Stage(LINK)
    stage.order(action="read", modules=[0])
    stage.answers.append(ModuleAnswer(id=1, accepted=True))
    stage.modules.poll()
    assert stage.replies[0].status == "done"
    assert stage.told() == []


def test_a_fault_is_set_where_one_of_two_sources_has_gone() -> None:
    """Its source may be there still by name: a killed one falls silent after 3 s."""
    stage = Stage(EMULATOR, EMULATOR)
    args = {"action": "set", "text": "drop"}
    stage.faults.order(b"client", Command(id=8, name="fault", args=args))
    stage.answers.append(FaultAnswer(id=1, accepted=True))
    stage.now += 6.0
    stage.faults.poll()
    assert [reply.status for reply in stage.replies] == ["done"]
    assert stage.told() == ["warning: fault set drop, on purpose; 1 of 2 sources did not answer"]


def test_a_module_order_that_one_of_two_may_not_have_heard_fails() -> None:
    stage = Stage(LINK, LINK)
    stage.order(action="bias", values={"target_mV": 0})
    stage.answers.append(ModuleAnswer(id=1, accepted=True))
    stage.now += 11.0
    stage.modules.poll()
    (reply,) = stage.replies
    assert reply.status == "failed"
    assert "did not answer within 10 s (1 of 2 did)" in reply.reason
    assert reply.reason_id == "refused.link_silent"
    assert words_of(reply.reason_id, reply.reason_values) == reply.reason


def test_a_refused_order_fails_with_the_modules_words():
    stage = Stage(LINK)
    stage.order(action="clear_fault", modules=[3])
    stage.answers.append(ModuleAnswer(id=1, accepted=False, reason="the interlock is open"))
    stage.modules.poll()
    assert stage.replies[0].reason == "the interlock is open"
    assert stage.told() == ["warning: module 3: clear fault refused: the interlock is open"]


def test_a_link_that_does_not_answer_is_told_once_and_a_late_answer_is_nobodys():
    stage = Stage(LINK)
    stage.order(action="save")
    stage.modules.poll()
    assert stage.replies == []
    stage.now += 10.1
    stage.modules.poll()
    assert "within 10 s" in stage.replies[0].reason
    stage.answers.append(ModuleAnswer(id=1, accepted=True))
    stage.modules.poll()
    assert len(stage.replies) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({}, "action is None; there are bias, write"),
        ({"action": "explode"}, "action is 'explode'"),
        ({"action": "bias", "modules": "all"}, "module bias: Expected `array`"),
        ({"action": "bias", "values": {"target_mV": [1]}}, "module bias: Expected"),
    ],
)
def test_what_is_no_order_is_refused_before_it_is_sent(args, words):
    stage = Stage(LINK)
    with pytest.raises(RunError, match=words):
        stage.order(**args)
    assert stage.sent == []


def test_without_a_link_process_an_order_is_refused_with_the_remedy():
    with pytest.raises(RunError, match="tomoshibi link"):
        Stage(EMULATOR).order(action="save")


def test_answers_of_two_emulators_make_one_reply():
    stage = Stage(EMULATOR, EMULATOR)
    command = Command(id=9, name="fault", args={"action": "set", "text": "drop=1"})
    stage.faults.order(b"client", command)
    stage.answers.append(FaultAnswer(id=1, accepted=True, faults=["1 drop"]))
    stage.faults.poll()
    assert stage.replies == []
    stage.answers.append(FaultAnswer(id=1, accepted=False, reason="no"))
    stage.faults.poll()
    assert stage.replies[0].result["faults"] == ["1 drop"]
    assert stage.told() == ["info: fault set drop=1, on purpose"]


def report(**fields: Any) -> SourceReport:
    none = [0, 0]
    return SourceReport(
        run_tag=1, singles_emitted=none, frames_sent=none, dead_events=none, **fields
    )


def test_the_hit_books_close_when_every_offered_hit_was_seen():
    books = HitBooks([report(hits_offered=[10, 20]), report(hits_seen=[10, 20])], 2)
    assert books.known
    assert books.conserved()
    assert books.summary() == {
        "offered": 30, "seen": 30, "of_reset_modules": 0, "unaccounted": 0,
    }  # fmt: skip


def test_hits_that_nobody_saw_open_the_books_but_those_of_a_reset_module_are_named():
    offered = report(hits_offered=[10, 20])
    assert not HitBooks([offered, report(hits_seen=[10, 19])], 2).conserved()
    books = HitBooks([offered, report(hits_seen=[10, -1])], 2)
    assert books.conserved()
    assert books.summary()["of_reset_modules"] == 20
    assert books.summary()["unaccounted"] == 0


def test_runs_without_firmware_have_no_hit_books():
    books = HitBooks([report()], 2)
    assert not books.known
    assert books.conserved()
    assert not HitBooks([report(hits_offered=[1, 1])], 2).known
