"""A serial line with a plug: TCP on one side, a module's device file on the other."""

from __future__ import annotations

import os
import select
import socket
import threading
import tty


class LineProxy:
    """Passes bytes both ways while plugged in. ``url`` is what pyserial opens."""

    def __init__(self, device: str) -> None:
        self._device = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._device)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._plugged = threading.Event()
        self._plugged.set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Break the line; nobody can connect until ``plug``."""
        self._plugged.clear()

    def plug(self) -> None:
        """Let hosts connect again."""
        self._plugged.set()

    def _serve(self) -> None:
        while not self._closing.is_set():
            ready, _, _ = select.select([self._listener], [], [], 0.05)
            if not ready:
                continue
            host, _ = self._listener.accept()
            with host:
                if self._plugged.is_set():
                    self._pass(host)

    def _pass(self, host: socket.socket) -> None:
        while self._plugged.is_set() and not self._closing.is_set():
            ready, _, _ = select.select([host, self._device], [], [], 0.05)
            try:
                if host in ready:
                    data = host.recv(65536)
                    if not data:
                        return
                    os.write(self._device, data)
                if self._device in ready:
                    host.sendall(os.read(self._device, 65536))
            except OSError:
                return

    def close(self) -> None:
        """Close everything."""
        self._closing.set()
        self._thread.join(5)
        self._listener.close()
        os.close(self._device)
