"""Child processes of a launcher: started with a parent-death signal, stopped together, bounded.

No orphan, ever: each child asks the kernel for SIGTERM when its parent dies, sits in a process
group of its own so that Ctrl-C reaches only the launcher, and is killed if it outlives its bound.
Not in a session of its own: Linux shares the processors evenly between sessions (autogroup, see
sched(7)), and one process would no longer yield to another, however nice it is.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hw.parent_death import die_with_parent

LEAVE_S = 2.0
KILLED_S = 5.0
"""For the kernel to end a killed process."""

_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Child:
    """A running child and the file of its output."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 6) -> str:
        """Return the last lines of its output."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])


class Children:
    """Starts and stops the processes of one system."""

    def __init__(self, log_folder: Path) -> None:
        log_folder.mkdir(parents=True, exist_ok=True)
        self.log_folder = log_folder
        self._children: dict[str, Child] = {}

    def start(self, name: str, argv: Sequence[str], *, niceness: int = 0) -> Child:
        """Start ``python -m daq.cli ARGV`` in the background, output to its log.

        niceness : how far it yields the processor to the others (0 to 19)
        """
        log = self.log_folder / f"{name}.log"
        parent = os.getpid()
        with _signals_held(), log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "daq.cli", *argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
                preexec_fn=lambda: begin_child(parent, niceness),
            )
            self._children[name] = Child(name, process, log)
        return self._children[name]

    def died(self) -> list[Child]:
        """Return and forget the children that ended by themselves."""
        gone = [child for child in self._children.values() if child.process.poll() is not None]
        for child in gone:
            del self._children[child.name]
        return gone

    def alive(self, name: str) -> bool:
        """Whether the named child runs."""
        child = self._children.get(name)
        return child is not None and child.process.poll() is None

    def pids(self) -> dict[str, int]:
        """Return the running children's process ids by name."""
        return {name: child.process.pid for name, child in self._children.items()}

    def kill(self, name: str) -> None:
        """End a child that must say nothing more, where it lives."""
        child = self._children.pop(name, None)
        if child is not None:
            _signal(child, signal.SIGKILL)
            child.process.wait(KILLED_S)

    def stop(self, *names: str, within_s: float = LEAVE_S) -> list[str]:
        """Ask the named children (all, without names) to exit; kill those that do not.

        Returns
        -------
        names of those that had to be killed
        """
        chosen = [
            self._children.pop(n) for n in names or list(self._children) if n in self._children
        ]
        for child in chosen:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + within_s
        killed = []
        for child in chosen:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                killed.append(child.name)
                _signal(child, signal.SIGKILL)
                child.process.wait(KILLED_S)
        return killed


def run_to_end(argv: Sequence[str]) -> int:
    """Run ``python -m daq.cli ARGV`` in the foreground, output to stderr; return its status.

    It too ends with this process, and before an exception (Ctrl-C) propagates from here.
    """
    parent = os.getpid()
    with _signals_held() as before:
        process = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", *argv],
            stdout=sys.stderr,
            preexec_fn=lambda: begin_child(parent, 0),
        )
        try:
            with _signals_as(before):
                return process.wait()
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop a child that still runs, by force if need be; leave no zombie."""
    try:
        process.terminate()  # nothing where it has ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE_S)
    finally:  # also where one more Ctrl-C ends the waiting
        process.kill()
        process.wait(KILLED_S)


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process.poll() is None:
        child.process.send_signal(number)


@contextlib.contextmanager
def _signals_held() -> Iterator[set[int | signal.Signals]]:
    """Hold back Ctrl-C and SIGTERM; yield the previous signal mask.

    Between a child's start and its registration here, they would orphan it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        yield before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _signals_as(before: set[int | signal.Signals]) -> Iterator[None]:
    """Accept signals as before, within :func:`_signals_held`."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)  # what has waited is raised here
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)


def begin_child(parent: int, niceness: int) -> None:
    """In the child, before exec: leave when the parent does, even if it is gone already."""
    os.nice(niceness)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
