"""What stays the same from run to run: scanner, phantom, source and their tables, made once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.config import EmulatorConfig, check_config
from emulator.crystal_tracking import detector_tables
from emulator.emission import Source, emission_tables, load_source
from emulator.lutetium import LutetiumTables, lutetium_tables
from emulator.miscalibration import Truth, choose_faulty, truth_of
from emulator.noise import NoiseTables, noise_tables
from emulator.object_tracking import object_tables
from emulator.phantoms import Phantom, make_phantom
from emulator.response import ResponseTables, response_tables
from emulator.source_sampling import source_tables
from emulator.transport import TransportTables
from hw.scanner import Scanner, load_scanner


@dataclass(frozen=True)
class Instrument:
    """What stays the same from run to run, and takes a second to prepare."""

    scanner: Scanner
    phantom: Phantom
    source: Source
    tables: TransportTables
    truth: Truth
    lutetium: LutetiumTables | None = None
    noise: NoiseTables | None = None

    @property
    def response(self) -> ResponseTables:
        """The response as the kernels see it; ``truth`` names what a calibration has to find."""
        return self.tables.response


def prepare(config: EmulatorConfig, *, phantom: Phantom | None = None) -> Instrument:
    """Return the instrument of a configuration; ``phantom`` stands in for the named one."""
    check_config(config)
    scanner = load_scanner(config.scanner)
    source = load_source(config.nuclide)
    dead, noisy = choose_faulty(config, scanner)
    phantom = phantom or make_phantom(config.phantom, scanner)
    tables = TransportTables(
        source=source_tables(phantom),
        matter=object_tables(phantom, trigger_keV=config.trigger_keV),
        detector=detector_tables(scanner),
        response=response_tables(
            scanner, seed=config.seed, trigger_keV=config.trigger_keV, dead=dead
        ),
        emission=emission_tables(source),
    )
    return Instrument(
        scanner=scanner,
        phantom=phantom,
        source=source,
        tables=tables,
        truth=truth_of(tables.response.crystals, scanner, dead=dead, noisy=noisy),
        lutetium=lutetium_tables(scanner) if config.lutetium else None,
        noise=_noise(config, scanner, noisy) if len(noisy) else None,
    )


def _noise(config: EmulatorConfig, scanner: Scanner, noisy: npt.NDArray[np.int64]) -> NoiseTables:
    return noise_tables(noisy, scanner, rate_Hz=config.noise_Hz, trigger_keV=config.trigger_keV)
