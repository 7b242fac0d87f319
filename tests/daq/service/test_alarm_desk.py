"""Alarms stand until their cause is gone and somebody has answered."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daq.errors import RunError
from daq.folder.journal import FILE_NAME, Journal, read_entries
from daq.service.watching.alarm_desk import (
    ANSWERED,
    MOST_KEPT,
    MOST_SHOWN,
    AlarmDesk,
    alarm_numbers,
    shelved_s,
)
from hw.messages.telemetry import Alarm, JournalLine
from hw.notices.catalogue import catalogue, notice


class Bench:
    """A desk that listens to a journal, and a clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.desk = AlarmDesk(clock=lambda: self.now)
        self.journal = Journal(clock=lambda: self.now, listen=self.desk.take)

    def tell(self, name: str, **values: object) -> None:
        self.journal.tell(notice(name, **values))

    @property
    def shown(self) -> list[Alarm]:
        return self.desk.shown()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_alarm_stands_until_its_cause_is_gone_and_it_is_answered(bench: Bench) -> None:
    bench.tell("source.lost", kind="emulator")
    (alarm,) = bench.shown
    assert (alarm.id, alarm.stands, alarm.priority, alarm.count) == ("source.lost", True, "high", 1)
    bench.tell("source.back", kind="emulator")
    (alarm,) = bench.shown
    assert not alarm.stands, "its cause is gone, and nobody has answered"
    bench.desk.acknowledge([alarm.number], "nurse")
    assert bench.shown == []


def test_an_alarm_that_is_answered_stays_while_its_cause_does(bench: Bench) -> None:
    bench.tell("data.none", silent_s=2)
    bench.desk.acknowledge([], "nurse")
    (alarm,) = bench.shown
    assert (alarm.answered_by, alarm.stands) == ("nurse", True)
    bench.tell("data.again")
    assert bench.shown == []


def test_one_that_comes_again_must_be_answered_again(bench: Bench) -> None:
    bench.tell("data.none", silent_s=2)
    bench.desk.acknowledge([], "nurse")
    bench.tell("data.again")
    bench.tell("data.none", silent_s=2)
    (alarm,) = bench.shown
    assert (alarm.answered_by, alarm.stands) == ("", True)


def test_what_happens_once_is_counted_and_goes_when_answered(bench: Bench) -> None:
    for total in (1, 3, 6):
        bench.tell("data.harmed", count=total, what="data frames lost", total=total)
    (alarm,) = bench.shown
    assert (alarm.count, alarm.stands) == (3, False)
    assert alarm.text == "6 data frames lost (6 in this run)"
    bench.tell("data.harmed", count=1, what="data frames late", total=1)
    assert len(bench.shown) == 2, "another kind is another alarm"
    bench.desk.acknowledge([], "nurse")
    assert bench.shown == []


def test_the_other_sources_loss_still_stands_when_one_is_back(bench: Bench) -> None:
    bench.tell("source.lost", kind="firmware")
    bench.tell("source.lost", kind="replay")
    bench.tell("source.back", kind="replay")
    assert {a.values["kind"]: a.stands for a in bench.shown} == {"firmware": True, "replay": False}


def test_the_first_of_a_burst_is_marked_until_all_are_answered(bench: Bench) -> None:
    bench.tell("source.lost", kind="emulator")
    bench.tell("data.none", silent_s=2)
    assert [(a.id, a.first_out) for a in bench.shown] == [
        ("source.lost", True),
        ("data.none", False),
    ]
    bench.desk.acknowledge([], "nurse")
    bench.tell("books.open", sum="singles")
    assert bench.shown[0].first_out, "a new burst has a new first"


def test_the_worst_come_first_those_put_aside_last_and_back_by_themselves(bench: Bench) -> None:
    bench.tell("run.frames_lost", count=3)
    bench.tell("disk.full", words="full")
    assert [a.priority for a in bench.shown] == ["high", "low"]
    bench.desk.shelve([bench.shown[0].number], 600.0)
    assert [a.priority for a in bench.shown] == ["low", "high"]
    bench.now += 601
    assert [a.priority for a in bench.shown] == ["high", "low"]


def test_the_runs_end_ends_the_causes_and_leaves_the_questions(bench: Bench) -> None:
    bench.tell("data.none", silent_s=2)
    bench.desk.run_is_over()
    (alarm,) = bench.shown
    assert not alarm.stands


