"""Refuses settings that no table is needed to refuse, in a fraction of a second."""

from __future__ import annotations

from emulator.config import EmulatorConfig, check_config
from emulator.detector.miscalibration import choose_faulty
from emulator.detector.truth_file import check_truth
from emulator.engines.instrument import check_library
from emulator.hit_mode import check_hit_mode
from emulator.physics.emission import load_source
from emulator.process.run_faults import check_faults
from emulator.spect.gantry_motion import load_spect_motion
from emulator.spect.refusals import check_collimator
from hw.scanner.description import load_scanner


def check_settings(config: EmulatorConfig) -> None:
    """Refuse what cannot be emulated, as far as scanner, source and settings tell.

    Phantom, curves, motion and the rate on the links are looked at by ``prepare`` and
    ``check_links``.

    Raises
    ------
    EmulationError, ScannerError, NuclideError
        naming the setting, its value, the bound and the remedy.
    """
    check_config(config)
    check_hit_mode(config)
    check_library(config)
    check_truth(config)
    scanner = load_scanner(config.scanner)
    check_collimator(config, scanner, load_source(config.nuclide))
    choose_faulty(config, scanner)
    load_spect_motion(config.gantry, scanner)
    check_faults(config.faults, scanner)
