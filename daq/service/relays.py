"""Relays of orders from clients to sources, and of the answers back.

Orders to modules that run our firmware go to the link process, deliberate faults to the emulating
sources.

The relays do not interpret an order. Each goes to the sources that it concerns; the client gets its
answer when all of them have answered, or when the time is over: a bias that one of two may not
have switched is a refusal, a fault that one of two has is not. Each order is journalled,
because what was ordered must never look like a defect.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, get_args

import msgspec

from daq.errors import RunError
from daq.folder.journal import Journal
from daq.service.data_sources import Sources
from daq.service.entrance.refusal import Refusal, refused
from hw.messages.commands import Command, Reply
from hw.messages.modules import ModuleAction, ModuleAnswer, ModuleOrder
from hw.messages.source import FaultAnswer, FaultOrder, Hello
from hw.messages.telemetry import JournalLine, Severity
from hw.notices.catalogue import notice

MOST_WAITING = 256

Order = TypeVar("Order", FaultOrder, ModuleOrder)
Answer = TypeVar("Answer", FaultAnswer, ModuleAnswer)


@dataclass
class Waiting(Generic[Order, Answer]):
    """An order that was passed on, and the answers so far."""

    identity: bytes
    command: int
    order: Order
    sources: int
    until_s: float
    answers: list[Answer] = field(default_factory=list)


class OrderRelay(ABC, Generic[Order, Answer]):
    """Relays one kind of order; ``reply`` sends a Reply to a client.

    Each kind of order defines the attributes and abstract methods below.
    """

    answer_kind: type[Answer]
    answer_s = 5.0
    all_must_answer = True
    obeyed = ""

    def __init__(
        self,
        sources: Sources,
        journal: Journal,
        reply: Callable[[bytes, Reply], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._journal = journal
        self._reply = reply
        self._clock = clock
        self._waiting: dict[int, Waiting[Order, Answer]] = {}
        self._orders = 0

    # --- what a kind of orders is -------------------------------------------------------------

    @abstractmethod
    def _read(self, number: int, args: dict[str, Any]) -> Order:
        """Return the order in a client's arguments; raises RunError if there is none."""

    @abstractmethod
    def _concerns(self, hello: Hello) -> bool:
        """Whether a source can obey."""

    @abstractmethod
    def _nobody(self) -> JournalLine:
        """Return that no source can obey, and what helps."""

    @abstractmethod
    def _silence(self, answered: int, asked: int) -> JournalLine:
        """Return that so many of the sources have answered in time."""

    @abstractmethod
    def _result(self, answers: list[Answer]) -> dict[str, Any]:
        """Return the result for the client from the answers."""

    @abstractmethod
    def _words(self, order: Order) -> str:
        """Return the order for the journal; "" if it is not worth a line."""

    # --- the way there and back ---------------------------------------------------------------

    def order(self, identity: bytes, command: Command) -> None:
        """Pass a client's order on; raises RunError if it is invalid or no source can obey."""
        if len(self._waiting) >= MOST_WAITING:
            raise RunError(f"{MOST_WAITING} orders wait for an answer already: wait a moment")
        order = self._read(self._orders + 1, command.args)
        self._orders += 1
        sources = self._sources.send_all(order, to=self._concerns)
        if not sources:
            raise Refusal(self._nobody())
        until_s = self._clock() + self.answer_s
        self._waiting[order.id] = Waiting(identity, command.id, order, sources, until_s)

    def poll(self) -> None:
        """Receive the sources' answers, and answer the clients."""
        for answer in self._sources.take_answers(self.answer_kind):
            waiting = self._waiting.get(answer.id)
            if waiting is None:
                continue  # too late: its client was told so
            waiting.answers.append(answer)
            if len(waiting.answers) == waiting.sources:
                del self._waiting[answer.id]
                self._finish(waiting)
        now = self._clock()
        for number in [n for n, w in self._waiting.items() if now > w.until_s]:
            waiting = self._waiting.pop(number)
            if waiting.answers and not self.all_must_answer:
                self._finish(waiting)
            else:
                self._refuse(waiting, self._silence(len(waiting.answers), waiting.sources))

    def _finish(self, waiting: Waiting[Order, Answer]) -> None:
        reasons = [answer.reason for answer in waiting.answers if not answer.accepted]
        if len(reasons) == len(waiting.answers):
            self._refuse(waiting, reasons[0])
            return
        silent = waiting.sources - len(waiting.answers)
        words = f"; {silent} of {waiting.sources} sources did not answer" if silent else ""
        self._tell("warning" if silent else "info", waiting, self.obeyed + words)
        result = self._result(waiting.answers)
        self._reply(waiting.identity, Reply(id=waiting.command, status="done", result=result))

    def _refuse(self, waiting: Waiting[Order, Answer], why: str | JournalLine) -> None:
        error = Refusal(why) if isinstance(why, JournalLine) else RunError(why)
        self._tell("warning", waiting, f" refused: {error}")
        self._reply(waiting.identity, refused(waiting.command, error))

    def _tell(self, severity: Severity, waiting: Waiting[Order, Answer], became: str) -> None:
        words = self._words(waiting.order)
        if words:
            line = notice("order.refused", words=words + became)
            if severity == "info":
                line = JournalLine("info", words + became)
            self._journal.tell(line, kind="order", burst=MOST_WAITING)


