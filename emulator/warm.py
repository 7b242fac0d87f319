"""Compiles every kernel of the emulator, in one process, with the types used live."""

from __future__ import annotations

from collections import deque

from emulator.config import EmulatorConfig
from emulator.emulation import frames_of_run, prepare


def warm_kernels() -> None:
    """Emulate two periods of a weak point source on the bench: this runs every kernel."""
    config = EmulatorConfig(scanner="bench2", phantom="point", activity_Bq=1e4)
    deque(frames_of_run(prepare(config), config, periods=2), maxlen=0)
