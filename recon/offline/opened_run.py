"""A run's folder opened for inspection and reconstruction: the starting point in a notebook.

Everything is read on first use. Times are detector time since the run's start, in ps in records and
in s elsewhere; energies are in keV (0.1 keV in records), lengths in mm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from daq.folder import listmode_log, raw_log, singles_log
from daq.folder.calibration_set import CalibrationSet
from daq.folder.listing.catalogue import Catalogue
from daq.folder.listmode_log import ListmodeReader
from daq.folder.run_config import RunConfig
from daq.folder.run_folder import (
    CONFIG_NAME,
    SUMMARY_NAME,
    own_calibration,
    run_config,
    started_at,
)
from daq.folder.singles_log import SinglesReader
from hw.arrays import Records
from hw.bounded_files import FileRefused, read_object
from hw.messages.sort_settings import EnergyWindow, SortSettings
from hw.physics.nuclides import Nuclide, nuclide_of
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, build_geometry
from hw.wire.block_layout import BlockKind
from recon.core.grid import ImageGrid, ReconError
from recon.core.scanner_tables import ReconSystem
from recon.core.tof import TofModel
from recon.offline.event_blocks import EventBlocks, blocks_of, raw_singles
from recon.offline.options import ReconOptions
from recon.offline.run_data import RunData
from recon.offline.run_model import RunModel, checked_options
from recon.offline.run_reader import run_data
from recon.spect.run import SpectRun
from recon.spect.run_input import spect_run

NO_MAP: npt.NDArray[np.uint16] = np.zeros((0, 0), dtype=np.uint16)


def open_run(run: str | Path = "last", *, runs: str | Path | None = None) -> Run:
    """Open a run.

    Parameters
    ----------
    run : str or Path
        Its folder or name, or ``last`` for the newest, also in another place: ``elsewhere/last``.
    runs : str or Path, optional
        Where runs are kept; default ``$TOMOSHIBI_RUNS``, or ``./runs`` if that is not set.

    Returns
    -------
    Run

    Raises
    ------
    ReconError
        if there is no such run.

    Examples
    --------
    >>> run = open_run("runs/last")          # doctest: +SKIP
    >>> run.scanner.name, run.duration_s     # doctest: +SKIP
    ('caremibrain', 30.0)
    """
    path = Path(run)
    root = Path(runs or os.environ.get("TOMOSHIBI_RUNS", "runs"))
    for folder in (path, root / path):
        if (folder / CONFIG_NAME).is_file():
            return Run(folder)
    if path.name != "last":
        raise ReconError(
            f"{run} is not a run: there is no {CONFIG_NAME} in it, nor in {root / path}. "
            '`tomoshibi runs` lists them; "last" is the newest'
        )
    root = root if str(run) == "last" else path.parent
    rows = Catalogue(root).rows()
    if not rows:
        raise ReconError(f"there are no runs in {root}: `tomoshibi demo` makes one")
    return Run(root / rows[0].name)


class Run:
    """One run: its settings, its events, and what its lines are expected to hold.

    Open it with :func:`open_run`. Records are structured numpy arrays (docs/file-format.md);
    methods that return :class:`EventBlocks` copy nothing.

    Attributes
    ----------
    folder : Path
        The run's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.config: RunConfig = run_config(self.folder)

    def __repr__(self) -> str:
        return f"Run({self.name!r}: {self.modality}, {self.scanner.name}, {self.folder})"

    # --- what it was --------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @cached_property
    def scanner(self) -> Scanner:
        """The scanner preset, as used."""
        return self.config.scanner()

    @property
    def modality(self) -> Literal["PET", "SPECT"]:
        """PET (coincidences) or SPECT (singles behind collimators)."""
        return self.scanner.modality

    @cached_property
    def geometry(self) -> Geometry:
        """Positions of crystals and modules, mm: ``crystal_front_mm`` (n_crystals, 3) and more."""
        return build_geometry(self.scanner)

    @cached_property
    def grid(self) -> ImageGrid:
        """The image's voxels: ``shape`` (x, y, z), ``voxel_mm``, ``origin_mm``."""
        return ImageGrid(self.scanner.image.shape, self.scanner.image.voxel_mm)

    @property
    def tof(self) -> TofModel | None:
        """The projector's time-of-flight model; None if the scanner has no TOF."""
        return ReconSystem.of(self.scanner, geometry=self.geometry).tof

    @property
    def settings(self) -> SortSettings:
        """Sorting settings: energy window, coincidence window, delayed windows, policy."""
        return self.config.settings

    @property
    def energy_window_keV(self) -> tuple[float, float]:
        """LLD and ULD of singles for coincidences, both inclusive."""
        return self.settings.lld_keV, self.settings.uld_keV

    @property
    def windows(self) -> tuple[EnergyWindow, ...]:
        """Energy windows of singles; number k in a single's flags is ``windows[k - 1]``."""
        return self.settings.singles_windows

    @property
    def labels(self) -> dict[str, Any]:
        """Free-text labels of the run: nuclide, activity_MBq, phantom, seed, …"""
        return self.config.labels

    @property
    def nuclide(self) -> Nuclide | None:
        """The nuclide that the labels name, with half-life and lines, or None."""
        return nuclide_of(self.labels)[0]

    @cached_property
    def summary(self) -> dict[str, Any]:
        """The contents of ``summary.json``: counts, rates, books; empty while a run is open."""
        try:
            return read_object(self.folder / SUMMARY_NAME)
        except FileRefused:
            return {}

    @property
    def start(self) -> datetime | None:
        """Wall-clock time (UTC) of detector time 0."""
        return started_at(self.folder)

    @property
    def duration_s(self) -> float:
        """Duration in detector time."""
        if self.modality == "PET":
            return self.data.duration_s
        last_ps = (int(block["time_ps"].max()) for block in self.singles())
        return self.spect_data().end_s or max(last_ps, default=0) * 1e-12

    @cached_property
    def calibration(self) -> CalibrationSet | None:
        """The calibration set used for sorting, or None."""
        return own_calibration(self.folder)

    # --- its events ---------------------------------------------------------------------------

    def prompts(self) -> EventBlocks:
        """Return the prompts, ``COINCIDENCE`` records (32 bytes).

        ``time_ps`` i8 · ``crystal_a`` < ``crystal_b`` u4, index into the geometry · ``tof_ps`` i4 =
        t_b − t_a · ``energy_a``, ``energy_b`` u2 in 0.1 keV · ``doi_a``, ``doi_b`` u1 depth bins
        """
        return self._coincidences[BlockKind.PROMPTS]

    def delayeds(self) -> EventBlocks:
        """Return the delayeds, ``COINCIDENCE`` records of the delayed windows.

        Their number is ``settings.delayed_factor`` times the randoms expected among the prompts.
        """
        return self._coincidences[BlockKind.DELAYEDS]

    def triples(self) -> EventBlocks:
        """Return the triples, ``TRIPLE`` records (40 bytes), if the run stored them."""
        return self._coincidences[BlockKind.TRIPLES]

    def singles(self) -> EventBlocks:
        """Return the windowed singles, ``SINGLE`` records (16 bytes), calibrated, in order of time.

        ``time_ps`` i8 · ``crystal`` u4 · ``energy`` u2 in 0.1 keV · ``flags`` u1, whose upper six
        bits are the window's number (:attr:`windows`) · ``doi`` u1

        Raises
        ------
        ReconError
            if the run was recorded without energy windows for singles, like most PET runs:
            :meth:`raw_singles` has everything the modules sent.
        """
        return self._windowed[BlockKind.SINGLES]

    def angles(self) -> EventBlocks:
        """Return module angles and when each was reached, ``ANGLE`` records (16 bytes), in 0.001°.

        ``coincidence.events.angles_of_singles`` gives each single its angle.
        """
        return self._windowed[BlockKind.ANGLES]

    def raw_singles(self) -> Iterator[Records]:
        """Yield all singles as the modules sent them, block by block of the raw log.

        They are neither calibrated nor selected, and in order of arrival, not of time. The raw log
        has packed words of 8 bytes, so these ``SINGLE`` records are unpacked copies.
        """
        known = self.calibration
        return raw_singles(
            self.folder,
            self.scanner.crystals_per_module,
            known.crystal_map if known is not None and len(known.crystal_map) else NO_MAP,
        )

    @cached_property
    def _coincidences(self) -> dict[BlockKind, EventBlocks]:
        path = self.folder / listmode_log.FILE_NAME
        if not path.exists():
            raise ReconError(
                f"{self.name} has no {path.name}: sort its raw log again: "
                f"tomoshibi sort {self.folder} --output {path}"
            )
        return blocks_of(ListmodeReader(path), path)

    @cached_property
    def _windowed(self) -> dict[BlockKind, EventBlocks]:
        path = self.folder / singles_log.FILE_NAME
        if not path.exists():
            raise ReconError(
                f"{self.name} has no {path.name}: it was recorded without energy windows for "
                f"singles. raw_singles() reads {raw_log.FILE_NAME}; to select them by energy, "
                f"sort again: tomoshibi sort {self.folder} --window all=100:700 --output FILE.tmlm"
            )
        return blocks_of(SinglesReader(path), path)

    # --- what its lines are expected to hold --------------------------------------------------

    @cached_property
    def data(self) -> RunData:
        """The PET measurement with the run's own µ map and normalisation, as the engine reads it.

        Raises
        ------
        ReconError
            for SPECT runs, and if the list-mode log is missing or damaged.
        """
        return run_data(self.folder)

    def spect_data(self) -> SpectRun:
        """Return the SPECT measurement as the engine reads it; its singles can be read once."""
        return spect_run(self.folder)

    def model(
        self,
        *,
        progress: Callable[[str, float], None] = lambda what, share: None,
        **options: Any,
    ) -> RunModel:
        """Return what a PET run's lines are expected to hold: factors, background, sensitivity.

        :func:`recon.reconstruct` iterates on the same model, made by the same code. µ map, randoms
        and scatter are estimated here, once, so this takes as long as the first part of a
        reconstruction.

        Parameters
        ----------
        progress : callable, optional
            Called with the current step and the share done, for instance ``print``.
        **options
            Fields of :class:`ReconOptions`: which corrections are wanted.
            :attr:`RunModel.corrections` tells which were not possible.

        Raises
        ------
        ReconError
            for SPECT runs, unknown options, and data that cannot be used.
        """
        asked = checked_options(ReconOptions, "PET", options)
        return RunModel.of(self.data, asked, progress=progress)
