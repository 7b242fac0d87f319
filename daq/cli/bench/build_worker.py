"""The controlling side of a build's worker (daq/cli/bench/worker.py): starts, asks and ends it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from daq.cli.bench.worker import PROTOCOL
from daq.cli.common import CommandError

HELLO_WITHIN_S = 60.0
COMPILED_WITHIN_S = 900.0
LEAVES_WITHIN_S = 2.0
UNKNOWN = "invalid choice: 'worker'"
_MOST_WORDS = 500


class CannotCompare(CommandError):
    """Two builds that cannot be compared; the message says why and what to do."""


class BuildWorker:
    """A process that measures the build in ``root`` by that build's own code.

    Parameters
    ----------
    root : the checkout
    name : its name in messages
    cache : folder of its compiled kernels and other caches; None for the usual one

    Raises
    ------
    CannotCompare : the build has no worker, or one with another protocol
    CommandError : it does not start
    """

    def __init__(self, root: Path, name: str, *, cache: Path | None = None) -> None:
        self.name = name
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the worker)
        self._unread = b""
        environment = os.environ | {"PYTHONPATH": str(root)}
        environment.pop("NUMBA_CACHE_DIR", None)  # ours: each build names its own
        if cache is not None:
            environment["TOMOSHIBI_CACHE"] = str(cache)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", "bench", "worker"],
            cwd=root, env=environment, start_new_session=True,  # Ctrl-C is ours to pass on
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said,
        )  # fmt: skip
        try:
            self.figures = self._greeting(root)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process, whatever it is doing."""
        process = self._process
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.terminate()
        try:
            process.wait(LEAVES_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._said.close()

    def ask(self, figure: str, passes: int) -> None:
        """Start a measurement; :meth:`answer` waits for its result."""
        assert self._process.stdin is not None
        line = json.dumps({"figure": figure, "passes": passes}) + "\n"
        try:
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def answer(self) -> dict[str, Any]:
        """Return the worker's result, ``seconds`` and ``values`` of each pass."""
        found = self._line(COMPILED_WITHIN_S)
        if "error" in found:
            raise CommandError(f"{self.name} could not be measured: {found['error']}")
        return found

    def _greeting(self, root: Path) -> dict[str, str]:
        hello = self._line(HELLO_WITHIN_S)
        if hello.get("protocol") != PROTOCOL:
            raise CannotCompare(
                f"{self.name} cannot be compared: its worker uses protocol "
                f"{hello.get('protocol')}, ours {PROTOCOL}; take a newer commit"
            )
        if Path(hello["root"]).resolve() != root.resolve():
            raise CommandError(f"{self.name}: {hello['root']} was to be measured as {root}")
        return {str(name): str(unit) for name, unit in hello["figures"].items()}

    def _line(self, within_s: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        stdout, until = self._process.stdout.fileno(), time.monotonic() + within_s
        while b"\n" not in self._unread:
            if not select.select([stdout], [], [], max(0.0, until - time.monotonic()))[0]:
                raise CommandError(f"{self.name} gave no answer within {within_s:.0f} s")
            read = os.read(stdout, 1 << 16)
            if not read:
                raise self._ended()
            self._unread += read
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found

    def _ended(self) -> CommandError:
        status = self._process.wait(LEAVES_WITHIN_S)
        self._said.seek(0)
        words = self._said.read().decode("utf-8", errors="replace").strip()
        if UNKNOWN in words:
            return CannotCompare(
                f"{self.name} cannot be compared: it has no `tomoshibi bench worker`, which came "
                "later; take a newer commit"
            )
        return CommandError(
            f"{self.name}: its worker ended with status {status}: {words[-_MOST_WORDS:]}"
        )
