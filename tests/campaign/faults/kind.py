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
    needs : "gcc", "mount" or nothing
    """

    name: str
    inject: Inject
    lasts_s: tuple[float, float] = (0.2, 1.0)
    ends_run: bool = False
    needs: str = ""

    def cannot(self, scene: Scene) -> str:
        """Return why the fault cannot be injected here, "" where it can."""
        if self.needs == "gcc" and not scene.shim.here:
            return "needs gcc"
        if self.needs == "mount" and not scene.mounted:
            return "needs the right to mount a tmpfs"
        return ""
