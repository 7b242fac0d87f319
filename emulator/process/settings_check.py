"""Refuses unusable settings before a run begins: impossible ones, and data rates beyond the links.

``check_settings`` needs no tables and takes a fraction of a second. ``check_links`` emulates a few
decays to find each module's triggers per decay, and from these, with dead time, the events it would
send at the activity asked for; a refusal names the highest activity that fits. Faults and kinetics
that raise the rate later are not foreseen: what then does not fit a frame is counted as lost in the
module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError, EmulatorConfig, check_config, check_hit_mode
from emulator.detector.digitizer import DigitizerTables, digitizer_tables
from emulator.detector.miscalibration import choose_faulty
from emulator.detector.truth_file import check_truth
from emulator.engines.emulation import Emulation
from emulator.engines.instrument import Instrument
from emulator.engines.prepare import check_library
from emulator.physics.emission import load_source
from emulator.process.run_faults import check_faults
from emulator.slices import PERIOD_S
from emulator.spect.gantry_motion import load_spect_motion
from emulator.spect.refusals import check_collimator
from hw.scanner.preset_file import load_scanner
from hw.scanner.serial import serial_of
from hw.wire.protocol import HEADER_BYTES, MAX_EVENTS, WORD_BYTES


def check_settings(config: EmulatorConfig) -> None:
    """Refuse what the scanner, source and settings alone show to be impossible.

    ``prepare`` checks phantom, curves and motion; ``check_links`` checks the rate on the links.

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
    choose_faulty(config, scanner, serial=serial_of(config.serial, scanner))
    load_spect_motion(config.gantry, scanner)
    check_faults(config.faults, scanner)


MODULE_BYTES_PER_S = 125e6
"""A module's link: Gigabit Ethernet."""

SCANNER_BYTES_PER_S = 1.25e9
"""All links together: a host's 10 Gigabit Ethernet."""

TRIAL_DECAYS = 20_000
_TRIAL_SLICES = 3


@dataclass(frozen=True)
class LinkBudget:
    """Expected triggers of each module: ``per_decay`` · activity + ``background_cps``."""

    per_decay: npt.NDArray[np.float64]
    background_cps: npt.NDArray[np.float64]
    tables: DigitizerTables

    def events_cps(self, activity_Bq: float) -> npt.NDArray[np.float64]:
        """Return the events per second that each module sends, after dead time, (modules,)."""
        triggers = self.per_decay * activity_Bq + self.background_cps
        busy_s = max(self.tables.dead_time_ps, self.tables.integration_ps) * 1e-12
        if self.tables.paralysable:
            return np.asarray(triggers * np.exp(-triggers * busy_s))
        return np.asarray(triggers / (1.0 + triggers * busy_s))

    def too_much(self, activity_Bq: float) -> str:
        """Say which limit an activity would exceed; "" if it fits."""
        events = self.events_cps(activity_Bq)
        module_Bps = events * WORD_BYTES + HEADER_BYTES / PERIOD_S
        busiest = int(np.argmax(events))
        per_frame = events[busiest] * PERIOD_S
        if per_frame + 5.0 * math.sqrt(per_frame) > MAX_EVENTS:
            return (
                f"module {busiest} would have {per_frame:.0f} events in a data frame, which holds "
                f"{MAX_EVENTS}"
            )
        if module_Bps[busiest] > MODULE_BYTES_PER_S:
            return (
                f"module {busiest} would send {module_Bps[busiest] / 1e6:.0f} MB/s, its link "
                f"carries {MODULE_BYTES_PER_S / 1e6:.0f}"
            )
        if module_Bps.sum() > SCANNER_BYTES_PER_S:
            return (
                f"all modules together would send {module_Bps.sum() / 1e6:.0f} MB/s, the links "
                f"carry {SCANNER_BYTES_PER_S / 1e6:.0f}"
            )
        return ""

    def most_Bq(self, activity_Bq: float) -> float:
        """Return roughly the highest activity, below a refused one, that fits."""
        low, high = 0.0, activity_Bq
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (low, middle) if self.too_much(middle) else (middle, high)
        return low


def link_budget(instrument: Instrument, config: EmulatorConfig) -> LinkBudget:
    """Estimate what each module will send, from a few trial slices."""
    trial_Bq = min(TRIAL_DECAYS / PERIOD_S, config.activity_Bq)
    background = _triggers_cps(instrument, 1e-3, config.seed)
    present = _triggers_cps(instrument, trial_Bq, config.seed)
    per_decay = np.maximum(present - background, 0.0) / trial_Bq
    return LinkBudget(per_decay, background, digitizer_tables(instrument.scanner))


def _triggers_cps(instrument: Instrument, activity_Bq: float, seed: int) -> npt.NDArray[np.float64]:
    emulation = Emulation(instrument, activity_Bq=activity_Bq, seed=seed)
    triggers = np.zeros(instrument.scanner.n_modules)
    for index in range(_TRIAL_SLICES):
        hits = emulation.emulate_slice(index).hits
        triggers += np.bincount(hits["module"], minlength=len(triggers))
    return triggers / (_TRIAL_SLICES * PERIOD_S)


def check_links(instrument: Instrument, config: EmulatorConfig) -> None:
    """Refuse an activity that the links cannot carry.

    Raises
    ------
    EmulationError
        naming the activity, what it would exceed and the most that fits.
    """
    budget = link_budget(instrument, config)
    exceeded = budget.too_much(config.activity_Bq)
    if exceeded:
        most_MBq = budget.most_Bq(config.activity_Bq) / 1e6
        raise EmulationError(
            f"activity of {config.activity_Bq / 1e6:g} MBq: {exceeded}; at most about "
            f"{most_MBq:.3g} MBq of {config.nuclide} in this phantom fit (--activity-MBq)"
        )
