"""Compiles every kernel of the emulator, in one process, with the types used live."""

from __future__ import annotations

from emulator.config import EmulatorConfig
from emulator.emulation import rehearse
from emulator.instrument import prepare


def warm_kernels() -> None:
    """Emulate two periods of a weak point source on a noisy bench: this runs every kernel."""
    config = EmulatorConfig(scanner="bench2", phantom="point", lutetium=True, noisy_crystals=1)
    rehearse(prepare(config))
