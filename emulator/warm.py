"""Compiles every kernel of the emulator, in one process, with the types used live."""

from __future__ import annotations

from emulator.config import EmulatorConfig
from emulator.emulation import prepare, rehearse


def warm_kernels() -> None:
    """Emulate two periods of a weak point source on the bench: this runs every kernel."""
    rehearse(prepare(EmulatorConfig(scanner="bench2", phantom="point")))