ACTIONS: tuple[str, ...] = get_args(ModuleAction)


class ModuleRelay(OrderRelay[ModuleOrder, ModuleAnswer]):
    """Relays module orders. Long ones (scans, updates) are answered when they have begun; the
    states sent by the link process report their progress.
    """

    answer_kind = ModuleAnswer
    answer_s = 10.0

    def _nobody(self) -> JournalLine:
        return notice("refused.no_modules")

    def _silence(self, answered: int, asked: int) -> JournalLine:
        return notice(
            "refused.link_silent", answered=answered, asked=asked, seconds=f"{self.answer_s:g}"
        )

    def _read(self, number: int, args: dict[str, Any]) -> ModuleOrder:
        if args.get("action") not in ACTIONS:
            raise RunError(
                f"module: action is {args.get('action')!r}; there are {', '.join(ACTIONS)}"
            )
        try:
            return msgspec.convert({**args, "id": number, "type": "ModuleOrder"}, ModuleOrder)
        except msgspec.ValidationError as error:
            raise RunError(f"module {args['action']}: {error}") from error

    def _concerns(self, hello: Hello) -> bool:
        return hello.kind == "firmware"

    def _words(self, order: ModuleOrder) -> str:
        if order.action == "read":
            return ""
        to = ", ".join(map(str, order.modules)) if order.modules else "all"
        values = "".join(f" {name}={value}" for name, value in order.values.items())
        return f"module {to}: {order.action.replace('_', ' ')}{values}"

    def _result(self, answers: list[ModuleAnswer]) -> dict[str, Any]:
        values: dict[str, dict[str, int]] = {}
        for answer in answers:
            values.update(answer.values)
        refused = [answer.reason for answer in answers if answer.reason]
        return {"values": values, "reason": "; ".join(refused)}


FAULT_ACTIONS = ("set", "clear", "list")


class FaultRelay(OrderRelay[FaultOrder, FaultAnswer]):
    """Relays fault orders. The daq knows no faults: it passes the words on."""

    answer_kind = FaultAnswer
    all_must_answer = False
    obeyed = ", on purpose"

    def _nobody(self) -> JournalLine:
        return notice("refused.no_source")

    def _silence(self, answered: int, asked: int) -> JournalLine:
        return notice(
            "refused.source_silent", answered=answered, asked=asked, seconds=f"{self.answer_s:g}"
        )

    def _read(self, number: int, args: dict[str, Any]) -> FaultOrder:
        action = args.get("action")
        if action not in FAULT_ACTIONS:
            raise RunError(f"fault: action is {action!r}; there are {', '.join(FAULT_ACTIONS)}")
        return FaultOrder(id=number, action=action, text=str(args.get("text", "")))

    def _concerns(self, hello: Hello) -> bool:
        return hello.kind != "firmware"

    def _words(self, order: FaultOrder) -> str:
        return "" if order.action == "list" else f"fault {order.action} {order.text}"

    def _result(self, answers: list[FaultAnswer]) -> dict[str, Any]:
        kinds: dict[str, str] = {}
        for answer in answers:
            kinds.update(answer.kinds)
        return {"faults": [words for answer in answers for words in answer.faults], "kinds": kinds}
