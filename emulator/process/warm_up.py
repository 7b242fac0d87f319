"""Compiles the emulator's kernels with the types used live: of one engine each."""

from __future__ import annotations

from dataclasses import replace

from emulator.config import EmulatorConfig
from emulator.engines.emulation import rehearse
from emulator.engines.instrument import Instrument
from emulator.engines.library_build import build_library
from emulator.engines.prepare import prepare
from emulator.library.kernel_tables import library_tables


def _bench() -> Instrument:
    return prepare(
        EmulatorConfig(scanner="bench2", phantom="point", lutetium=True, noisy_crystals=1)
    )


def warm_pet() -> None:
    """Emulate two periods of a point source on a noisy bench."""
    rehearse(_bench())


def warm_library() -> None:
    """Emulate two periods from a library."""
    bench = _bench()
    library = library_tables(build_library(bench, decays=2000), bench.response, bench.scanner)
    rehearse(replace(bench, library=library))


def warm_spect() -> None:
    """Emulate two periods of a gamma camera."""
    rehearse(prepare(EmulatorConfig(scanner="gamma_head_lehr", phantom="point", nuclide="Tc-99m")))
