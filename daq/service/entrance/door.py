"""Who may command the daq: the role of a client's key, and each command once.

By ipc only this user's processes reach the control plane, and they have the role ``service``. Over
TCP the role is that of the client's key, looked up for each command, so that a revoked key commands
nothing from then on. A command whose number is not above that of the one before it, from the same
connection, is refused: it was repeated, or recorded and sent again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq

from daq.service.entrance.command_journal import CommandJournal
from hw.messages.commands import Command
from hw.messages.keys import ROLES, KeyFileError, KeyRing, Role

MOST_CLIENTS = 1000
"""Connections that are remembered; of more, the one that was silent longest is forgotten."""

MOST_REFUSALS = 100
"""Journal lines of refused commands in one connection; more are answered, and not written."""

READING = ("ping", "status")
DATA = ("signal",)
"""Samples of a signal come several times a second: not journalled one by one."""

OF_SERVICE = ("fault", "module")
HARMLESS = ("read", "list", "scan_stop")
"""Actions of module orders and faults that change nothing, or end a change."""

BIAS_OFF = {"target_mV": 0}


@dataclass
class Visitor:
    """One connection to the control plane.

    key : public key, "" by ipc
    address : as ZeroMQ tells it; by ipc "host:uid:gid:pid"
    """

    key: str = ""
    address: str = ""
    last_id: int = 0
    refusals: int = 0


class Door:
    """Admits commands. ``refused`` counts those that it did not.

    secured : whether clients have keys (TCP); otherwise only this user's processes get here
    """

    def __init__(
        self, runs_root: Path, *, secured: bool, ring: Callable[[], KeyRing] = KeyRing
    ) -> None:
        self.refused = 0
        self._told = ""
        self.journal = CommandJournal(runs_root)
        self._ring = ring() if secured else None
        self._visitors: OrderedDict[bytes, Visitor] = OrderedDict()

    def see(self, identity: bytes, frame: zmq.Frame) -> None:
        """Note who sent a message, from one of its parts."""
        visitor = self._visitor(identity)
        visitor.key = _property(frame, "User-Id")
        visitor.address = _property(frame, "Peer-Address")

    def admit(self, identity: bytes, command: Command) -> str:
        """Return why a command is refused, "" if it is admitted; write it into the journal."""
        visitor = self._visitor(identity)
        name, role = self._name_and_role(visitor)
        why = _why_not(visitor, command, role)
        visitor.last_id = max(visitor.last_id, command.id)
        if why:
            self.refused += 1
            visitor.refusals += 1
        if (why and visitor.refusals <= MOST_REFUSALS) or (not why and not _only_reads(command)):
            self.journal.add({"client": name, "role": role, **_where(visitor)}, command, why)
        return why

    def key_of(self, identity: bytes) -> str:
        """Return the name of a client's key, or of this user."""
        return self._name_and_role(self._visitor(identity))[0]

    def news(self) -> str:
        """Return once why the journal of commands cannot be written; "" if nothing is new."""
        before, self._told = self._told, self.journal.trouble
        return self._told if self._told != before else ""

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()

    def _visitor(self, identity: bytes) -> Visitor:
        visitor = self._visitors.setdefault(identity, Visitor())
        self._visitors.move_to_end(identity)
        if len(self._visitors) > MOST_CLIENTS:
            self._visitors.popitem(last=False)
        return visitor

    def _name_and_role(self, visitor: Visitor) -> tuple[str, Role | None]:
        if self._ring is None:
            return "this user", "service"
        try:
            client = self._ring.known(visitor.key)
        except KeyFileError:
            client = None
        return (client.name, client.role) if client else ("unknown", None)


def _why_not(visitor: Visitor, command: Command, role: Role | None) -> str:
    if role is None:
        return f"{command.name}: this key is not, or no longer, known to this system"
    if command.id <= visitor.last_id:
        return (
            f"{command.name}: number {command.id} is not above {visitor.last_id}, the last one of "
            "this connection: it was repeated; count on, or connect anew"
        )
    needed = _needed(command)
    if ROLES.index(role) < ROLES.index(needed):
        return (
            f"{command.name}: this key may {role}, the command is for the role {needed}: "
            f"`tomoshibi keys make NAME --role {needed}` makes one, where the daq runs"
        )
    return ""


def _needed(command: Command) -> Role:
    if command.name in READING:
        return "observe"
    if command.name in OF_SERVICE and not makes_safer(command):
        return "service"
    return "operate"


def makes_safer(command: Command) -> bool:
    """Whether an order to modules, or about faults, is harmless, or switches a bias off."""
    if command.name not in OF_SERVICE:
        return False
    action, values = command.args.get("action"), command.args.get("values")
    return action in HARMLESS or (action == "bias" and values == BIAS_OFF)


def _only_reads(command: Command) -> bool:
    of_action = {"module": "read", "fault": "list", "control": "keep"}.get(command.name)
    return command.name in (*READING, *DATA) or (
        of_action is not None and command.args.get("action") == of_action
    )


def _property(frame: Any, name: str) -> str:
    try:
        return str(frame.get(name))
    except (zmq.ZMQError, KeyError):
        return ""


def _where(visitor: Visitor) -> dict[str, Any]:
    """Return a local client's user and process, as the system gives them, or its address."""
    parts = visitor.address.split(":")
    numbers = parts[-3:]
    if not visitor.key and len(parts) >= 4 and all(part.isdecimal() for part in numbers):
        return {"uid": int(numbers[0]), "pid": int(numbers[2])}
    return {"address": visitor.address}
