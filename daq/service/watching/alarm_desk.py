"""Alarms, kept until their cause is gone and somebody has acknowledged them.

An alarm comes from a message of the journal (:mod:`hw.notices.catalogue`). One that comes again is
the same alarm, with a count. One that lasts stands until a message ends it, or the run is over. One
that is put aside (shelved) comes back by itself, at once if it comes again after its cause was
gone. The alarm that came while no other waited for an answer is marked as the first: the others
may follow from it. A daq that goes on with a run takes up what nobody had answered.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from daq.errors import RunError
from daq.service.entrance.refusal import Refusal
from hw.messages.telemetry import Alarm, JournalEntry, JournalLine
from hw.notices.catalogue import PRIORITIES, Notice, catalogue, notice

MOST_SHOWN = 32
MOST_KEPT = 256
MOST_CHARACTERS = 300
MOST_SHELVED_S = 3600.0
ANSWERED = "alarm.acknowledged"
UNNAMED = Notice(severity="alarm", says="{words}")
"""An alarm without an id, of an older link process."""

Key = tuple[str, tuple[str, ...]]


@dataclass
class _Kept:
    """An alarm, what it is, and until when it is put aside."""

    alarm: Alarm
    notice: Notice
    shelved_until_s: float = 0.0


class AlarmDesk:
    """Keeps the alarms of one daq; bounded.

    hidden : how many came that were not kept, since too many waited
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.hidden = 0
        self._clock = clock
        self._kept: dict[Key, _Kept] = {}
        self._number = 0

    def take(self, line: JournalLine, wall: str = "") -> None:
        """Take a message: an alarm is raised or counted, the alarms that it ends stand no more.

        wall : when it was told, ISO 8601 UTC; "" for now
        """
        wall = wall or _wall()
        notice = catalogue().get(line.id, UNNAMED)
        about = tuple(line.values.get(name, "") for name in notice.about)
        for ended in notice.ends:
            self._end(ended, about)
        if line.severity == "alarm":
            self._raise(line, notice, about if line.id else (line.text,), wall)

    def recall(self, entries: Iterable[JournalEntry]) -> None:
        """Take up what waited for an answer when another daq died, by the journal of its run.

        Whether a cause is still there is told anew where it is.
        """
        for entry in entries:
            if entry.id == ANSWERED:
                self._answered(entry.values)
            else:
                line = JournalLine(entry.severity, entry.text, entry.id, entry.values)
                self.take(line, wall=entry.wall)
        self.run_is_over()

    def _answered(self, values: dict[str, str]) -> None:
        """Answer by an entry of the journal; an alarm's words are those of when it came last."""
        for kept in self._kept.values():
            alarm = kept.alarm
            if alarm.id == values.get("of") and alarm.text == values.get("alarm"):
                alarm.answered_by = values.get("who", "")
        self._forget_answered()

    def run_is_over(self) -> None:
        """The causes that belong to a run are gone with it."""
        for kept in self._kept.values():
            kept.alarm.stands = False
        self._forget_answered()

    def acknowledge(self, numbers: list[int], who: str) -> list[Alarm]:
        """Answer alarms, all where no number is given; return those. Raises RunError."""
        chosen = [kept.alarm for kept in self._named(numbers) if not kept.alarm.answered_by]
        for alarm in chosen:
            alarm.answered_by = who
        self._forget_answered()
        return chosen

    def shelve(self, numbers: list[int], seconds: float) -> list[Alarm]:
        """Put alarms aside for so long; return them. Raises RunError."""
        if not 0 < seconds <= MOST_SHELVED_S:
            raise RunError(f"an alarm can be put aside for up to {MOST_SHELVED_S / 60:g} minutes")
        if not numbers:
            raise RunError("which alarms are to be put aside? name their numbers")
        chosen = self._named(numbers)
        for kept in chosen:
            kept.shelved_until_s = self._clock() + seconds
        return [kept.alarm for kept in chosen]

    def shown(self) -> list[Alarm]:
        """Return the alarms, the worst first, those put aside last, at most ``MOST_SHOWN``."""
        now = self._clock()
        for kept in self._kept.values():
            kept.alarm.shelved_s = max(0.0, kept.shelved_until_s - now)
        alarms = sorted((kept.alarm for kept in self._kept.values()), key=_urgency)
        return alarms[:MOST_SHOWN]

    @property
    def not_shown(self) -> int:
        """How many more there are than ``shown`` has, or were."""
        return max(0, len(self._kept) - MOST_SHOWN) + self.hidden

    def _raise(self, line: JournalLine, notice: Notice, about: tuple[str, ...], wall: str) -> None:
        key = (line.id, about)
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= MOST_KEPT:
                self.hidden += 1
                return
            kept = self._kept[key] = _Kept(self._new(line, notice, wall), notice)
        else:
            self._again(kept, line, wall)
        kept.alarm.stands = notice.lasts

    def _new(self, line: JournalLine, notice: Notice, wall: str) -> Alarm:
        self._number += 1
        waits = any(not kept.alarm.answered_by for kept in self._kept.values())
        return Alarm(
            number=self._number, id=line.id, values=_short(line.values), text=_cut(line.text),
            priority=notice.priority, first_wall=wall, last_wall=wall, first_out=not waits,
        )  # fmt: skip

    def _again(self, kept: _Kept, line: JournalLine, wall: str) -> None:
        """Count an alarm that comes again; if its cause was gone, it must be answered again."""
        alarm = kept.alarm
        alarm.count += 1
        alarm.text, alarm.values, alarm.last_wall = _cut(line.text), _short(line.values), wall
        if kept.notice.lasts and not alarm.stands:
            kept.shelved_until_s = 0.0
            alarm.answered_by = ""

    def _end(self, name: str, about: tuple[str, ...]) -> None:
        for (kept_name, kept_about), kept in self._kept.items():
            if kept_name == name and (not about or kept_about == about):
                kept.alarm.stands = False
        self._forget_answered()

    def _named(self, numbers: list[int]) -> list[_Kept]:
        by_number = {kept.alarm.number: kept for kept in self._kept.values()}
        gone = [str(number) for number in numbers if number not in by_number]
        if gone:
            raise Refusal(notice("refused.no_alarm", numbers=", ".join(gone)))
        return [by_number[number] for number in numbers] if numbers else list(by_number.values())

    def _forget_answered(self) -> None:
        over = [key for key, kept in self._kept.items() if _is_over(kept.alarm)]
        for key in over:
            del self._kept[key]
        if not self._kept:
            self.hidden = 0


