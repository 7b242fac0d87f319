"""A real Qt application (offscreen unless told otherwise) and real sockets for the console."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from gui.app.console import application
from gui.app.window import ConsoleWindow
from hw.messages.endpoints import Endpoints
from rigs.gui.deleted import delete_now, delete_what_waits

BOUND_S = 10.0
FRAME_MS = 20  # faster than for people, who need 20 frames a second


@pytest.fixture
def endpoints() -> Iterator[Endpoints]:
    """Sockets in a short-lived folder with a short name (ipc paths are limited)."""
    folder = Path(tempfile.mkdtemp(prefix="tsgui-"))
    yield Endpoints(f"ipc://{folder}")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def no_stray_exceptions(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail where a Qt slot raised: PySide only prints what slots raise."""
    raised: list[str] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, _trace: raised.append(repr(error)))
    yield
    assert not raised, raised


@pytest.fixture
def console(endpoints: Endpoints, no_stray_exceptions: None) -> Iterator[ConsoleWindow]:
    """A shown console of 1280×800 that refreshes itself."""
    application(headless=True)
    window = ConsoleWindow(endpoints)
    window.resize(1280, 800)
    window.show()
    window.timer.setInterval(FRAME_MS)
    window.timer.start()
    yield window
    window.leaving = True
    window.close()
    delete_now(window)


def pump(until: Callable[[], bool], *, bound_s: float = BOUND_S) -> None:
    """Let Qt work until the condition holds; fails after the bound."""
    app = application(headless=True)
    deadline = time.monotonic() + bound_s
    while True:
        app.processEvents()
        delete_what_waits()
        if until():
            return
        assert time.monotonic() < deadline, "the console did not come to it within the bound"
        time.sleep(0.004)


@pytest.fixture(name="pump")
def pump_fixture() -> Callable[..., None]:
    """The function :func:`pump`."""
    return pump
