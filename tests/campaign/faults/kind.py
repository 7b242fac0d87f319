"""What a kind of fault is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from random import Random

from campaign.scene import Scene

Inject = Callable[[Scene, Random], AbstractContextManager[None]]


@dataclass(frozen=True)
class Kind:
    """A fault that lasts as long as the context that ``inject`` gives.

    lasts_s : least and greatest time between injection and its end
    ends_run : whether the run may end by it; it must still be whole, and the next one work
    before_run : it is injected and undone before the run begins
    firmware : it needs modules with firmware
    needs : "gcc", "mount", "ext4" or nothing
    """

    name: str
    inject: Inject
    lasts_s: tuple[float, float] = (0.2, 1.0)
    ends_run: bool = False
    before_run: bool = False
    firmware: bool = False
    needs: str = ""

    def cannot(self, scene: Scene) -> str:
        """Return why the fault cannot be injected here, "" where it can."""
        if self.needs == "gcc" and not scene.shim.here:
            return "needs gcc"
        if self.needs == "mount" and not scene.disk.kind:
            return "needs the right to mount a tmpfs"
        if self.needs == "ext4" and scene.disk.kind != "ext4":
            return "needs mkfs.ext4 and the right to mount it"
        return ""
