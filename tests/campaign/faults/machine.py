"""What the machine runs short of: descriptors, memory, processor, size of files, the right time."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

from campaign.faults.disk import shim
from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene


def _limited(which: int, soft: int) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        before = resource.prlimit(scene.daq.pid, which)
        resource.prlimit(scene.daq.pid, which, (soft, before[1]))
        try:
            yield
        finally:
            if scene.daq.poll() is None:
                resource.prlimit(scene.daq.pid, which, before)

    return inject


@contextmanager
def _no_descriptors(scene: Scene, rng: Random) -> Iterator[None]:
    """No descriptor more than the daq has open. (Of less than it waits for, the system says that
    its call is invalid, which no exhausted process ever hears.)
    """
    used = {int(path.name) for path in Path(f"/proc/{scene.daq.pid}/fd").iterdir()}
    free = next(number for number in range(len(used) + 1) if number not in used)
    with _limited(resource.RLIMIT_NOFILE, free)(scene, rng):
        yield


@contextmanager
def _little_memory(scene: Scene, rng: Random) -> Iterator[None]:
    """No page more than the daq has now."""
    pages = int(Path(f"/proc/{scene.daq.pid}/statm").read_text(encoding="ascii").split()[0])
    with _limited(resource.RLIMIT_AS, pages * resource.getpagesize())(scene, rng):
        yield


@contextmanager
def _busy(scene: Scene, rng: Random) -> Iterator[None]:
    argv = [sys.executable, "-c", "while True: pass"]
    hogs = [subprocess.Popen(argv) for _ in range(4)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait(20)


MACHINE = (
    Kind("no descriptors left", _no_descriptors, lasts_s=(0.5, 2.0)),
    Kind("files must not grow", _limited(resource.RLIMIT_FSIZE, 4096), ends_run=True),
    Kind("no memory left", _little_memory, lasts_s=(0.5, 2.0)),
    Kind("processor taken by others", _busy, lasts_s=(1.0, 2.0)),
    Kind("clock stepped ahead by a day", shim(clock_s=86400), needs="gcc"),
    Kind("clock stepped back by a day", shim(clock_s=-86400), needs="gcc"),
)
