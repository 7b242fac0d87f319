"""Singles and calibrated spectra of each crystal of a stored run, in one pass over its raw log.

Energies are those that the run's own calibration makes of them (``coincidence.select``), of all
crystals: masked ones are looked at too. Memory: 512 bytes a crystal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from coincidence.calibration import Calibration, no_calibration
from coincidence.select import COINCIDENCE_BIT, ENERGIES, Selector, WindowTable
from daq.calibration.energy_spectra import (
    BINS,
    Grid,
    Progress,
    accumulate_spectra,
    new_spectra,
    singles_of_run,
)
from hw.arrays import I8, U4
from hw.scanner.description import Scanner
from hw.scanner.geometry import build_geometry


@dataclass(frozen=True)
class MeasuredSpectra:
    """spectra : (n_crystals, BINS) u4 of calibrated energies
    counts : (n_crystals,) singles of any energy
    """

    grid: Grid
    spectra: U4
    counts: I8

    def of_modules(self, n_modules: int) -> I8:
        """Return the spectra of whole modules, (n_modules, BINS)."""
        summed = self.spectra.reshape(n_modules, -1, BINS).sum(axis=1, dtype=np.int64)
        return np.asarray(summed)


def measure_spectra(
    folder: Path,
    scanner: Scanner,
    grid: Grid,
    calibration: Calibration | None,
    *,
    progress: Progress | None = None,
) -> MeasuredSpectra:
    """Return the spectra of a run's singles.

    Parameters
    ----------
    calibration : of the run; None for energies as read out

    Raises
    ------
    LogError
        if the raw log cannot be read.
    CalibrationSetError
        if the scanner sends raw positions and there is no map.
    """
    known = calibration or no_calibration(scanner.n_crystals)
    unmasked = replace(known, masked=np.zeros(scanner.n_crystals, np.bool_))
    everything = WindowTable(
        np.full((2, ENERGIES), COINCIDENCE_BIT, np.uint8), np.ones(scanner.n_modules, np.uint16)
    )
    selector = Selector(unmasked, everything, build_geometry(scanner).crystal_module)
    spectra, counts = new_spectra(scanner.n_crystals), np.zeros(scanner.n_crystals, np.int64)
    bin_of = grid.table()
    for singles in singles_of_run(folder, crystal_map=known.crystal_map, progress=progress):
        calibrated = selector.select(singles)
        accumulate_spectra(calibrated, bin_of, spectra)
        counts += np.bincount(calibrated["crystal"], minlength=scanner.n_crystals)
    return MeasuredSpectra(grid, spectra, counts)
