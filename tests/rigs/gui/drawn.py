"""When a console has drawn what it received."""

from __future__ import annotations

from collections.abc import Callable

from gui.app.window import ConsoleWindow

TURNS = 8  # frames in which every panel has had its turn twice


def drawn(console: ConsoleWindow) -> Callable[[], bool]:
    """Return a condition: connected, and all panels refreshed since then."""
    since: list[int] = []

    def ready() -> bool:
        if console.link.state != "connected":
            since.clear()
            return False
        if not since:
            since.append(console.meter.frames)
        return console.meter.frames > since[0] + TURNS

    return ready
