"""Frames from the modules' lines to the daq: one PUSH socket per module, as for every source.

The poller's thread hands frames over and never waits for the daq: even while a daq is busy for
seconds, the modules must hear from their host. A separate thread sends them in order; it checks
every 2 ms while frames come, because waking it for each of 9000 frames a second would cost more
than sending them. At most ``MOST_BYTES`` wait; frames beyond are dropped and counted (with
``has_room``, a data path that can wait, such as the memory ring, holds its frames back before
that). What was sent is kept until it is on the daq's disk, and sent again to a daq that was
restarted.
"""

from __future__ import annotations

import threading
import time
from collections import deque

import zmq

from hw.messages.endpoints import connect
from hw.messages.source import OnDisk, Resume, SendAgain
from hw.wire.kept_frames import KeptFrames

MOST_BYTES = 256 << 20
SPARE_BYTES = 64 << 20
"""Space kept free for data paths that cannot wait."""
QUEUE_FRAMES = 64
LINGER_MS = 500
_WAIT_MS = 20
_NAP_S = 0.002
_NAPS = 100
_SLEEP_S = 0.25


class FrameSender:
    """Sends frames. ``dropped``: by module, the frames that the daq did not take in time."""

    def __init__(self, address: str, modules: list[int]) -> None:
        self.dropped = dict.fromkeys(modules, 0)
        self._address = address
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._lacking: deque[tuple[int, bytes]] = deque()
        self._modules = max(modules, default=-1) + 1
        self._kept = KeptFrames(self._modules)
        self._bytes = 0
        self._lock = threading.Lock()
        self._asleep = False
        self._news = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="frame-sender", daemon=True)
        self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether a data path that can wait may hand frames over."""
        return self._bytes < MOST_BYTES - SPARE_BYTES

    def send(self, module: int, frame: bytes) -> None:
        """Hand a frame over, or count it as dropped."""
        with self._lock:
            if self._bytes + len(frame) > MOST_BYTES:
                self.dropped[module] += 1
                return
            self._bytes += len(frame)
            self._waiting.append((module, frame))
        if self._asleep:
            self._news.set()

    def forget(self) -> None:
        """Discard what waits or is kept: another run begins."""
        with self._lock:
            self._waiting.clear()
            self._lacking.clear()
            self._bytes = 0
            self._kept = KeptFrames(self._modules)

    @property
    def all_on_disk(self) -> bool:
        """Whether nothing waits or is kept."""
        return not self._waiting and not self._kept.bytes

    def release(self, on_disk: OnDisk) -> None:
        """Let go of what is on the disk."""
        with self._lock:
            self._kept.release(on_disk.sequences, on_disk.periods)

    def send_again(self, resume: Resume) -> None:
        """Put what a daq that was restarted lacks before what waits."""
        with self._lock:
            self._kept.release(resume.sequences, resume.periods)
            kept, self._kept = self._kept, KeptFrames(self._modules)
            self._waiting.extendleft(reversed(kept.in_order()))
            self._bytes += kept.bytes
        self._news.set()

    def send_lacking(self, order: SendAgain) -> None:
        """Send before all else what was lost on its way, where it is still kept."""
        with self._lock:
            self._lacking = deque(
                (module, frame)
                for module, numbers in enumerate(order.sequences)
                if module in self.dropped
                for frame in self._kept.numbered(module, numbers)
            )
        self._news.set()

    def _run(self) -> None:
        sockets = {module: self._connect() for module in self.dropped}
        naps = 0
        while not self._closing.is_set():
            module, frame = self._next()
            if not frame:
                self._rest(naps)
                naps += 1
                continue
            naps = 0
            if self._put(sockets[module], frame):
                self._done(module, frame)
        for socket in sockets.values():
            socket.close()

    def _rest(self, naps: int) -> None:
        """Pause while nothing waits: briefly or, after a while without frames, until woken."""
        if naps < _NAPS:
            time.sleep(_NAP_S)
            return
        self._asleep = True
        self._news.wait(_SLEEP_S)
        self._news.clear()
        self._asleep = False

    def _next(self) -> tuple[int, bytes]:
        with self._lock:
            queue = self._lacking or self._waiting
            return queue[0] if queue else (0, b"")

    def _done(self, module: int, frame: bytes) -> None:
        with self._lock:
            if self._lacking and self._lacking[0][1] is frame:  # it is kept already
                self._lacking.popleft()
            elif self._waiting and self._waiting[0][1] is frame:  # else others came before it
                self._waiting.popleft()
                self._bytes -= len(frame)
                self._kept.add(module, frame)

    def _connect(self) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        socket.setsockopt(zmq.SNDHWM, QUEUE_FRAMES)
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        connect(socket, self._address)
        return socket

    @staticmethod
    def _put(socket: zmq.Socket[bytes], frame: bytes) -> bool:
        """Send a frame; return False if the daq takes none now."""
        try:
            socket.send(frame, zmq.NOBLOCK)
        except zmq.Again:
            socket.poll(_WAIT_MS, zmq.POLLOUT)
            return False
        return True

    def close(self) -> None:
        """End the thread; ZeroMQ gets half a second to send what it has queued."""
        self._closing.set()
        self._news.set()
        self._thread.join(2.0)
