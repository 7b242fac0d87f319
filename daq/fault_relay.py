"""Orders for faults on their way: from a client to the sources, and their answers back.

The daq knows no fault: it hands the words on to every source and answers the client when all have
answered, or when one has not in time. Each order is journaled, for what was done on purpose must
never look like a defect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from daq.errors import RunError
from daq.journal import Journal
from daq.sources import Sources
from hw.messages import Command, FaultAnswer, FaultOrder, Reply

ANSWER_S = 5.0
ACTIONS = ("set", "clear", "list")


@dataclass
class _Waiting:
    identity: bytes
    command: int
    order: FaultOrder
    sources: int
    until_s: float
    answers: list[FaultAnswer] = field(default_factory=list)


class FaultRelay:
    """Relays fault orders; ``reply`` sends a Reply to a client."""

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
        self._waiting: dict[int, _Waiting] = {}
        self._orders = 0

    def order(self, identity: bytes, command: Command) -> None:
        """Hand a client's order on; raises RunError where there is nobody, or it is none."""
        action, text = command.args.get("action"), str(command.args.get("text", ""))
        if action not in ACTIONS:
            raise RunError(f"fault: action is {action!r}; there are {', '.join(ACTIONS)}")
        self._orders += 1
        order = FaultOrder(id=self._orders, action=action, text=text)
        sources = self._sources.send_all(order)
        if not sources:
            raise RunError(
                "no source is attached: start one (`tomoshibi emulate`), then set faults"
            )
        until_s = self._clock() + ANSWER_S
        self._waiting[order.id] = _Waiting(identity, command.id, order, sources, until_s)

    def poll(self) -> None:
        """Take in the sources' answers, and answer the clients."""
        for answer in self._sources.take_answers():
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
            words = (
                f"the source did not answer within {ANSWER_S:g} s; is it alive, and an emulator?"
            )
            self._tell("warning", waiting, words)
            self._reply(waiting.identity, Reply(id=waiting.command, status="failed", reason=words))

    def _finish(self, waiting: _Waiting) -> None:
        refused = [answer.reason for answer in waiting.answers if not answer.accepted]
        if len(refused) == len(waiting.answers):
            self._tell("warning", waiting, refused[0])
            reply = Reply(id=waiting.command, status="failed", reason=refused[0])
        else:
            self._tell("info", waiting, "")
            reply = Reply(id=waiting.command, status="done", result=_joined(waiting.answers))
        self._reply(waiting.identity, reply)

    def _tell(self, severity: Any, waiting: _Waiting, words: str) -> None:
        order = waiting.order
        if order.action != "list":
            became = f" refused: {words}" if words else ", on purpose"
            self._journal.add(severity, f"fault {order.action} {order.text}{became}")


def _joined(answers: list[FaultAnswer]) -> dict[str, Any]:
    kinds: dict[str, str] = {}
    for answer in answers:
        kinds.update(answer.kinds)
    return {"faults": [words for answer in answers for words in answer.faults], "kinds": kinds}
