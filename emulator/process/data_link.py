"""Sends data frames: one PUSH socket per module, bounded queues, interruptible waits.

What was sent is kept until it is on the daq's disk, and sent again to a daq that was restarted.
"""

from __future__ import annotations

from collections.abc import Callable

import zmq

from hw.messages.endpoints import connect
from hw.messages.source import OnDisk, Resume, SendAgain
from hw.wire.kept_frames import KeptFrames

QUEUE_FRAMES = 64
_WAIT_MS = 20


class DataLink:
    """Sends each module's frames to the daq's data endpoint, over one socket per module."""

    def __init__(self, address: str, modules: int) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self._sockets: list[zmq.Socket[bytes]] = []
        for _ in range(modules):
            socket: zmq.Socket[bytes] = context.socket(zmq.PUSH)
            socket.setsockopt(zmq.SNDHWM, QUEUE_FRAMES)
            socket.setsockopt(zmq.LINGER, 500)
            connect(socket, address)
            self._sockets.append(socket)
        self.sent = [0] * modules
        self.kept = KeptFrames(modules)

    def send(self, module: int, frame: bytes | memoryview, give_up: Callable[[], bool]) -> bool:
        """Send one frame; while the receiver is slow, call ``give_up`` every 20 ms.

        Returns
        -------
        False if given up: the frame was not sent
        """
        if not self._put(module, frame, give_up):
            return False
        self.kept.add(module, frame)
        self.sent[module] += 1
        return True

    def _put(self, module: int, frame: bytes | memoryview, give_up: Callable[[], bool]) -> bool:
        socket = self._sockets[module]
        while True:
            try:
                socket.send(frame, zmq.NOBLOCK)
                return True
            except zmq.Again:
                if give_up():
                    return False
                socket.poll(_WAIT_MS, zmq.POLLOUT)

    def release(self, on_disk: OnDisk) -> None:
        """Let go of what is on the disk."""
        self.kept.release(on_disk.sequences, on_disk.periods)

    def send_again(self, resume: Resume, give_up: Callable[[], bool]) -> int:
        """Send again what a daq that was restarted lacks; return how many frames."""
        self.kept.release(resume.sequences, resume.periods)
        again = 0
        for module, frame in self.kept.in_order():
            if not self._put(module, frame, give_up):
                return again
            again += 1
        return again

    def send_lacking(self, order: SendAgain, give_up: Callable[[], bool]) -> None:
        """Send once more what was lost on its way, where it is still kept."""
        for module, numbers in enumerate(order.sequences[: len(self._sockets)]):
            for frame in self.kept.numbered(module, numbers):
                if not self._put(module, frame, give_up):
                    return

    def close(self) -> None:
        """Close the sockets, allowing half a second for queued frames to be sent."""
        for socket in self._sockets:
            socket.close()
