"""The parts of a reconstruction that depend only on the scanner, shared by live and offline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.physics.block_efficiency import BlockEfficiency
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, allowed_module_pairs, build_geometry
from recon.core.event_location import Detection
from recon.core.grid import GridError, ImageGrid
from recon.core.tof import HALF_C_MM_PER_PS, TofModel

TOF_BIN_PS = 25
"""Width of the TOF bin that a list-mode event stands for; far below any CTR."""


@dataclass(frozen=True)
class ReconSystem:
    """Scanner, geometry, grid and physics of a reconstruction; build it with :meth:`of`."""

    scanner: Scanner
    geometry: Geometry
    allowed: npt.NDArray[np.bool_]
    detection: Detection
    grid: ImageGrid
    tof: TofModel | None
    window_ps: int

    def __post_init__(self) -> None:
        if not self.grid.centred:
            raise GridError(
                f"a grid centred at {self.grid.centre_mm} mm: reconstruct on one that is centred "
                "on the scanner and cut the image out of it (recon.core.field_of_view)"
            )

    @classmethod
    def of(
        cls,
        scanner: Scanner,
        *,
        geometry: Geometry | None = None,
        window_ps: int | None = None,
        min_sector_difference: int | None = None,
        energies_keV: tuple[float, float] | None = None,
        grid: ImageGrid | None = None,
    ) -> ReconSystem:
        """Return the system of a scanner; window, pairs and grid are the preset's unless given.

        Parameters
        ----------
        scanner : the preset
        geometry : positions of its crystals, mm; by default computed from the preset
        window_ps : coincidence window ±τ, ps
        min_sector_difference : least distance of two modules that may pair, in sectors around the
            ring
        energies_keV : LLD and ULD of the singles, keV, for the block efficiency; None for geometry
            alone, as if every stopped photon were counted
        grid : voxels of the image
        """
        geometry = geometry or build_geometry(scanner)
        response, acquisition = scanner.response, scanner.acquisition
        tof = (
            TofModel.from_ctr(response.ctr_fwhm_ps, bin_ps=TOF_BIN_PS) if acquisition.tof else None
        )
        seen = None
        if energies_keV is not None:
            lld, uld = energies_keV
            seen = BlockEfficiency.of(scanner, geometry, lld_keV=lld, uld_keV=uld)
        return cls(
            scanner=scanner,
            geometry=geometry,
            allowed=allowed_module_pairs(scanner, min_sector_difference=min_sector_difference),
            detection=Detection.of(scanner, geometry, seen),
            grid=grid or ImageGrid(scanner.image.shape, scanner.image.voxel_mm),
            tof=tof,
            window_ps=window_ps or acquisition.window_ps,
        )

    @property
    def tof_share(self) -> float:
        """Share of the coincidence window (-τ..τ) that one TOF bin holds; 1 without TOF."""
        if self.tof is None:
            return 1.0
        return self.tof.bin_mm / (2 * self.window_ps * HALF_C_MM_PER_PS)

    @property
    def voxel_volume_mL(self) -> float:
        """Volume of a voxel in mL."""
        return self.grid.voxel_volume_mm3 / 1000.0
