"""The offline reconstruction of a run: from coincidence records to an image and its metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from coincidence.events import COINCIDENCE
from hw.geometry import Geometry
from hw.scanner import Scanner
from recon.display_filter import gaussian
from recon.events import EventList, joined
from recon.grid import Image
from recon.osem import OsemResult, osem
from recon.projector import Projector
from recon.sensitivity import support_mask
from recon.sensitivity_cache import cached_sensitivity
from recon.system import ReconSystem

Records = npt.NDArray[np.void]
UNIT = "emissions/s/mL, uncalibrated"

ProgressStep = Callable[[str, float], None]
"""Called with what is being done and the share (0..1) of the whole that is done."""


@dataclass(frozen=True)
class Reconstruction:
    """An image [x, y, z] float32 in ``metadata["unit"]`` and everything said about it."""

    image: Image
    metadata: dict[str, Any]


def reconstruct(
    prompts: Records | Iterable[Records],
    delayeds: Records | Iterable[Records] | None = None,
    *,
    scanner: Scanner,
    geometry: Geometry | None = None,
    mu_map: Image | None = None,
    iterations: int = 4,
    subsets: int = 8,
    threads: int = 2,
    duration_s: float | None = None,
    window_ps: int | None = None,
    min_sector_difference: int | None = None,
    delayed_factor: int = 1,
    post_filter_fwhm_mm: float = 0.0,
    progress: ProgressStep = lambda what, share: None,
) -> Reconstruction:
    """Reconstruct prompts with list-mode OSEM.

    Parameters
    ----------
    prompts, delayeds : ``COINCIDENCE`` records, one array or several in order; ``delayeds`` None
        leaves randoms in the image, and the metadata says so
    mu_map : 1/mm on the scanner's image grid; None leaves attenuation uncorrected
    duration_s : live time; the last prompt's time where it is not given
    delayed_factor : how often the delayed windows count the randoms (of the run's settings)
    """
    system = ReconSystem.of(
        scanner,
        geometry=geometry,
        window_ps=window_ps,
        min_sector_difference=min_sector_difference,
    )
    progress("sensitivity", 0.0)
    sensitivity = cached_sensitivity(
        scanner, system.geometry, system.allowed, system.grid, mu_per_mm=mu_map, threads=threads
    )
    progress("lines", 0.1)
    events, last_s = _events(system, _parts(prompts), mu_map, threads)
    seconds = duration_s if duration_s else max(last_s, 1e-9)
    counts = sum(
        (system.pair_counts(part) for part in _parts(delayeds)),
        start=np.zeros((scanner.n_modules, scanner.n_modules), dtype=np.int64),
    )
    result = _run(
        system,
        events,
        sensitivity,
        system.background(counts, seconds, delayed_factor),
        (iterations, subsets, threads),
        seconds,
        progress,
    )
    image = gaussian(result.image, system.grid, fwhm_mm=post_filter_fwhm_mm)
    image = image / np.float32(system.voxel_volume_mL)
    about = {
        "algorithm": f"list-mode OSEM, {iterations} iterations x {subsets} subsets",
        "scanner": scanner.name,
        "unit": UNIT,
        "voxel_mm": list(system.grid.voxel_mm),
        "duration_s": seconds,
        "prompts": len(events),
        "prompts_used": round(result.used),
        "prompts_outside": round(result.unexplained),
        "delayeds": int(counts.sum()),
        "log_likelihood": result.log_likelihood,
        "post_filter_fwhm_mm": post_filter_fwhm_mm,
        "tof": system.tof is not None,
        "corrections": corrections(attenuation=mu_map is not None, randoms=delayeds is not None),
    }
    progress("done", 1.0)
    return Reconstruction(image, about)


def corrections(*, attenuation: bool, randoms: bool) -> dict[str, bool]:
    """Return every correction by name, applied or not."""
    return {
        "sensitivity": True,
        "attenuation": attenuation,
        "randoms": randoms,
        "scatter": False,
        "normalisation": False,
        "dead_time": False,
        "decay": False,
        "calibration": False,
    }


def _parts(records: Records | Iterable[Records] | None) -> Iterable[Records]:
    if records is None:
        return []
    return [records] if isinstance(records, np.ndarray) else records


def _events(
    system: ReconSystem, parts: Iterable[Records], mu_map: Image | None, threads: int
) -> tuple[EventList, float]:
    """Return all events and the time of the last one in seconds."""
    plain = Projector(system.grid, threads=threads)
    attenuation = None if mu_map is None else (plain, mu_map)
    lists = [system.events(np.empty(0, COINCIDENCE))]
    last_ps = 0
    for part in parts:
        lists.append(system.events(part, attenuation=attenuation))
        last_ps = max(last_ps, int(part["time_ps"].max(initial=0)))
    plain.close()
    return joined(lists), last_ps * 1e-12


def _run(
    system: ReconSystem,
    events: EventList,
    sensitivity: Image,
    background: npt.NDArray[np.float32],
    plan: tuple[int, int, int],
    seconds: float,
    progress: ProgressStep,
) -> OsemResult:
    iterations, subsets, threads = plan
    projector = Projector(system.grid, tof=system.tof, threads=threads)
    try:
        return osem(
            projector,
            events,
            sensitivity * np.float32(seconds),
            support_mask(sensitivity, system.grid),
            iterations=iterations,
            subsets=subsets,
            background=background,
            progress=lambda done, total, _: progress("OSEM", 0.2 + 0.8 * done / total),
        )
    finally:
        projector.close()
