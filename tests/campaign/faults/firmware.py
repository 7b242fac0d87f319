"""Modules whose firmware hangs, dies or is being updated, lines that are pulled, link processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random

from campaign.faults.kind import Inject, Kind
from campaign.firmware_scene import MODULES, FirmwareScene
from campaign.scene import Scene
from hw.machines.native import Native

Injected = Callable[[FirmwareScene, Random], AbstractContextManager[None]]


def _of_firmware(inject: Injected) -> Inject:
    """Kinds of this file are only ever given a scene with firmware."""

    def checked(scene: Scene, rng: Random) -> AbstractContextManager[None]:
        assert isinstance(scene, FirmwareScene)
        return inject(scene, rng)

    return checked


@contextmanager
def _hang(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    machine = rng.choice(scene.machines)
    assert isinstance(machine, Native)
    os.kill(machine.pid, signal.SIGSTOP)
    yield
    os.kill(machine.pid, signal.SIGCONT)


@contextmanager
def _reset(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    rng.choice(scene.machines).reset()
    yield


@contextmanager
def _without_power(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    machine = rng.choice(scene.machines)
    machine.power(False)
    yield
    machine.power(True)


@contextmanager
def _unplugged(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    plug = rng.choice(scene.plugs)
    plug.unplug()
    yield
    plug.plug()


@contextmanager
def _link_killed(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    assert scene.link is not None
    scene.link.kill()
    scene.link.wait(20)
    yield
    scene.start_link()


@contextmanager
def _hits_killed(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    """Who makes the hits is no source: modules go on, with nothing to see."""
    scene.source.kill()
    scene.source.wait(20)
    yield
    scene.start_source()


@contextmanager
def _update_cut(scene: FirmwareScene, rng: Random) -> Iterator[None]:
    """Between runs: the module must come up with one of its two images."""
    module = rng.randrange(MODULES)
    order = scene.update_in_background(module)
    time.sleep(rng.uniform(0.0, 1.5))
    cut = rng.choice((scene.machines[module].reset, scene.plugs[module].unplug))
    cut()
    yield
    scene.plugs[module].plug()
    order.join(40)
    scene.settle()


def _kind(name: str, inject: Injected, **more: object) -> Kind:
    return Kind(name, _of_firmware(inject), firmware=True, **more)  # type: ignore[arg-type]


FIRMWARE = (
    _kind("firmware hangs", _hang, lasts_s=(0.5, 3.0)),
    _kind("module with firmware reset", _reset),
    _kind("module without power", _without_power, lasts_s=(0.3, 2.0)),
    _kind("serial line unplugged", _unplugged, lasts_s=(0.5, 3.0)),
    _kind("link process killed", _link_killed, ends_run=True),
    _kind("source of hits killed", _hits_killed, ends_run=True),
    _kind("update of the firmware cut", _update_cut, before_run=True),
)
