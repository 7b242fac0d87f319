"""The machine's power: what its disk did not get is gone, and every process of it with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from campaign.faults.kind import Kind
from campaign.scene import Scene


@contextmanager
def _of_the_daq(scene: Scene, rng: Random) -> Iterator[None]:
    """The source stands on another machine, keeps its frames and sends them again."""
    _cut(scene)
    yield
    scene.start_daq()


@contextmanager
def _of_all(scene: Scene, rng: Random) -> Iterator[None]:
    _cut(scene)
    scene.source.kill()
    scene.source.wait(20)
    yield
    scene.start_daq()
    scene.start_source()


def _cut(scene: Scene) -> None:
    """Stopped first: a daq without its machine has no time to see the disk fail and say so."""
    scene.daq.send_signal(signal.SIGSTOP)
    scene.disk.cut()
    scene.daq.kill()
    scene.daq.wait(20)
    scene.disk.back()


POWER = (
    Kind("power of the daq's machine cut", _of_the_daq, needs="ext4"),
    Kind("power of all cut", _of_all, lasts_s=(3.2, 4.0), ends_run=True, needs="ext4"),
)
