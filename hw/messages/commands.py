"""Commands from clients to the daq, and its replies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from hw.messages.base import Message
from hw.messages.bounds import Integer, check_tree

ClientName = Annotated[str, Meta(max_length=80, pattern=r"^[^\x00-\x1f\x7f]*$")]

# --- control plane: clients (DEALER) <-> daq (ROUTER) -------------------------------------------


class Command(Message):
    """Client to daq. ``id`` is chosen by the client and repeated in every reply.

    args : what plain JSON can hold; NaN, infinity and integers beyond 64 bits are refused
    client : who the client says it is, the same in all its commands, for the lease of control; ""
        for one that holds none
    """

    id: Integer
    name: Literal[
        "ping", "arm", "start", "stop", "reset", "status", "live", "regions", "mark", "control",
        "signal", "acknowledge", "shelve", "fault", "module", "shutdown",
    ]  # fmt: skip
    args: dict[str, Any] = {}
    client: ClientName = ""

    def __post_init__(self) -> None:
        check_tree(self.args)


class Reply(Message):
    """Daq to client: ``accepted`` first for slow commands, then done or failed.

    reason : why it failed, in English; ``reason_id`` and ``reason_values`` as ``id`` and ``values``
        of JournalLine, "" where it is no message of the catalogue
    """

    id: int
    status: Literal["accepted", "done", "failed"]
    reason: str = ""
    reason_id: str = ""
    reason_values: dict[str, str] = {}
    result: dict[str, Any] = {}
