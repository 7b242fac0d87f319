"""Whether a window can open, found out before Qt is asked: Qt ends the process if none can."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

ANSWER_S = 2.0
X_PORT = 6000
_X_NAME = re.compile(r"(?P<host>.*):(?P<number>\d{1,5})(\.\d+)?")


def why_no_window() -> str:
    """Return "" if a display takes connections, else why no window can open, in words."""
    x, wayland = os.environ.get("DISPLAY", ""), os.environ.get("WAYLAND_DISPLAY", "")
    if not x and not wayland:
        return "neither DISPLAY nor WAYLAND_DISPLAY is set"
    if (wayland and _answers_wayland(wayland)) or (x and _answers_x(x)):
        return ""
    given = [f"DISPLAY={x}"] * bool(x) + [f"WAYLAND_DISPLAY={wayland}"] * bool(wayland)
    return f"nothing answers at {' and '.join(given)}"


def _answers_wayland(name: str) -> bool:
    return _connects_unix(str(Path(os.environ.get("XDG_RUNTIME_DIR", "/")) / name))


def _answers_x(name: str) -> bool:
    found = _X_NAME.fullmatch(name)
    if found is None:
        return False
    host, number = found["host"], int(found["number"])
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"
        return _connects_unix(path) or _connects_unix(f"\0{path}")
    try:
        socket.create_connection((host.strip("[]"), X_PORT + number), ANSWER_S).close()
    except (OSError, OverflowError, UnicodeError):
        return False
    return True


def _connects_unix(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(ANSWER_S)
        try:
            probe.connect(path)
        except OSError:  # also where the path is too long
            return False
    return True
