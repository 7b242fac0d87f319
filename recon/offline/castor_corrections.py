"""The corrections that a list-mode export can store with every event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hw.arrays import Records
from recon.core.grid import ReconError

if TYPE_CHECKING:
    from recon.core.scanner_tables import ReconSystem
    from recon.exchange.listmode.castor import Correction, Values
    from recon.offline.run_data import RunData


def castor_corrections(folder: Path, wanted: Sequence[str]) -> dict[Correction, Values]:
    """Return functions for events' factors and rates, by correction name.

    Raises
    ------
    ReconError
        for an unknown correction, or one that the run has no data for.
    """
    if not wanted:
        return {}
    from recon.offline.run_reader import run_data

    makers: dict[str, Callable[[RunData, ReconSystem], Values]] = {
        "attenuation": _attenuation,
        "normalisation": _normalisation,
        "randoms": _randoms,
    }
    data = run_data(folder)
    system = data.system()
    found: dict[Any, Values] = {}
    for name in wanted:
        if name not in makers:
            raise ReconError(f"--corrections {name}: choose from {', '.join(makers)}")
        found[name] = makers[name](data, system)
    order: tuple[Correction, ...] = ("attenuation", "randoms", "normalisation")
    return {name: found[name] for name in order if name in found}


def _attenuation(data: RunData, system: ReconSystem) -> Values:
    from recon.projector.operator import Projector

    if data.mu_map is None:
        raise ReconError(f"{data.name} has no µ map: leave attenuation out of --corrections")
    projector, mu = Projector(system.grid), data.mu_map

    def factor(records: Records) -> npt.NDArray[np.float32]:
        volume = system.grid.voxel_volume_mm3
        located = system.detection.locate(records, voxel_volume_mm3=volume)
        return np.asarray(np.exp(projector.forward(mu, located.lors)), np.float32)

    return factor


def _normalisation(data: RunData, system: ReconSystem) -> Values:
    from recon.lines.normalisation import Normalisation

    if data.efficiency is None:
        raise ReconError(
            f"{data.name} has no calibration set with efficiencies: leave normalisation out of "
            "--corrections"
        )
    found = Normalisation.of_set(data.efficiency, data.block_profile, data.geometric, data.scanner)

    def factor(records: Records) -> npt.NDArray[np.float32]:
        seen = found.of_records(records)
        made = np.zeros(len(records), np.float32)
        np.divide(np.float32(1.0), seen, out=made, where=seen > 0)
        return made

    return factor


def _randoms(data: RunData, system: ReconSystem) -> Values:
    from recon.lines.randoms import CrystalRandoms, fan_counts

    counts = np.zeros(data.scanner.n_crystals, np.int64)
    for part in data.delayeds():
        counts += fan_counts(part, data.scanner.n_crystals)
    if not counts.any():
        raise ReconError(f"{data.name} has no delayeds: leave randoms out of --corrections")
    rate = CrystalRandoms.of_delayeds(
        counts,
        system,
        duration_s=data.duration_s,
        delayed_factor=data.delayed_factor,
        crystal_singles=data.crystal_singles,
    )

    return rate.lines.of_records  # of the whole line: CASToR divides by the range of TOF itself