def test_what_a_display_is_sent_and_what_is_kept_are_bounded_and_the_rest_counted(
    bench: Bench,
) -> None:
    for number in range(MOST_KEPT + 50):
        bench.tell("module.gave_up", module=number)
    assert len(bench.shown) == MOST_SHOWN
    assert bench.desk.not_shown == MOST_KEPT - MOST_SHOWN + 50
    bench.desk.acknowledge([], "nurse")
    assert (bench.shown, bench.desk.not_shown) == ([], 0)


def test_an_alarm_without_an_id_is_one_too(bench: Bench) -> None:
    bench.journal.tell(JournalLine("alarm", "an older link process says this"))
    bench.journal.tell(JournalLine("alarm", "and that"))
    bench.journal.tell(JournalLine("alarm", "and that"))
    assert [a.count for a in bench.shown] == [1, 2]


def test_wrong_orders_are_refused_in_words(bench: Bench) -> None:
    with pytest.raises(RunError, match="no alarm has the number 7: it may be over"):
        bench.desk.acknowledge([7], "nurse")
    with pytest.raises(RunError, match="up to 60 minutes"):
        bench.desk.shelve([], 3601.0)
    with pytest.raises(RunError, match="name their numbers"):
        bench.desk.shelve([], 60.0)
    for wrong in ({"numbers": 3}, {"numbers": ["x"]}, {"numbers": [True]}):
        with pytest.raises(RunError, match="numbers"):
            alarm_numbers(wrong)
    for wrong in ({"minutes": "x"}, {"minutes": True}):
        with pytest.raises(RunError, match="minutes"):
            shelved_s(wrong)


NAMES = sorted(name for name, entry in catalogue().items() if entry.severity == "alarm")
ENDS = sorted(name for name, entry in catalogue().items() if entry.ends)


@given(st.lists(st.sampled_from([*NAMES, *ENDS, "answer", "over"]), max_size=40))
def test_an_alarm_is_there_as_long_as_it_stands_or_nobody_has_answered(steps: list[str]) -> None:
    """Against a plain reference: two sets."""
    bench, stands, unanswered = Bench(), set[str](), set[str]()
    for step in steps:
        if step == "answer":
            bench.desk.acknowledge([], "nurse")
            unanswered.clear()
        elif step == "over":
            bench.desk.run_is_over()
            stands.clear()
        else:
            bench.tell(step, **dict.fromkeys(catalogue()[step].values, "x"))
            stands -= set(catalogue()[step].ends)
            if catalogue()[step].severity == "alarm":
                was_there = step in stands | unanswered
                if not (was_there and step in stands):
                    unanswered.add(step)
                if catalogue()[step].lasts:
                    stands.add(step)
    assert {alarm.id for alarm in bench.shown} == stands | unanswered


def test_what_the_journal_folds_is_counted_and_long_words_are_cut(bench: Bench) -> None:
    for _ in range(20):
        bench.tell("books.open", sum="singles")
    assert bench.shown[0].count == 20
    for _ in range(20):  # a cause that comes and goes faster than the journal is filled
        bench.tell("data.none", silent_s=2)
        bench.tell("data.again")
    assert not next(a for a in bench.shown if a.id == "data.none").stands
    bench.tell("data.none", silent_s=2)
    assert next(a for a in bench.shown if a.id == "data.none").stands
    bench.tell("step.failed", step="closing", why="x" * 10_000)
    assert max(len(a.text) for a in bench.shown) < 400


def test_a_daq_that_goes_on_takes_up_what_nobody_had_answered(tmp_path: Path) -> None:
    before = Bench()
    before.journal.open(tmp_path)
    before.tell("source.lost", kind="emulator")
    before.tell("source.restarted", kind="emulator", away_s=3)
    before.tell("bias.low", modules="module 3", bias_V=0, asked_V=30)
    (answered,) = before.desk.acknowledge([before.shown[1].number], "nurse")
    before.journal.tell(notice(ANSWERED, who="nurse", alarm=answered.text, of=answered.id))
    waiting = {(a.id, a.first_wall[:16]) for a in before.shown if not a.answered_by}
    before.journal.close()
    with (tmp_path / FILE_NAME).open("ab") as file:
        file.write(b"no entry\n{}\n")

    again = Bench()
    again.desk.recall(read_entries(tmp_path))
    assert {(a.id, a.first_wall[:16]) for a in again.shown} == waiting
    assert not any(a.stands for a in again.shown)
    assert answered.id not in {a.id for a in again.shown}
    again.tell("source.lost", kind="emulator")
    lost = next(a for a in again.shown if a.id == "source.lost")
    assert (lost.count, lost.stands) == (2, True)


def test_a_journal_that_is_not_there_has_no_entries(tmp_path: Path) -> None:
    assert read_entries(tmp_path) == []
