"""A measurement as reconstruction reads it: records in parts, and facts about them.

Records are read repeatedly and never kept: memory does not depend on the length of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from daq.folder.run_identity import UNIDENTIFIED, RunIdentity
from hw.arrays import Records
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, build_geometry
from recon.core.frames import PS_PER_S, TimeSelection
from recon.core.grid import Image, ImageGrid
from recon.core.mu_map import resample
from recon.core.scanner_tables import ReconSystem

Parts = Callable[[float, float], Iterable[Records]]
"""Called with start and end (s); returns parts that hold at least the records of that time."""

PART_RECORDS = 500_000


@dataclass(frozen=True, kw_only=True)
class RunData:
    """One PET measurement.

    prompt_parts, delayed_parts : yield ``COINCIDENCE`` records in parts; delayed_parts is None
        without a delayed window
    duration_s : detector time
    delayed_factor : how often the delayed windows count the randoms
    pair_live_s : (modules, modules) live time of each module pair, or None where it is not known
    module_dead_s : how long each module was dead after triggers, or None where it is not known
    detector_s : the time that both are of
    uncalibrated : why no calibration set was applied, in words; "" where one was, or nobody knows
    efficiency, block_profile, geometric : normalisation of a calibration set, or None
    masked : (n_crystals,), not 0 where a crystal's singles are left out, or None
    crystal_singles : (n_crystals,) singles accepted for coincidences, or None
    mu_map : 1/mm on the scanner's image grid, or None
    mu_source : returns it on another grid; None interpolates ``mu_map``
    labels : free text; nuclide and activity_MBq are used
    start : wall clock of the run's start, or None
    hash : identity of the records, "" if unknown
    notes : problems with the data, in words for the image
    damaged : whether some of them cannot be read
    identity : its UIDs and how the patient lay
    """

    scanner: Scanner
    prompt_parts: Parts
    delayed_parts: Parts | None = None
    duration_s: float
    geometry: Geometry
    window_ps: int
    min_sector_difference: int
    lld_keV: float
    uld_keV: float
    delayed_factor: int = 1
    pair_live_s: npt.NDArray[np.float64] | None = None
    module_dead_s: npt.NDArray[np.float64] | None = None
    detector_s: float = 0.0
    uncalibrated: str = ""
    efficiency: npt.NDArray[np.float32] | None = None
    block_profile: npt.NDArray[np.float32] | None = None
    geometric: npt.NDArray[np.float32] | None = None
    masked: npt.NDArray[np.uint8] | None = None
    crystal_singles: npt.NDArray[np.int64] | None = None
    mu_map: Image | None = None
    mu_source: Callable[[ImageGrid], Image] | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    start: datetime | None = None
    name: str = ""
    hash: str = ""
    notes: tuple[str, ...] = ()
    damaged: bool = False
    identity: RunIdentity = UNIDENTIFIED

    @classmethod
    def of_records(
        cls,
        prompts: Records,
        delayeds: Records | None = None,
        *,
        scanner: Scanner,
        duration_s: float | None = None,
        **about: Any,
    ) -> RunData:
        """Return records in memory as a measurement; the preset's values are the defaults.

        duration_s : default: the last prompt's time
        """
        acquisition = scanner.acquisition
        last_ps = int(prompts["time_ps"].max(initial=0))
        settings: dict[str, Any] = {
            "geometry": build_geometry(scanner),
            "window_ps": acquisition.window_ps,
            "min_sector_difference": acquisition.min_sector_difference,
            "lld_keV": acquisition.lld_keV,
            "uld_keV": acquisition.uld_keV,
        }
        return cls(
            scanner=scanner,
            prompt_parts=lambda start_s, end_s: in_parts(prompts),
            delayed_parts=None if delayeds is None else lambda start_s, end_s: in_parts(delayeds),
            duration_s=duration_s or (last_ps + 1) / PS_PER_S,
            **(settings | about),
        )

    def system(
        self, *, block_efficiency: bool = True, tof: bool = True, grid: ImageGrid | None = None
    ) -> ReconSystem:
        """Return the reconstruction system of the measurement, on the preset's grid by default."""
        system = ReconSystem.of(
            self.scanner,
            geometry=self.geometry,
            window_ps=self.window_ps,
            min_sector_difference=self.min_sector_difference,
            energies_keV=(self.lld_keV, self.uld_keV) if block_efficiency else None,
            grid=grid,
        )
        return system if tof else replace(system, tof=None)

    def mu_on(self, grid: ImageGrid) -> Image | None:
        """Return the µ map on a grid: read again from its file, where there is one."""
        own = self.scanner.image
        if self.mu_map is None or grid == ImageGrid(own.shape, own.voxel_mm):
            return self.mu_map
        if self.mu_source is not None:
            return self.mu_source(grid)
        return resample(self.mu_map, own.voxel_mm, grid)

    def prompts(self, selection: TimeSelection | None = None) -> Iterator[Records]:
        """Yield the prompts of a selection (None: all), part by part, none empty."""
        return _chosen(self.prompt_parts, selection)

    def delayeds(self, selection: TimeSelection | None = None) -> Iterator[Records]:
        """Yield the delayeds of a selection (None: all), part by part, none empty."""
        if self.delayed_parts is None:
            return iter(())
        return _chosen(self.delayed_parts, selection)


def in_parts(records: Records) -> Iterator[Records]:
    """Yield records in parts of at most ``PART_RECORDS``."""
    for first in range(0, len(records), PART_RECORDS):
        yield records[first : first + PART_RECORDS]


def _chosen(parts: Parts, selection: TimeSelection | None) -> Iterator[Records]:
    if selection is None:
        yield from (part for part in parts(0.0, np.inf) if len(part))
        return
    for part in parts(selection.start_s, selection.end_s):
        chosen = selection.take(part)
        if len(chosen):
            yield chosen
