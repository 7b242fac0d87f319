"""A real desktop for the console: an X server of its own with a window manager, keys by xdotool."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Self

NEEDS = ("Xvfb", "openbox", "xdotool")
BOUND_S = 40.0


def missing() -> str:
    """Return which of the programs are missing, in words; "" if all are there."""
    absent = [name for name in NEEDS if shutil.which(name) is None]
    return f"not installed: {', '.join(absent)} (./tomoshibi --apt test)" if absent else ""


def until(holds: Callable[[], bool], what: str, bound_s: float = BOUND_S) -> None:
    """Wait until the condition holds; fails after the bound."""
    deadline = time.monotonic() + bound_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not come within {bound_s:g} s"
        time.sleep(0.05)


class Desktop:
    """``with Desktop("1024x768") as desktop``: its display is in ``desktop.environment``."""

    def __init__(self, size: str) -> None:
        self._size = size
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = {**os.environ, "QT_QPA_PLATFORM": "xcb"}

    def __enter__(self) -> Self:
        reading, writing = os.pipe()
        options = ["-screen", "0", f"{self._size}x24", "-nolisten", "tcp"]
        self._start("Xvfb", "-displayfd", str(writing), *options, pass_fds=(writing,))
        os.close(writing)
        with os.fdopen(reading) as told:
            number = told.readline().strip()
        assert number, "Xvfb did not come up"
        self.environment["DISPLAY"] = f":{number}"
        self._start("openbox")
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            process.wait(10)

    def _start(self, *argv: str, pass_fds: tuple[int, ...] = ()) -> None:
        self._processes.append(
            subprocess.Popen(
                argv, env=self.environment, pass_fds=pass_fds,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
        )  # fmt: skip

    def do(self, *words: str) -> str:
        """Run xdotool; return what it printed."""
        done = subprocess.run(
            ["xdotool", *words], env=self.environment, capture_output=True, text=True, timeout=20
        )
        return done.stdout.strip()

    def windows(self, title: str) -> list[str]:
        """Return the visible windows of this title."""
        return self.do("search", "--onlyvisible", "--name", title).split()

    def window(self, title: str) -> str:
        """Wait for the one window of this title, and for it to have the focus."""
        until(lambda: len(self.windows(title)) == 1, f"a window {title!r}")
        (found,) = self.windows(title)
        until(lambda: self._focused(found), f"the focus of {title!r}")
        return found

    def _focused(self, window: str) -> bool:
        self.do("windowactivate", window)
        return self.do("getwindowfocus") == window

    def type(self, *keys: str) -> None:
        """Press and release keys in the focused window."""
        for key in keys:
            self.do("key", key)

    def geometry(self, window: str) -> dict[str, int]:
        """Return X, Y, WIDTH and HEIGHT of a window's inside."""
        lines = self.do("getwindowgeometry", "--shell", window).splitlines()
        return {name: int(value) for name, value in (line.split("=") for line in lines)}
