"""What modules and links do wrong, by the emulator's own physics (docs/emulator/faults.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from campaign.faults.kind import Inject, Kind
from campaign.scene import Scene


def _set(text: str) -> Inject:
    @contextmanager
    def inject(scene: Scene, rng: Random) -> Iterator[None]:
        scene.call("fault", action="set", text=text, timeout_s=30)
        yield

    return inject


LINKS = (
    Kind("frames corrupted", _set("corrupt=0.2:for=500ms")),
    Kind("frames cut", _set("truncate=0.2:for=500ms")),
    Kind("frames of another version", _set("wrong_version=0.2:for=500ms")),
    Kind("frames of an unknown module", _set("unknown_module=0.2:for=500ms")),
    Kind("frames lost", _set("drop=0.2:for=500ms")),
    Kind("frames repeated", _set("duplicate=0.3:for=500ms")),
    Kind("frames reordered", _set("reorder=0.3:for=500ms")),
    Kind("link stalls", _set("stalled_link:module=1,for=600ms")),
    Kind("link stalls for seconds", _set("stalled_link:module=1,for=2s"), lasts_s=(2.5, 3.5)),
    Kind("link vanishes", _set("vanished_link:module=0,for=800ms"), lasts_s=(1.0, 1.5)),
    Kind("all links vanish", _set("vanished_link:for=1s"), lasts_s=(1.2, 2.0)),
    Kind("module's clock drifts", _set("clock_drift:module=1,ppm=200,for=1s")),
    Kind("module's clock leaps far", _set("clock_leap:module=1,periods=1000,for=300ms")),
    Kind("module's clock leaps a little", _set("clock_leap:module=1,periods=10,for=300ms")),
    Kind("dead crystal", _set("dead_crystal:module=0,crystal=5,for=500ms")),
    Kind("noisy crystal", _set("noisy_crystal:module=0,crystal=5,Hz=50000,for=500ms")),
    Kind("burst of triggers", _set("burst:module=1,times=50,for=300ms")),
    Kind("module reset", _set("module_reset:module=0,off=100ms")),
    Kind("module becomes warm", _set("temperature_drift:module=1,K_per_s=10,for=1s")),
)
