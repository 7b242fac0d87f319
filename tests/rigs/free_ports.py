"""Addresses on this machine that nobody uses."""

from __future__ import annotations

import os
import socket

from hw.messages.endpoints import PLANES, Endpoints


def free_tcp() -> Endpoints:
    """Return a TCP base whose planes' ports were free a moment ago."""
    for port in range(20_000 + os.getpid() % 20_000, 60_000, 10):
        try:
            for k in range(len(PLANES)):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port + k))
        except OSError:
            continue
        return Endpoints(f"tcp://127.0.0.1:{port}")
    raise AssertionError("no free ports")
