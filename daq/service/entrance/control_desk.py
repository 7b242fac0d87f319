"""Takes commands from clients and answers them, at a limited rate from each.

A client that sends more is told so in each reply, and everybody else is served as before: commands
have a bounded time of each turn, in which connections take turns (daq/service/entrance/inbox.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable

import zmq

from daq.folder.journal import Journal
from daq.service.entrance.inbox import Inbox, See, unseen
from hw.messages.base import MessageError
from hw.messages.codec import decode_as, encode
from hw.messages.commands import Command, Reply
from hw.notices.catalogue import notice

COMMANDS_PER_S = 200.0
BURST = 200
_MOST_CLIENTS = 256

Obey = Callable[[bytes, Command], Reply]


class Allowance:
    """What each client may still send: ``BURST`` at once, ``COMMANDS_PER_S`` for long."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._left: dict[bytes, tuple[float, float]] = {}

    def take(self, client: bytes) -> bool:
        """Take one command from a client's allowance; return whether there was one left."""
        now = self._clock()
        left, since_s = self._left.pop(client, (float(BURST), now))
        left = min(float(BURST), left + (now - since_s) * COMMANDS_PER_S)
        if len(self._left) >= _MOST_CLIENTS:
            del self._left[next(iter(self._left))]  # the one silent for longest
        self._left[client] = (left - 1 if left >= 1 else left, now)
        return left >= 1


class ControlDesk:
    """Serves the control plane; never blocks."""

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        journal: Journal,
        *,
        see: See = unseen,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """see : is shown each message, see :class:`daq.service.entrance.inbox.Inbox`"""
        self._socket = socket
        self._inbox = Inbox(socket, see=see)
        self._journal = journal
        self._allowance = Allowance(clock)

    @property
    def cut(self) -> bool:
        """Whether the last turn ended at a bound, so that more may be waiting."""
        return self._inbox.cut

    def serve(self, obey: Obey) -> None:
        """Carry out and answer the commands that have come, within a turn's bounds."""
        for identity, *parts in self._inbox.take():
            allowed = self._allowance.take(identity)
            try:
                command = decode_as(Command, parts[-1] if parts else b"")
            except MessageError as error:
                self._journal.tell(notice("command.unreadable", why=error), kind="not a command")
                continue
            self.reply(identity, obey(identity, command) if allowed else self._slow_down(command))

    def _slow_down(self, command: Command) -> Reply:
        words = (
            f"too many commands: {COMMANDS_PER_S:g} a second are taken from one client, and "
            f"{BURST} at once; wait a moment"
        )
        line = notice("command.refused", command=command.name, why=words)
        self._journal.tell(line, kind="too many commands")
        return Reply(id=command.id, status="failed", reason=words)

    def reply(self, identity: bytes, reply: Reply) -> None:
        """Answer a client; a reply that it cannot take is dropped and reported."""
        try:
            self._socket.send_multipart([identity, encode(reply)], zmq.NOBLOCK)
        except zmq.ZMQError:
            self._journal.tell(notice("reply.dropped", reply=reply.id), kind="reply dropped")
