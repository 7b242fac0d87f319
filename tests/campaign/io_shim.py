"""Builds the preloaded disk faults of ``io_shim.c``, and says what they do now."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("io_shim.c")
_NUMBERS = struct.Struct("<8i")
_PLACES = ("write", "sync", "write_us", "sync_us", "most_bytes", "open", "clock_s", "only")
ONLY = {"": 0, ".tmraw": 1, ".tmlm": 2, ".jsonl": 3}


class IoShim:
    """The shim for files below a folder; without gcc, ``here`` is False and it does nothing."""

    def __init__(self, folder: Path, *, under: Path) -> None:
        self._library = folder / "io_shim.so"
        self.here = shutil.which("gcc") is not None
        if self.here:
            argv = ["gcc", "-shared", "-fPIC", "-O2", str(SOURCE), "-o", str(self._library), "-ldl"]
            subprocess.run(argv, check=True, timeout=120)
        path = folder / "io_shim.control"
        path.write_bytes(bytes(_NUMBERS.size))
        with path.open("r+b") as file:
            self._control = mmap.mmap(file.fileno(), _NUMBERS.size)
        self._under, self._path = under, path

    def environment(self) -> dict[str, str]:
        """Return the environment of a process that is to have these faults."""
        more = {
            "LD_PRELOAD": str(self._library),
            "TOMOSHIBI_SHIM_CONTROL": str(self._path),
            "TOMOSHIBI_SHIM_UNDER": str(self._under),
        }
        return {**os.environ, **(more if self.here else {})}

    def set(self, *, only: str = "", **numbers: int) -> None:
        """From now on do this, and nothing else; without numbers, nothing."""
        values = [numbers.get(place, 0) for place in _PLACES[:-1]]
        self._control[:] = _NUMBERS.pack(*values, ONLY[only])