def _wall() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")


def _cut(text: str) -> str:
    """Return a text that telemetry can carry twenty times a second; the journal has all of it."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]} …"


def _short(values: dict[str, str]) -> dict[str, str]:
    return {name: _cut(value) for name, value in values.items()}


def alarm_numbers(args: dict[str, Any]) -> list[int]:
    """Return the alarms that a command names; raises RunError."""
    numbers = args.get("numbers", [])
    if not isinstance(numbers, list) or len(numbers) > MOST_KEPT:
        raise RunError("numbers: a list of alarms' numbers is needed")
    if not all(type(number) is int for number in numbers):  # True is no number
        raise RunError("numbers: whole numbers are needed")
    return numbers


def shelved_s(args: dict[str, Any]) -> float:
    """Return for how long a command puts alarms aside; raises RunError."""
    minutes = args.get("minutes", 10.0)
    if isinstance(minutes, bool) or not isinstance(minutes, int | float):
        raise RunError("minutes: a number is needed")
    return 60.0 * minutes


def _is_over(alarm: Alarm) -> bool:
    return bool(alarm.answered_by) and not alarm.stands


def _urgency(alarm: Alarm) -> tuple[bool, bool, int, int]:
    aside, answered = alarm.shelved_s > 0, bool(alarm.answered_by)
    return aside, answered, PRIORITIES.index(alarm.priority), alarm.number
