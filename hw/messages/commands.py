"""Commands from clients to the daq, and its replies."""

from __future__ import annotations

from typing import Any, Literal

from hw.messages.base import Message
from hw.messages.bounds import Integer, check_tree

# --- control plane: clients (DEALER) <-> daq (ROUTER) -------------------------------------------


class Command(Message):
    """Client to daq. ``id`` is chosen by the client and repeated in every reply.

    args : what plain JSON can hold; NaN, infinity and integers beyond 64 bits are refused
    """

    id: Integer
    name: Literal[
        "ping", "arm", "start", "stop", "reset", "status", "live", "regions", "fault", "module",
        "shutdown",
    ]  # fmt: skip
    args: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_tree(self.args)


class Reply(Message):
    """Daq to client: ``accepted`` first for slow commands, then done or failed."""

    id: int
    status: Literal["accepted", "done", "failed"]
    reason: str = ""
    result: dict[str, Any] = {}
