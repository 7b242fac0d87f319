"""Compiles every emulator kernel in one process, with the types that a run uses."""

from __future__ import annotations

from dataclasses import replace

from emulator.config import EmulatorConfig
from emulator.engines.emulation import rehearse
from emulator.engines.library_build import build_library
from emulator.engines.prepare import prepare
from emulator.library.kernel_tables import library_tables


def warm_kernels() -> None:
    """Emulate two periods of a point source on a noisy bench, decay by decay and from a
    library, and two of a gamma camera."""
    config = EmulatorConfig(scanner="bench2", phantom="point", lutetium=True, noisy_crystals=1)
    bench = prepare(config)
    rehearse(bench)
    library = library_tables(build_library(bench, decays=2000), bench.response, bench.scanner)
    rehearse(replace(bench, library=library))
    rehearse(prepare(EmulatorConfig(scanner="gamma_head_lehr", phantom="point", nuclide="Tc-99m")))
