"""``tomoshibi warm``: processes compile each task once, and leave nothing behind when stopped."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from daq.cli.launch import kernels
from daq.cli.launch.kernels import PURPOSES, TASKS, compile_kernels, is_warm, tasks_of

MADE_UP = """
import os, pathlib, time

FOLDER = pathlib.Path({folder!r})

def _note(name):
    (FOLDER / f"{{name}}-{{os.getpid()}}").touch(exist_ok=False)

def long():
    _note("long")
    deadline = time.monotonic() + 20
    while not list(FOLDER.glob("short-*")):  # another process has it
        assert time.monotonic() < deadline
        time.sleep(0.01)

def short():
    _note("short")

def failing():
    raise ValueError("this one cannot be compiled")
"""

MakeUp = Callable[..., Path]


@pytest.fixture
def made_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeUp:
    """Make tasks of a purpose "mine" that leave files; return their folder."""

    def make(**seconds: int) -> Path:
        folder = tmp_path / "notes"
        folder.mkdir()
        (tmp_path / "made_up_tasks.py").write_text(MADE_UP.format(folder=str(folder)))
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setenv("TOMOSHIBI_CACHE", str(tmp_path / "cache"))
        tasks = {f"made_up_tasks:{name}": share for name, share in seconds.items()}
        monkeypatch.setattr(kernels, "TASKS", tasks)
        monkeypatch.setattr(kernels, "PURPOSES", {"all": tuple(tasks), "mine": tuple(tasks)})
        return folder

    return make


def test_every_purpose_has_known_tasks_and_every_task_can_be_found() -> None:
    for tasks in PURPOSES.values():
        assert tasks and len(set(tasks)) == len(tasks) and set(tasks) <= set(TASKS)
    for task in TASKS:
        module, function = task.split(":")
        __import__(module)
        assert callable(getattr(sys.modules[module], function))


@pytest.mark.parametrize("purpose", PURPOSES)
def test_long_tasks_come_first(purpose: str) -> None:
    seconds = [TASKS[task] for task in tasks_of(purpose)]
    assert seconds == sorted(seconds, reverse=True)


def test_a_pool_runs_each_task_once_side_by_side_and_tells_how_far_it_is(made_up: MakeUp) -> None:
    folder = made_up(short=1, long=3)
    shares: list[float] = []
    assert not is_warm("mine")
    compile_kernels("mine", jobs=2, progress=shares.append)
    names = dict(path.name.split("-") for path in folder.iterdir())
    assert sorted(names) == ["long", "short"]
    assert len({os.getpid(), *map(int, names.values())}) == 3, "one process did all"
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert is_warm("mine")


def test_a_task_that_fails_is_told_and_the_purpose_is_not_warm(made_up: MakeUp) -> None:
    made_up(short=1, failing=2)
    with pytest.raises(ValueError, match="this one cannot be compiled"):
        compile_kernels("mine", jobs=2, progress=lambda share: None)
    assert not is_warm("mine")
    assert psutil.Process().children() == []


def test_what_is_warm_for_all_is_warm_for_each_purpose(made_up: MakeUp) -> None:
    made_up(short=1)
    compile_kernels("all", jobs=1, progress=lambda share: None)
    assert is_warm("mine")


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_told_to_leave_while_it_compiles_it_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C, the end of a demo that has it compile in the background, and a killed terminal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "daq.cli", "warm", "--for", "acquire", "--jobs", "2"],
        env=os.environ | {"TOMOSHIBI_CACHE": str(tmp_path)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        wait_until(lambda: any(tmp_path.glob("kernels/*.nbc")), "the first kernel")
        workers = psutil.Process(process.pid).children(recursive=True)
        assert len(workers) >= 2
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("kernels/*.ready"))
    for path in (path for path in tmp_path.glob("kernels/*") if path.is_file()):
        assert path.suffix in (".nbc", ".lock"), f"{path.name} was left half-written"
        if path.suffix == ".lock":  # the next one to compile this does not wait
            with path.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.02)
