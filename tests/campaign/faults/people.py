"""What people use beside a run: consoles, imagers, a launcher, a recovery; killed, or too many."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random

import psutil

from campaign.faults.kind import Kind
from campaign.scene import Scene, SceneError, wait_until

ORPHANS_S = 20.0
"""For the children of a launcher that was killed to be gone."""


def _daq_cli(scene: Scene, *argv: str) -> subprocess.Popen[bytes]:
    """Start a command of the product; without a screen it draws on none."""
    with (scene.folder / f"{argv[0]}.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "daq.cli", *argv],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        )  # fmt: skip
    scene.started.append(process)
    return process


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(20)


@contextmanager
def _console_killed(scene: Scene, rng: Random) -> Iterator[None]:
    console = _daq_cli(scene, "console", "--endpoint", scene.endpoints.base)
    yield
    if console.poll() is not None:
        raise SceneError(f"the console ended by itself, with status {console.returncode}")
    _kill(console)


@contextmanager
def _launcher_killed(scene: Scene, rng: Random) -> Iterator[None]:
    """A whole system beside the one that records: none of it may outlive its launcher."""
    launcher = _daq_cli(
        scene, "demo", "--headless", "--preset", "bench2", "--duration", "60",
        "--runs", str(scene.folder / "of-launcher"),
    )  # fmt: skip
    here = psutil.Process(launcher.pid)
    wait_until(lambda: len(here.children(recursive=True)) >= 3, "the launcher's processes")
    yield
    children = here.children(recursive=True)
    _kill(launcher)
    _, alive = psutil.wait_procs(children, timeout=ORPHANS_S)
    for child in alive:
        child.kill()
    if alive:
        raise SceneError(f"of a launcher that was killed {len(alive)} processes go on")


@contextmanager
def _recovery_killed(scene: Scene, rng: Random) -> Iterator[None]:
    """In the middle of a run's repair; it is repaired all the same."""
    _kill(scene.source)
    _kill(scene.daq)
    recovery = _daq_cli(scene, "recover", str(scene.run), "--no-image")
    yield
    _kill(recovery)
    scene.start_daq()
    scene.start_source()


@contextmanager
def _imager_comes_back(scene: Scene, rng: Random) -> Iterator[None]:
    """It takes what it has missed from the run's list, and uses every event."""
    first = scene.start_imager()
    wait_until(lambda: scene.share_of_image() > 0.0, "the first image")
    _kill(first)
    second = scene.start_imager()
    yield
    wait_until(lambda: scene.share_of_image() == 1.0, "an image of all events")
    _kill(second)


@contextmanager
def _half_written(scene: Scene, rng: Random) -> Iterator[None]:
    """A run's folder has some of its files, some of them cut, when the daq starts."""
    half = scene.runs / f"half-{time.monotonic_ns()}"
    half.mkdir(mode=0o700)
    earlier = [path for path in sorted(scene.runs.glob("*/run.json")) if path.parent != half]
    files = sorted(earlier[-1].parent.iterdir()) if earlier else []
    for path in files:
        if path.is_file() and rng.random() < 0.5:
            data = path.read_bytes()
            (half / path.name).write_bytes(data[: rng.randrange(len(data) + 1)])
    if not files:
        (half / "run.json").write_text(json.dumps({"run_tag": 1})[:-3], encoding="utf-8")
    wait_until(scene.has_its_sources, "its sources")  # one that knows no daq is told by none to end
    scene.daq.terminate()
    scene.daq.wait(60)
    scene.source.wait(60)
    yield
    scene.start_daq()
    scene.start_source()
    wait_until(lambda: bool(scene.status()), "an answer of the daq that found half a run")
    shutil.rmtree(half, ignore_errors=True)


@contextmanager
def _port_stolen(scene: Scene, rng: Random) -> Iterator[None]:
    """Somebody listens where a daq over TCP is to: it says so and ends, and spoils nothing."""
    with socket.create_server(("127.0.0.1", 0)) as thief:
        port = thief.getsockname()[1]
        daq = _daq_cli(
            scene, "acquire", "--preset", "bench2", "--runs", str(scene.folder / "of-port"),
            "--endpoint", f"tcp://127.0.0.1:{port}",
        )  # fmt: skip
        yield
        if daq.wait(60) == 0:
            raise SceneError("a daq whose port was taken ended well; it must say so")
        said = (scene.folder / "acquire.log").read_text(encoding="utf-8")
        if str(port) not in said or "Traceback" in said:
            raise SceneError(f"a daq whose port was taken said: {said[-300:]}")


@contextmanager
def _many_consoles(scene: Scene, rng: Random) -> Iterator[None]:
    """Real ones, several at once, beside the simulated crowd of `flood of consoles`."""
    with ExitStack() as stack:
        for _ in range(3):
            one = _daq_cli(scene, "console", "--endpoint", scene.endpoints.base)
            stack.callback(_kill, one)
        yield


PEOPLE = (
    Kind("console killed", _console_killed, lasts_s=(1.0, 6.0)),
    Kind("three consoles", _many_consoles, lasts_s=(2.0, 5.0)),
    Kind("launcher killed", _launcher_killed, lasts_s=(0.5, 3.0)),
    Kind("recovery killed", _recovery_killed, lasts_s=(0.3, 1.5), ends_run=True),
    Kind("imager killed, and back", _imager_comes_back, lasts_s=(1.0, 3.0)),
    Kind("run half written", _half_written, before_run=True),
    Kind("TCP port stolen", _port_stolen, lasts_s=(1.0, 2.0)),
)
