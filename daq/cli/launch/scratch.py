"""The folder of a launcher's sockets and logs, and clearing those that killed launchers left."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

import psutil

SCRATCH = "tomoshibi-run-"


def new_scratch() -> Path:
    """Make a folder for this launcher; remove those that this user's killed launchers left."""
    clear_scratch()
    return Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-"))


def clear_scratch() -> None:
    """Remove sockets and process logs left by this user's killed launchers."""
    for folder in Path(tempfile.gettempdir()).glob(f"{SCRATCH}[0-9]*-*"):
        number = folder.name.removeprefix(SCRATCH).partition("-")[0]
        with contextlib.suppress(OSError, ValueError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
            if ours and not _is_running(int(number), found.st_ctime):
                shutil.rmtree(folder, ignore_errors=True)


def _is_running(pid: int, since_s: float) -> bool:
    """Whether the process with this number is the one started then, not a later one."""
    try:
        return psutil.Process(pid).create_time() <= since_s + 1
    except psutil.Error:
        return False
