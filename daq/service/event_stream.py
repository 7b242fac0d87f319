"""The event plane: prompts, delayeds, windowed singles, triples and angles for subscribers.

Each batch is a message of three parts: the kind (the topic to subscribe to), an EventBatch, the raw
records. Nothing here ever waits: what exceeds a slow subscriber's queue (``EVENT_QUEUE`` messages,
daq/service/sockets.py) is dropped for that subscriber alone, and the numbers in every header tell
it how many records it missed. Kinds to which nobody subscribes are never copied.

The end of a run is a header with ``final`` and no records; it is repeated until the next run, so
that a subscriber whose queue was full at the time learns the totals too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import zmq

from daq.folder.listmode_log import KINDS, bytes_of
from daq.service.entrance.inbox import Inbox
from hw.arrays import Records
from hw.messages.codec import encode
from hw.messages.telemetry import EventBatch, EventKind

if TYPE_CHECKING:
    from daq.path.pipeline import Output

MAX_MESSAGE_BYTES = 1 << 20
"""Longer batches are split, so that a subscriber's queue is bounded in bytes, too."""

MOST_SUBSCRIPTIONS = 10_000
"""Looked at in one turn; time ends it sooner. ZeroMQ itself keeps those that wait, unbounded."""


class EventStream:
    """Publishes the events of one run after another on an XPUB socket.

    XPUB is a PUB that reports subscriptions: without any, a batch costs four additions.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        self._inbox = Inbox(socket, most=MOST_SUBSCRIPTIONS)
        self._topics: set[bytes] = set()
        self._run = ""
        self._over = False
        self._watermark_ps = 0
        self._sequence = dict.fromkeys(KINDS, 0)
        self._before = dict.fromkeys(KINDS, 0)

    def start(self, run: str) -> None:
        """Begin a run's numbering."""
        self._run, self._over, self._watermark_ps = run, False, 0
        self._sequence = dict.fromkeys(KINDS, 0)
        self._before = dict.fromkeys(KINDS, 0)

    def batch(self, output: Output) -> None:
        """Publish the output of a batch of frames."""
        self._look_for_subscriptions()
        self._watermark_ps = output.watermark_ps
        self._publish("angles", output.angles)  # before the singles that were seen at them
        self._publish("prompts", output.prompts)
        self._publish("delayeds", output.delayeds)
        self._publish("singles", output.singles)
        self._publish("triples", output.triples)

    def end(self) -> None:
        """Announce that nothing more follows in this run; :meth:`repeat_end` repeats it."""
        if self._run:
            self._over = True
            self.repeat_end()

    def repeat_end(self) -> None:
        """Announce the end again for those who missed it; does nothing while a run goes on."""
        self._look_for_subscriptions()
        if self._over:
            for kind in KINDS:
                self._send(kind, b"", records=0, final=True)

    def wanted(self, kind: EventKind) -> bool:
        """Whether anybody subscribed to a kind when last checked."""
        topic = kind.encode()
        return any(topic.startswith(asked) for asked in self._topics)

    def _look_for_subscriptions(self) -> None:
        """Note who came and went. XPUB reports only the first and last subscriber of a topic (not
        verbose); unknown topics are ignored.
        """
        for *_, part in self._inbox.take():
            sign, topic = part[:1], part[1:]
            if sign == b"\x01" and any(kind.encode().startswith(topic) for kind in KINDS):
                self._topics.add(topic)
            elif sign == b"\x00":
                self._topics.discard(topic)

    def _publish(self, kind: EventKind, records: Records) -> None:
        for part in _parts(records):
            self._send(kind, bytes_of(part), records=len(part))

    def _send(
        self, kind: EventKind, data: bytes | memoryview, *, records: int, final: bool = False
    ) -> None:
        if self.wanted(kind):
            header = EventBatch(
                run=self._run,
                kind=kind,
                sequence=self._sequence[kind],
                records=records,
                before=self._before[kind],
                watermark_ps=self._watermark_ps,
                final=final,
            )
            self._socket.send_multipart([kind.encode(), encode(header), data], zmq.NOBLOCK)
        self._sequence[kind] += 1
        self._before[kind] += records


def _parts(records: Records) -> Iterator[Records]:
    """Split records into parts that fit in a message; no part if there are none."""
    most = MAX_MESSAGE_BYTES // records.dtype.itemsize
    for first in range(0, len(records), most):
        yield records[first : first + most]
