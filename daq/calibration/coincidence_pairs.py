"""The coincidences of a run as the time calibrations need them, and what their Δt should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from coincidence.calibration import Calibration, no_calibration
from daq.calibration.activity_of_lines import mean_places
from daq.calibration.energy_spectra import check_map
from daq.folder import raw_log as rawlog
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig, checked_settings
from daq.path.pipeline import Pipeline
from hw.arrays import F8
from hw.messages.sort_settings import SortSettings
from hw.physics.constants import LIGHT_MM_PER_PS
from hw.scanner.geometry import Geometry, build_geometry

Progress = Callable[[int, int], None]
SourceShape = Literal["point", "cylinder", "all"]
Position = tuple[float, float, float]

PAIR = np.dtype(
    [
        ("crystal_a", "<u4"),
        ("crystal_b", "<u4"),
        ("tof_ps", "<i4"),
        ("energy_a", "<u2"),
        ("energy_b", "<u2"),
        ("doi_a", "u1"),
        ("doi_b", "u1"),
    ]
)
"""A prompt, 18 bytes: as in COINCIDENCE."""


def pairs_of_run(
    folder: Path,
    *,
    calibration: Calibration | None = None,
    lld_keV: float | None = None,
    most: int = 10_000_000,
    progress: Progress | None = None,
) -> npt.NDArray[np.void]:
    """Return the first ``most`` prompts of a run as (n,) PAIR, sorted without skews.

    Parameters
    ----------
    calibration : other known corrections (its skews are not used); None for none
    lld_keV : lower level to use instead of the run's
    most : the most pairs, which bounds the memory: 18 bytes each
    """
    reader = RawLogReader(folder / rawlog.FILE_NAME)
    config = msgspec.convert(reader.head["config"], RunConfig)
    scanner = config.scanner()
    known = calibration or no_calibration(scanner.n_crystals)
    check_map(scanner, known.crystal_map)
    pipeline = Pipeline(
        scanner,
        build_geometry(scanner),
        _plain_settings(config.settings, lld_keV),
        run_tag=reader.head["run_tag"],
        calibration=replace(known, skew_ps=np.zeros(scanner.n_crystals, np.int32)),
        stall_ps=int(config.stall_s * 1e12),
        recorded=True,
    )
    total, done, count = (folder / rawlog.FILE_NAME).stat().st_size, 0, 0
    parts = []
    for frames in reader:
        parts.append(_as_pairs(pipeline.process(frames).prompts))
        count += len(parts[-1])
        done += sum(map(len, frames))
        if progress is not None:
            progress(done, total)
        if count >= most:
            break
    parts.append(_as_pairs(pipeline.finish().prompts))
    return np.concatenate(parts)[:most]


def _plain_settings(settings: SortSettings, lld_keV: float | None) -> SortSettings:
    """Return the run's settings without what a calibration does not use."""
    values = msgspec.to_builtins(settings)
    values.update(windows=(), triples=False, delay_ps=0)
    if lld_keV is not None:
        values["lld_keV"] = lld_keV
    return checked_settings(values)


def _as_pairs(prompts: npt.NDArray[np.void]) -> npt.NDArray[np.void]:
    pairs = np.zeros(len(prompts), dtype=PAIR)
    for key in PAIR.names or ():
        pairs[key] = prompts[key]
    return pairs


def expected_tof_ps(
    pairs: npt.NDArray[np.void],
    geometry: Geometry,
    *,
    source: SourceShape,
    position_mm: Position = (0.0, 0.0, 0.0),
) -> F8:
    """Return the mean t_b − t_a that each pair's geometry gives, (n,) ps.

    With p(s) = a + s·(b − a), Δt = (1 − 2·s₀)·|b − a|/c where s₀ is the mean place of the line's
    annihilations: for a ``point`` (also any ball) the foot of the perpendicular from its centre,
    for a ``cylinder`` from its axis along z. ``all``: for an activity estimated from the lines
    themselves (``daq.calibration.activity_of_lines``); ``position_mm`` is not used.
    """
    ends = _ends_mm(pairs, geometry)
    start, along = ends[0], ends[1] - ends[0]
    if source == "all":
        z_mm = geometry.crystal_front_mm[:, 2].astype(np.float64)
        place = mean_places(start, along, axial_mm=float(np.ptp(z_mm)))
    else:
        weighted = along * (1.0, 1.0, 1.0 if source == "point" else 0.0)
        place = (weighted * (np.asarray(position_mm) - start)).sum(axis=1)
        place /= (weighted * along).sum(axis=1)
    result: F8 = (1 - 2 * place) * np.sqrt((along**2).sum(axis=1)) / LIGHT_MM_PER_PS
    return result


def _ends_mm(pairs: npt.NDArray[np.void], geometry: Geometry) -> list[F8]:
    """Return where the photons were absorbed, (n, 3) mm each, at the depth bins' depths."""
    return [
        geometry.crystal_front_mm[pairs[f"crystal_{side}"]].astype(np.float64)
        + geometry.crystal_normal[pairs[f"crystal_{side}"]]
        * geometry.doi_depth_mm[pairs[f"doi_{side}"]][:, None]
        for side in "ab"
    ]
