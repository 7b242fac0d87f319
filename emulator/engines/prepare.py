"""From a configuration to an instrument: checks and tabulates phantom, source and detector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig, check_config, check_hit_mode
from emulator.detector.crystal_tracking import detector_tables
from emulator.detector.miscalibration import choose_faulty, truth_of
from emulator.detector.noise import NoiseTables, noise_tables
from emulator.detector.response import response_tables
from emulator.detector.truth_file import check_truth
from emulator.engines.instrument import Instrument
from emulator.engines.library_build import Progress, with_library
from emulator.object.catalogue import make_phantom
from emulator.object.kinetics import Kinetics, check_peak, load_kinetics
from emulator.object.motion import ObjectMotion, check_motion, load_motion
from emulator.object.phantom import Phantom
from emulator.object.photon_tracking import object_tables
from emulator.object.source_sampling import source_tables
from emulator.pet.lutetium import lutetium_tables
from emulator.pet.pair_transport import TransportTables
from emulator.physics.emission import Source, emission_tables, load_source
from emulator.spect.camera_tables import SpectTables, spect_tables
from emulator.spect.gantry_motion import load_spect_motion
from emulator.spect.refusals import check_collimator
from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from hw.scanner.serial import serial_of


def prepare(
    config: EmulatorConfig,
    *,
    phantom: Phantom | None = None,
    scanner: Scanner | None = None,
    progress: Progress | None = None,
) -> Instrument:
    """Return the instrument of a configuration.

    ``phantom`` and ``scanner`` replace those named in the configuration; ``progress`` is called
    with the fraction done while an event library is made.
    """
    check_config(config)
    check_hit_mode(config)
    check_library(config)
    check_truth(config)
    scanner = scanner or load_scanner(config.scanner)
    source = load_source(config.nuclide)
    check_collimator(config, scanner, source)
    serial = serial_of(config.serial, scanner)
    dead, noisy = choose_faulty(config, scanner, serial=serial)
    phantom = phantom or make_phantom(config.phantom, scanner)
    tables = TransportTables(
        source=source_tables(phantom, by_region=bool(config.tac)),
        matter=object_tables(phantom, trigger_keV=config.trigger_keV),
        detector=detector_tables(scanner),
        response=response_tables(scanner, serial=serial, trigger_keV=config.trigger_keV, dead=dead),
        emission=emission_tables(source, positron_range=config.positron_range),
    )
    instrument = Instrument(
        scanner=scanner,
        phantom=phantom,
        source=source,
        tables=tables,
        truth=truth_of(tables.response.crystals, scanner, dead=dead, noisy=noisy),
        serial=serial,
        lutetium=lutetium_tables(scanner) if config.lutetium else None,
        noise=_noise(config, scanner, noisy) if len(noisy) else None,
        kinetics=_kinetics(config, phantom, source),
        motion=_motion(config, phantom, scanner),
        spect=_spect(scanner, source, tables) if scanner.modality == "SPECT" else None,
        spect_motion=load_spect_motion(config.gantry, scanner),
    )
    return with_library(instrument, config, progress) if config.library else instrument


def check_library(config: EmulatorConfig) -> None:
    """Raise EmulationError for anything that load mode cannot do."""
    if config.library and (config.tac or config.motion):
        raise EmulationError(
            "library: load mode replays decays of one object at rest with one distribution; leave "
            "tac and motion empty, or leave out the library to use the full Monte Carlo"
        )
    if config.library and config.truth:
        raise EmulationError(
            "truth: load mode keeps no truth of its events; leave truth empty, or leave out the "
            "library to use the full Monte Carlo"
        )


def _kinetics(config: EmulatorConfig, phantom: Phantom, source: Source) -> Kinetics | None:
    kinetics = load_kinetics(config.tac, phantom)
    if kinetics is not None:
        check_peak(kinetics, source, config.activity_Bq)
    return kinetics


def _motion(config: EmulatorConfig, phantom: Phantom, scanner: Scanner) -> ObjectMotion | None:
    motion = load_motion(config.motion, seed=config.seed)
    if motion is not None:
        check_motion(motion, phantom, scanner)
    return motion


def _spect(scanner: Scanner, source: Source, tables: TransportTables) -> SpectTables:
    return spect_tables(
        scanner, source, places=tables.source, matter=tables.matter, response=tables.response
    )


def _noise(config: EmulatorConfig, scanner: Scanner, noisy: npt.NDArray[np.int64]) -> NoiseTables:
    return noise_tables(noisy, scanner, rate_Hz=config.noise_Hz, trigger_keV=config.trigger_keV)
