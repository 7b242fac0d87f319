"""Scatter correction for PET: simulation scaled to the tails, and by energies."""

from recon.scatter.cascades import PromptGammas
from recon.scatter.detector import EnergyWindow, ScatterError
from recon.scatter.energies import EnergyRate, EnergyScatter, estimate_energy_scatter
from recon.scatter.estimate import estimate_scatter
from recon.scatter.rate import ScatterRate
from recon.scatter.simulation import ScatterOptions, ScatterStopped, ScatterTable, SingleScatter

__all__ = [
    "EnergyRate",
    "EnergyScatter",
    "EnergyWindow",
    "PromptGammas",
    "ScatterError",
    "ScatterOptions",
    "ScatterRate",
    "ScatterStopped",
    "ScatterTable",
    "SingleScatter",
    "estimate_energy_scatter",
    "estimate_scatter",
]
