"""Processes that are killed, stopped, ended or started twice."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene, SceneError, wait_until


def _kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(20)


@contextmanager
def _daq_killed(scene: Scene, rng: Random) -> Iterator[None]:
    _kill(scene.daq)
    yield
    scene.start_daq()


@contextmanager
def _daq_killed_twice(scene: Scene, rng: Random) -> Iterator[None]:
    _kill(scene.daq)
    scene.start_daq()
    wait_until(lambda: scene.status().get("state") == "running", "the resumed run")
    _kill(scene.daq)
    yield
    scene.start_daq()


@contextmanager
def _daq_killed_log_torn(scene: Scene, rng: Random) -> Iterator[None]:
    """As if it had died within a write: half a block stands behind the last whole one."""
    _kill(scene.daq)
    with (scene.run / "raw.tmraw").open("ab") as file:
        file.write(b"TMBK" + rng.randbytes(rng.randrange(1, 300)))
    yield
    scene.start_daq()


@contextmanager
def _source_killed(scene: Scene, rng: Random) -> Iterator[None]:
    _kill(scene.source)
    yield
    scene.start_source()


@contextmanager
def _both_killed(scene: Scene, rng: Random) -> Iterator[None]:
    _kill(scene.source)
    _kill(scene.daq)
    yield
    scene.start_daq()
    scene.start_source()


@contextmanager
def _imager_killed(scene: Scene, rng: Random) -> Iterator[None]:
    imager = scene.start_imager()
    yield
    _kill(imager)


@contextmanager
def _imager_stopped(scene: Scene, rng: Random) -> Iterator[None]:
    imager = scene.start_imager()
    imager.send_signal(signal.SIGSTOP)
    yield
    _kill(imager)


@contextmanager
def _daq_told_to_end(scene: Scene, rng: Random) -> Iterator[None]:
    scene.daq.terminate()
    scene.daq.wait(60)
    scene.source.wait(60)  # the daq tells its sources to end, too
    yield
    scene.start_daq()
    scene.start_source()


@contextmanager
def _second_daq(scene: Scene, rng: Random) -> Iterator[None]:
    first, control = scene.daq, scene.control
    second = scene.start_second_daq()
    yield
    if second.wait(60) == 0:
        raise SceneError("a second daq at the same address ended well; it must be refused")
    assert (scene.daq, scene.control) == (first, control)


@contextmanager
def _second_source(scene: Scene, rng: Random) -> Iterator[None]:
    """It waits for the next run."""
    second = scene.start_spare_source()
    yield
    _kill(second)


def _stopped(name: str) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        process: subprocess.Popen[bytes] = getattr(scene, name)
        process.send_signal(signal.SIGSTOP)
        yield
        process.send_signal(signal.SIGCONT)

    return inject


PROCESSES = (
    Kind("daq killed", _daq_killed),
    Kind("daq killed twice", _daq_killed_twice),
    Kind("daq killed in mid-write", _daq_killed_log_torn),
    Kind("source killed", _source_killed, lasts_s=(3.2, 4.0), ends_run=True),
    Kind("daq and source killed", _both_killed, ends_run=True),
    Kind("daq told to end", _daq_told_to_end, ends_run=True),
    Kind("daq stopped for a moment", _stopped("daq")),
    Kind("daq stopped for seconds", _stopped("daq"), lasts_s=(3.5, 5.0)),
    Kind("source stopped for a moment", _stopped("source")),
    Kind("source stopped for seconds", _stopped("source"), lasts_s=(3.5, 5.0)),
    Kind("imager killed", _imager_killed, lasts_s=(1.0, 4.0)),
    Kind("imager stopped", _imager_stopped, lasts_s=(1.0, 4.0)),
    Kind("second daq at the address", _second_daq),
    Kind("second source", _second_source, lasts_s=(2.0, 4.0)),
)
