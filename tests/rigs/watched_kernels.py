"""A command of ours in a process that tells which kernels it needed beyond those warmed before.

``python tests/rigs/watched_kernels.py OUT TASKS COMMAND …`` runs the tasks (``module:function``,
with commas between), then the command; then it writes to OUT, as JSON, what was specialised since.
On a machine whose cache has everything nothing would be *compiled*; so what counts is each kernel's
specialisations.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from daq.cli import main
from hw.jit import KERNELS
from hw.kernel_cache import kernel_folder
from hw.private_place import cache_root


def specialisations() -> set[str]:
    """Return kernels with the types that they were compiled, or loaded from the cache, for."""
    return {
        f"{kernel.py_func.__module__}.{kernel.py_func.__qualname__}{types}"
        for kernel in KERNELS
        for types in kernel.overloads
    }


class Watched:
    """A watched command that runs.

    first_start : of the cache it sees the kernels alone, and computes sensitivities and the like
    """

    def __init__(self, folder: Path, tasks: Sequence[str], *argv: str, first_start: bool) -> None:
        self.name = argv[0]
        cache = folder / "cache" if first_start else cache_root()
        cache.mkdir(parents=True, exist_ok=True)
        kernel_folder().mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (cache / "kernels").symlink_to(kernel_folder(), target_is_directory=True)
        self._found, self.log = folder / f"{argv[0]}.json", folder / f"{argv[0]}.log"
        root = Path(__file__).parents[2]
        path = f"{root}:{root / 'tests'}"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(self._found), ",".join(tasks), *argv],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": path, "TOMOSHIBI_CACHE": str(cache)},
            )  # fmt: skip

    def surprises(self, *, within_s: float) -> list[str]:
        """Wait for the end; return what was specialised after the tasks."""
        status = self.process.wait(within_s)
        assert status == 0, self.log.read_text(encoding="utf-8")
        found: list[str] = json.loads(self._found.read_text(encoding="utf-8"))
        return found

    def kill(self) -> None:
        """Kill what still runs."""
        self.process.kill()
        self.process.wait(10)


def _watch(out: Path, tasks: Sequence[str], argv: Sequence[str]) -> int:
    for task in tasks:
        module, function = task.split(":")
        getattr(importlib.import_module(module), function)()
    warm = specialisations()
    status = main(list(argv))
    out.write_text(json.dumps(sorted(specialisations() - warm)), encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(_watch(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]))
