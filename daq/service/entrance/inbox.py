"""Taking messages from a socket for a bounded time, so that nobody who sends can hold the loop up.

What is left waits in the socket, whose queue is bounded, and then at its sender. Each connection of
a socket is served in turn (ZeroMQ's fair queueing): a flood from one delays another's message by
little.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import zmq

MOST_SECONDS = 0.002
MOST_MESSAGES = 200
MOST_PARTS = 4
"""Of a message; no plane's has more. Further parts are thrown away, the last one excepted."""


See = Callable[[bytes, zmq.Frame], None]
"""Is shown the first part of each message, and its last one as a frame, which knows the sender."""


def unseen(first: bytes, frame: zmq.Frame) -> None:
    """Ignore a message."""


class Inbox:
    """Takes whole messages from a socket, turn by turn; ``see`` is shown each.

    cut : whether the last turn ended at a bound, so that more may be waiting

    Parameters
    ----------
    socket : receives
    most : messages a turn
    seconds : how long a turn may take
    see : is shown each message
    clock : monotonic, in seconds
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        *,
        most: int = MOST_MESSAGES,
        seconds: float = MOST_SECONDS,
        see: See = unseen,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cut = False
        self._socket = socket
        self._most, self._seconds = most, seconds
        self._clock, self._see = clock, see
        self._parts: list[bytes] = []

    def take(self) -> Iterator[list[bytes]]:
        """Yield the messages that have come, as lists of parts, within this turn's bounds.

        A message of very many parts is taken over several turns.
        """
        until, self.cut = self._clock() + self._seconds, False
        taken = 0
        while taken < self._most:
            try:
                frame = self._socket.recv(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            if len(self._parts) >= MOST_PARTS:
                self._parts.pop()
            self._parts.append(frame.bytes)
            if not frame.more:
                taken += 1
                self._see(self._parts[0], frame)
                message, self._parts = self._parts, []
                yield message
            if self._clock() >= until:
                break
        self.cut = True
