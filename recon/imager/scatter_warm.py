"""Compiles the kernels of scatter estimation; with and without time of flight they are the same."""

from __future__ import annotations

import numpy as np

from coincidence.events import COINCIDENCE
from recon.core.scanner_tables import ReconSystem
from recon.scatter.detector import EnergyWindow
from recon.scatter.rate import ScatterRate
from recon.scatter.simulation import ScatterOptions, SingleScatter


def warm_scatter(system: ReconSystem) -> None:
    """Simulate the scatter of a small object."""
    matter = np.full(system.grid.shape, 0.01, dtype=np.float32)
    coarse = ScatterOptions(spacing_mm=60.0, per_side=1, cell_mm=30.0)
    window = EnergyWindow.of(system.scanner)
    simulation = SingleScatter(system, matter, window, options=coarse)
    rate = ScatterRate(system, simulation.table(matter))
    one = np.zeros(1, dtype=COINCIDENCE)
    rate.of_records(one, system.detection.locate(one, voxel_volume_mm3=1.0))
