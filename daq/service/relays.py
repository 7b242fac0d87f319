"""Orders to modules that run our firmware: to the link process, and back."""

from __future__ import annotations

from typing import Any, get_args

import msgspec

from daq.errors import RunError
from daq.service.order_relay import OrderRelay
from hw.messages.codec import Hello, ModuleAnswer, ModuleOrder
from hw.messages.modules import ModuleAction

ACTIONS: tuple[str, ...] = get_args(ModuleAction)


class ModuleRelay(OrderRelay[ModuleOrder, ModuleAnswer]):
    """Relays module orders. What takes long (scans, updates) is answered when it has begun; how
    it goes on is told by the states that the link process sends."""

    answer_kind = ModuleAnswer
    answer_s = 10.0
    silence = "the link process did not answer (is it alive, and are the modules?)"
    nobody = (
        "no modules with firmware are attached: start `tomoshibi link`, or "
        "`tomoshibi demo --firmware native`"
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
