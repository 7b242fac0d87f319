"""Sends data frames: one PUSH socket per module, bounded queues, interruptible waits."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from hw.messages.endpoints import connect

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

    def send(self, module: int, frame: bytes | memoryview, give_up: Callable[[], bool]) -> bool:
        """Send one frame; while the receiver is slow, call ``give_up`` every 20 ms.

        Returns
        -------
        False if given up: the frame was not sent
        """
        socket = self._sockets[module]
        while True:
            try:
                socket.send(frame, zmq.NOBLOCK)
            except zmq.Again:
                if give_up():
                    return False
                socket.poll(_WAIT_MS, zmq.POLLOUT)
            else:
                self.sent[module] += 1
                return True

    def close(self) -> None:
        """Close the sockets, allowing half a second for queued frames to be sent."""
        for socket in self._sockets:
            socket.close()
