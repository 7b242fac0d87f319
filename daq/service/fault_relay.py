"""Orders for faults done on purpose: to the sources that emulate, and back."""

from __future__ import annotations

from typing import Any

from daq.errors import RunError
from daq.service.order_relay import OrderRelay
from hw.messages.codec import FaultAnswer, FaultOrder, Hello

ACTIONS = ("set", "clear", "list")


class FaultRelay(OrderRelay[FaultOrder, FaultAnswer]):
    """Relays fault orders. The daq knows no fault: it hands the words on."""

    answer_kind = FaultAnswer
    silence = "the source did not answer (is it alive, and an emulator?)"
    nobody = "no source is attached: start one (`tomoshibi emulate`), then set faults"
    obeyed = ", on purpose"

    def _read(self, number: int, args: dict[str, Any]) -> FaultOrder:
        action = args.get("action")
        if action not in ACTIONS:
            raise RunError(f"fault: action is {action!r}; there are {', '.join(ACTIONS)}")
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
