"""Spectra of a run's raw singles per crystal, the input of every energy calibration.

Energies are as read out, before any correction. Memory: 512 bytes per crystal and line (25 MB for
49152 crystals), whatever the run's length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from coincidence.events import SINGLE
from daq.folder import raw_log as rawlog
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.raw_log import RawLogReader
from daq.folder.run_folder import run_config
from daq.path.decode import Decoder
from daq.path.frame_check import FrameChecker
from hw.arrays import F8, Array
from hw.jit import kernel
from hw.physics.constants import REFERENCE_KEV
from hw.scanner.description import Scanner
from hw.wire.protocol import HEADER_BYTES, WORD_BYTES

Spectra = npt.NDArray[np.uint32]
CrystalMap = npt.NDArray[np.uint16]
Progress = Callable[[int, int], None]

BINS = 128
ENERGIES = 65536  # of a single, in 0.1 keV
SATURATED_dkeV = 16383  # the event word's last energy: what is there has no place in a spectrum
LEAST_LINE_keV, MOST_LINE_keV = 50.0, 1300.0
"""Below 50 keV no module triggers; above 1300 keV, a peak that is 10 % off does not fit in the
event word (1638 keV) with its full width.
"""

_BIN_OF_511_keV, _FIRST_BIN = 5.0, 40


@dataclass(frozen=True)
class Grid:
    """Bins of a spectrum (BINS + 1 edges, keV), whose sizes may differ."""

    edges_keV: F8

    @property
    def centres_keV(self) -> F8:
        """The bins' middles."""
        return (self.edges_keV[1:] + self.edges_keV[:-1]) / 2

    def table(self) -> npt.NDArray[np.int16]:
        """Return the bin of each energy in 0.1 keV, (65536,) i2, −1 outside; an edge belongs to the
        bin above it.
        """
        energies = np.arange(ENERGIES)
        edges = np.rint(self.edges_keV * 10).astype(np.int64)
        found = np.searchsorted(edges, energies, side="right") - 1
        return np.where((found < BINS) & (energies < SATURATED_dkeV), found, -1).astype(np.int16)


@dataclass(frozen=True)
class LineGrid(Grid):
    """Bins around a photopeak: 0.39 to 1.64 of the line, for 511 keV 200 to 840 keV by 5 keV.

    A peak of 15 % FWHM is inside for read-out gains from 0.65 to 1.4.
    """

    line_keV: float

    @property
    def bin_keV(self) -> float:
        """Width of the bins."""
        return float(self.edges_keV[1] - self.edges_keV[0])

    @property
    def search_keV(self) -> tuple[float, float]:
        """Where the peak may be before calibration: gains from 0.71 to 1.55."""
        return 0.646 * self.line_keV, 1.409 * self.line_keV

    @property
    def widening(self) -> float:
        """By what factor a peak's relative width exceeds that at 511 keV: FWHM ∝ √E."""
        return float(np.sqrt(REFERENCE_KEV / self.line_keV))


def line_grid(line_keV: float) -> LineGrid:
    """Return the bins for a line; raises CalibrationSetError for one that cannot be measured."""
    if not LEAST_LINE_keV <= line_keV <= MOST_LINE_keV:
        raise CalibrationSetError(
            f"line {line_keV:g} keV: an energy calibration takes lines from {LEAST_LINE_keV:g} to "
            f"{MOST_LINE_keV:g} keV"
        )
    bin_dkeV = round(10 * _BIN_OF_511_keV * line_keV / REFERENCE_KEV)
    edges = (np.arange(BINS + 1) + _FIRST_BIN) * bin_dkeV / 10
    return LineGrid(edges, line_keV)


@kernel
def accumulate_spectra(singles: Array, bin_of: Array, spectra: Array) -> None:
    """Count singles into their crystals' spectra.

    singles : (n,) SINGLE; bin_of : (65536,) i2, −1 outside; spectra : (n_crystals, bins) u4
    """
    for i in range(singles.shape[0]):
        bin_ = bin_of[singles[i].energy]
        if bin_ >= 0:
            spectra[singles[i].crystal, bin_] += 1


def new_spectra(n_crystals: int) -> Spectra:
    """Return empty spectra (n_crystals, BINS) u4."""
    return np.zeros((n_crystals, BINS), dtype=np.uint32)


def spectra_of_run(
    folder: Path,
    grids: Sequence[Grid],
    *,
    crystal_map: CrystalMap | None = None,
    progress: Progress | None = None,
) -> list[Spectra]:
    """Return, for each grid, the spectra (n_crystals, BINS) u4 of a run's raw singles.

    Parameters
    ----------
    crystal_map : (n_modules, 4096) u2, for a scanner that sends raw positions

    Raises
    ------
    LogError
        if the raw log cannot be read.
    CalibrationSetError
        if the scanner sends raw positions and there is no map.
    """
    tables = [grid.table() for grid in grids]
    found = [new_spectra(run_config(folder).scanner().n_crystals) for _ in grids]
    for singles in singles_of_run(folder, crystal_map=crystal_map, progress=progress):
        for table, spectra in zip(tables, found, strict=True):
            accumulate_spectra(singles, table, spectra)
    return found


def counts_of_run(
    folder: Path, *, crystal_map: CrystalMap | None = None, progress: Progress | None = None
) -> npt.NDArray[np.int64]:
    """Return the number of singles of each crystal in a run, (n_crystals,); as spectra_of_run."""
    n = run_config(folder).scanner().n_crystals
    everything = np.zeros(ENERGIES, np.int16)
    found = np.zeros((n, 1), np.uint32)
    for singles in singles_of_run(folder, crystal_map=crystal_map, progress=progress):
        accumulate_spectra(singles, everything, found)
    return found[:, 0].astype(np.int64)


def singles_of_run(
    folder: Path, *, crystal_map: CrystalMap | None = None, progress: Progress | None = None
) -> Iterator[npt.NDArray[np.void]]:
    """Yield a run's raw singles, (n,) SINGLE, uncorrected and in order of arrival.

    Each array is valid until the next one. Raises as spectra_of_run.
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    scanner = run_config(folder).scanner()
    check_map(scanner, crystal_map)
    checker = FrameChecker(n_modules=scanner.n_modules, run_tag=reader.head["run_tag"])
    decoder = Decoder(
        n_modules=scanner.n_modules,
        crystals_per_module=scanner.crystals_per_module,
        crystal_map=crystal_map,
    )
    singles = np.empty(0, SINGLE)
    total, done = (folder / rawlog.FILE_NAME).stat().st_size, 0
    for frames in reader:
        checked = checker.check(frames, recorded=True)
        words = (len(checked.payload) - HEADER_BYTES * len(checked)) // WORD_BYTES
        if words > len(singles):
            singles = np.empty(2 * words, SINGLE)
        yield singles[: decoder.decode(checked, singles)]
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)


def check_map(scanner: Scanner, crystal_map: CrystalMap | None) -> None:
    """Raise CalibrationSetError if the scanner sends raw positions and there is no map."""
    if scanner.response.position_readout == "raw" and crystal_map is None:
        raise CalibrationSetError(
            f"{scanner.name} sends raw positions, not crystals: make the look-up first with "
            "`tomoshibi calibrate flood`, and give its set with --calibration"
        )
