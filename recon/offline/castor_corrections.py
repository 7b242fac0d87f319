"""The corrections that a CASToR export stores with every event, and the level of its image.

CASToR expects of a line, in a scan of T seconds,

    T · Σ w λ / (C · norm · ACF) + T · r,      C: calibration factor, w: mm in a voxel

so with λ in Bq/mL, C · norm is 1 / (gain · efficiencies · live share · mL of a voxel · β⁺ fraction
· mean decay). ``norm`` is near 1: C holds the mean of the rest over the first events. Randoms are
weighed against it, so it is stored with them, of efficiencies 1 if normalisation is not asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hw.arrays import Records
from recon.core.grid import Image, ImageGrid, ReconError

if TYPE_CHECKING:
    from recon.exchange.listmode.castor import Correction, Values
    from recon.offline.run_data import RunData
    from recon.offline.run_model import RunModel

MM3_PER_ML = 1000.0


@dataclass(frozen=True)
class CastorModel:
    """What goes with a list.

    corrections : functions of records that give each event's factor, or its rate in 1/s
    sensitivity : counts of the scan for 1 Bq/mL in a voxel, [x, y, z]
    mu_per_cm : µ map where attenuation is corrected
    """

    corrections: dict[Correction, Values]
    calibration_factor: float
    sensitivity: Image
    mu_per_cm: Image | None
    grid: ImageGrid


def castor_model(folder: Path, wanted: Sequence[str]) -> CastorModel | None:
    """Return the corrections by name with the sensitivity that belongs to them; None for none.

    Raises
    ------
    ReconError
        for an unknown correction, or one that the run has no data for.
    """
    if not wanted:
        return None
    from recon.offline.options import ReconOptions
    from recon.offline.run_model import RunModel
    from recon.offline.run_reader import run_data

    makers: dict[str, Callable[[RunModel, float], Values]] = {
        "attenuation": _attenuation,
        "randoms": _randoms,
        "normalisation": _normalisation,
    }
    for name in wanted:
        if name not in makers:
            raise ReconError(f"--corrections {name}: choose from {', '.join(makers)}")
    data = run_data(folder)
    _check_has(data, wanted)
    options = ReconOptions(
        attenuation="map" if "attenuation" in wanted else "none",
        normalisation="normalisation" in wanted,
        randoms=False,
        scatter="none",
        prompt_gamma=False,
    )
    model = RunModel.of(data, options)
    mean_gain = _mean_gain(model)
    stored = {*wanted, *(["normalisation"] if "randoms" in wanted else [])}  # b = r / m of the line
    found: dict[Any, Values] = {
        name: make(model, mean_gain) for name, make in makers.items() if name in stored
    }
    counts_per_emission = _counted_share(data) * model.grid.voxel_volume_mm3 / MM3_PER_ML
    mu = model.mu_per_mm
    return CastorModel(
        corrections=found,
        calibration_factor=1.0 / (mean_gain * counts_per_emission),
        sensitivity=model.exposure * np.float32(counts_per_emission),
        mu_per_cm=None if mu is None else mu * np.float32(10.0),
        grid=model.grid,
    )


def _check_has(data: RunData, wanted: Sequence[str]) -> None:
    for name, there, what in (
        ("attenuation", data.mu_map is not None, "µ map"),
        ("normalisation", data.efficiency is not None, "calibration set with efficiencies"),
    ):
        if name in wanted and not there:
            raise ReconError(f"{data.name} has no {what}: leave {name} out of --corrections")


def _counted_share(data: RunData) -> float:
    """Return the pairs of the scan per decay at its start: β⁺ fraction and mean decay."""
    from hw.physics.nuclides import nuclide_of
    from recon.core.decay import decay_factor
    from recon.core.frames import TimeSelection

    nuclide, _ = nuclide_of(data.labels)
    if nuclide is None:
        return 1.0
    whole = TimeSelection.frame(0.0, data.duration_s)
    return (nuclide.beta_plus_fraction or 1.0) / decay_factor(whole, nuclide.half_life_s, 0.0)


def _seen(model: RunModel, records: Records) -> npt.NDArray[np.float32]:
    """Return gain · efficiencies · live share of each event's line."""
    terms = model.terms(records)
    return terms.gain * terms.normalisation * terms.live_share


def _mean_gain(model: RunModel) -> float:
    """Return its mean over the first events."""
    for records in model.data.prompts():
        if (mean := float(_seen(model, records).mean(dtype=np.float64))) > 0:
            return mean
    raise ReconError(f"{model.data.name} has no prompts to export")


def _attenuation(model: RunModel, _: float) -> Values:
    return lambda records: (1.0 / model.terms(records).attenuation).astype(np.float32)


def _normalisation(model: RunModel, mean_gain: float) -> Values:
    def factor(records: Records) -> npt.NDArray[np.float32]:
        seen, made = _seen(model, records), np.zeros(len(records), np.float32)
        np.divide(np.float32(mean_gain), seen, out=made, where=seen > 0)
        return made

    return factor


def _randoms(model: RunModel, _: float) -> Values:
    from recon.lines.randoms import CrystalRandoms, fan_counts

    data, system = model.data, model.data.system()
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
