"""The algorithms by name, over one exposure, mask and event store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recon.core.detector_response import detector_resolution
from recon.core.grid import Image
from recon.core.noise_parts import NoiseParts
from recon.core.range_resolution import (
    FollowedBy,
    RangeBlur,
    RangeResolution,
    uniform_resolution,
)
from recon.core.resolution import Resolution
from recon.core.scanner_tables import ReconSystem
from recon.em.event_store import EventStore
from recon.em.list_mode_osem import OsemResult, osem
from recon.em.penalised import RelativeDifference
from recon.em.stopping import Stopping
from recon.offline.options import ReconOptions
from recon.projector.operator import Projector


@dataclass(frozen=True)
class Iterated:
    """The image in emissions per second and voxel, and facts about the iterations."""

    image: Image
    about: dict[str, Any] = field(default_factory=dict)
    parts: NoiseParts | None = None


def iterate(
    system: ReconSystem,
    events: EventStore,
    exposure: Image,
    mask: npt.NDArray[np.bool_],
    options: ReconOptions,
    *,
    positrons: RangeBlur | None = None,
    progress: Callable[[float], None] = lambda share: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterated:
    """Return the image made from the events by ``options.algorithm``.

    Parameters
    ----------
    system : the scanner, its image grid and time of flight
    events : prepared events, dealt to subsets
    exposure : (nx, ny, nz), sensitivity times live seconds
    mask : (nx, ny, nz), voxels that may hold activity; the others stay 0
    options : algorithm, iterations, prior, stopping rule, resolution, threads
    positrons : their range, for the resolution model; None for none
    progress : called with the share (0..1) of the work that is done
    stopped : polled before each update; True returns the current image
    """
    projector = Projector(system.grid, tof=system.tof, threads=options.threads)
    prior = RelativeDifference(options.beta) if options.prior == "rdp" else None
    stopping = Stopping.parse(options.stop) if options.stop else None
    try:
        result = osem(
            projector,
            events,
            exposure,
            mask,
            iterations=options.iterations,
            resolution=_resolution(system, options, positrons),
            stopping=stopping,
            prior=prior,
            signed=options.algorithm == "negml",
            parts=options.noise_parts,
            progress=lambda done, total, _: progress(done / total),
            stopped=stopped,
        )
    finally:
        projector.close()
    return Iterated(result.image, _about(result), result.parts)


def _resolution(
    system: ReconSystem, options: ReconOptions, positrons: RangeBlur | None
) -> Resolution | None:
    if options.psf_detector:
        detector = detector_resolution(system.scanner, system.grid, threads=options.threads)
        if positrons is None:
            return detector
        return FollowedBy(RangeResolution(system.grid, positrons), detector)
    return uniform_resolution(system.grid, options.psf_fwhm_mm, positrons)


def _about(result: OsemResult) -> dict[str, Any]:
    return {
        "iterations_done": result.iterations,
        "stopped_by": result.stopped_by,
        "prompts_used": round(result.used),
        "prompts_outside": round(result.unexplained),
        "prompts_on_dead_lines": result.left_out,
        "log_likelihood": result.log_likelihood,
        "change": result.change,
        "noise": result.noise,
    }
