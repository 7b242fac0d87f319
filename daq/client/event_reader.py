"""Reading the event plane: the records of one kind as they arrive, and how many were missed.

Nothing is lost silently: every header says how many records came before it in the run, so each
gap is counted exactly, including one at the very end of the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import zmq
from zmq.utils.monitor import recv_monitor_message

from coincidence.events import RECORD_OF_KIND
from hw.messages.base import MessageError
from hw.messages.codec import decode_as
from hw.messages.endpoints import Endpoints
from hw.messages.telemetry import EventBatch, EventKind

_LINKS = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
READER_QUEUE = 1024
"""Messages that may wait for a subscriber that is briefly busy: 10 s of the daq's turns."""


@dataclass
class Tally:
    """What one subscriber received of a run, and what it missed.

    joined_after : records of the run sent before the first message received: not lost, the
        subscriber had not joined yet
    lost : later records that never arrived
    finished : nothing more follows in the run
    """

    run: str = ""
    records: int = 0
    messages: int = 0
    joined_after: int = 0
    lost: int = 0
    finished: bool = False
    _expected: int = field(default=0, repr=False)

    def take(self, batch: EventBatch) -> bool:
        """Count a batch; return whether it belongs to the run being read.

        The end of a run of which nothing was seen is ignored, unless it is the run's very first
        message (a run without records of this kind).
        """
        if not self.run:
            if batch.final and batch.sequence > 0:
                return False
            self.run, self.joined_after, self._expected = batch.run, batch.before, batch.before
        if batch.run != self.run:
            self.finished = True  # its own end was missed, the next run has begun
            return False
        self.lost += max(0, batch.before - self._expected)
        self._expected = batch.before + batch.records
        self.records += batch.records
        self.messages += 1
        self.finished = self.finished or batch.final
        return True


class EventReader:
    """Subscribes to one kind of events of a system and reads one run."""

    def __init__(self, endpoints: Endpoints, kind: EventKind, *, queue: int = READER_QUEUE) -> None:
        self.kind = kind
        self.tally = Tally()
        self.invalid_messages = 0
        self._dtype = RECORD_OF_KIND[kind]
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVHWM, queue)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._socket.setsockopt(zmq.SUBSCRIBE, kind.encode())
        self._links: zmq.Socket[bytes] = self._socket.get_monitor_socket(_LINKS)
        self._linked = False
        endpoints.connect(self._socket, "events")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; closing it twice does no harm."""
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._links.close()
            self._socket.close()

    @property
    def linked(self) -> bool:
        """Whether a daq is connected."""
        while self._links.poll(0):
            event = recv_monitor_message(self._links)["event"]
            self._linked = event == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return self._linked

    def read(self, timeout_s: float = 0.0) -> npt.NDArray[np.void] | None:
        """Return the records of the next message, waiting at most ``timeout_s`` for it.

        Returns
        -------
        (n,) records, read-only, n = 0 at the end of the run; None if nothing came in time.

        Raises
        ------
        MessageError
            if the daq is of another version.
        """
        if not self._socket.poll(int(timeout_s * 1000)):
            return None
        return self.take(self._socket.recv_multipart())

    def take(self, parts: list[bytes]) -> npt.NDArray[np.void] | None:
        """Count a message's parts and return its records, None for one of another run; raises
        MessageError.
        """
        batch, data = self._open(parts)
        if batch is None or not self.tally.take(batch):
            return None
        return np.frombuffer(data, dtype=self._dtype)

    def _open(self, parts: list[bytes]) -> tuple[EventBatch | None, bytes]:
        if len(parts) != 3:
            self.invalid_messages += 1
            return None, b""
        batch = decode_as(EventBatch, parts[1])
        if batch.kind != self.kind or len(parts[2]) != batch.records * self._dtype.itemsize:
            raise MessageError(
                f"a message of {batch.records} {batch.kind} with {len(parts[2])} bytes: "
                f"{self.kind} of {self._dtype.itemsize} bytes each were expected"
            )
        return batch, parts[2]
