"""The corrections that a measurement allows, as factors, rates and µ map.

Each function returns what it could make and records in ``Corrections`` what it did, or why not.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hw.arrays import F8
from recon.attenuation.head_contour import ContourError, head_contour_mu
from recon.attenuation.mlaa import MlaaError, mlaa
from recon.core.correction_record import Corrections
from recon.core.grid import Image
from recon.core.scanner_tables import ReconSystem
from recon.lines.crystal_products import LineArrayError
from recon.lines.model import LineFactor, LineRate
from recon.lines.normalisation import LiveShare, Normalisation
from recon.lines.pile_up import kept_when_piled, piled_share
from recon.lines.randoms import CrystalRandoms
from recon.offline.frame_counts import LEAST_DELAYEDS, Tally
from recon.offline.motion import PoseStream
from recon.offline.options import ReconOptions
from recon.offline.run_data import RunData

_POSES = {"zero": "the pose of all zeros", "reference": "the reference pose"}

Quick = Callable[[Image | None], Image]
"""Returns a quick image (emissions/s per voxel) made with this µ map, of the whole run."""


def line_factors(
    data: RunData, system: ReconSystem, options: ReconOptions, done: Corrections
) -> list[LineFactor]:
    """Return normalisation and live share, if wanted and known."""
    factors: list[LineFactor] = []
    normalisation = _normalisation(data, options, done)
    if normalisation is not None:
        factors.append(normalisation)
    live = _live_share(data, system, options, done)
    if live is not None:
        factors.append(live)
    return factors


def _normalisation(data: RunData, options: ReconOptions, done: Corrections) -> Normalisation | None:
    if not options.normalisation:
        done.leave("normalisation", "not wanted")
        return None
    if data.efficiency is None:
        why = "the run's calibration set has no efficiencies"
        if data.uncalibrated:
            why = f"the run has no calibration set: {data.uncalibrated}"
        done.miss("normalisation", why)
        return None
    try:
        found = Normalisation.of_set(
            data.efficiency, data.block_profile, data.geometric, data.scanner, masked=data.masked
        )
    except LineArrayError as error:
        done.miss("normalisation", str(error))
        return None
    done.apply(
        "normalisation",
        "crystal efficiencies, block profile and module pair factors of the calibration set",
        dead_crystals=found.dead_crystals,
    )
    return found


def _live_share(
    data: RunData, system: ReconSystem, options: ReconOptions, done: Corrections
) -> LiveShare | None:
    if not options.dead_time:
        done.leave("dead_time", "not wanted")
        return None
    if data.pair_live_s is None or data.detector_s <= 0:
        done.miss("dead_time", "the run has no live times (randoms.npz is missing)")
        return None
    try:
        kept = _not_piled_up(data, system)
        found = LiveShare.of_pairs(
            data.pair_live_s * np.outer(kept, kept), data.detector_s, data.scanner
        )
    except LineArrayError as error:
        done.miss("dead_time", str(error))
        return None
    done.apply(
        "dead_time",
        "live share of each module pair over the whole run, less what pile-up cost it",
        mean_live_share=round(mean_live(data), 5),
        mean_lost_to_pile_up=round(1 - float(kept.mean()) ** 2, 5),
    )
    return found


def _not_piled_up(data: RunData, system: ReconSystem) -> F8:
    """Return the share of each module's trues that pile-up left it, (n_modules,)."""
    ones, spectrum = np.ones(data.scanner.n_modules), system.detection.efficiency.spectrum
    if data.module_dead_s is None or not spectrum.size:
        return ones
    kept = kept_when_piled(data.scanner, spectrum, lld_keV=data.lld_keV, uld_keV=data.uld_keV)
    piled = piled_share(data.scanner, data.module_dead_s / data.detector_s)
    return np.asarray(ones - piled * (1 - min(kept, 1.0)))


def mean_live(data: RunData) -> float:
    """Return the mean live share of all module pairs that have one, 1 if unknown."""
    if data.pair_live_s is None or data.detector_s <= 0:
        return 1.0
    seen = data.pair_live_s[data.pair_live_s > 0]
    return min(float(seen.mean()) / data.detector_s, 1.0) if len(seen) else 1.0


def randoms_rate(
    data: RunData, system: ReconSystem, tally: Tally, options: ReconOptions, done: Corrections
) -> LineRate | None:
    """Return the rate of randoms on each line, estimated from the run's delayeds; None if there is
    none.

    Parameters
    ----------
    data : the measurement
    system : the scanner and its image grid
    tally : counts of the run, and the delayeds of each crystal
    options : whether the correction is wanted
    done : takes what was done, or why not
    """
    if not options.randoms:
        done.leave("randoms", "not wanted")
        return None
    if data.delayed_parts is None:
        done.miss("randoms", "the run has no delayed window")
        return None
    if not tally.run.delayeds:
        done.miss("randoms", "the run has no delayeds: there is nothing to estimate randoms from")
        return None
    found = CrystalRandoms.of_delayeds(
        tally.crystal_delayeds,
        system,
        duration_s=data.duration_s,
        delayed_factor=data.delayed_factor,
        crystal_singles=data.crystal_singles,
    )
    few = " (few: the estimate is rough)" if tally.run.delayeds < LEAST_DELAYEDS else ""
    done.apply(
        "randoms",
        f"fan sums of {tally.run.delayeds} delayeds{few}",
        randoms_per_s=round(found.total_per_s, 3),
        fraction=round(found.total_per_s * data.duration_s / max(tally.run.prompts, 1), 4),
    )
    return found


def _own_map(
    data: RunData,
    system: ReconSystem,
    options: ReconOptions,
    done: Corrections,
    poses: PoseStream | None,
) -> Image | None:
    """Return the run's µ map in the pose in which the image is made."""
    found = data.mu_on(system.grid)
    if found is None:
        done.miss("attenuation", "the run has no µ map; a head contour or MLAA needs none")
        return None
    how = "the run's µ map"
    if poses is not None:
        how += f", taken in {_POSES[options.mu_pose]}"
        if options.mu_pose == "zero" and not poses.at_zero:
            found = poses.from_zero(found, system.grid)
            how += " and moved to the reference pose"
    done.apply("attenuation", how, greatest_per_mm=float(found.max()))
    return found


def mu_map(
    data: RunData,
    system: ReconSystem,
    options: ReconOptions,
    done: Corrections,
    *,
    factors: list[LineFactor],
    rates: Callable[[Image], list[LineRate]],
    quick: Quick,
    poses: PoseStream | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> Image | None:
    """Return the µ map (1/mm) made by the requested method, in the image's pose, or None.

    Parameters
    ----------
    data : the measurement, with its own µ map if it has one
    system : the scanner and its image grid, which is the map's too
    options : the method, and what it needs to know
    done : takes what was done, or why not
    factors : efficiency of the lines besides attenuation
    rates : returns randoms and scatter (1/s) for a first µ map (1/mm); background that MLAA is not
        told of ends up in its µ
    quick : returns a quick image (emissions/s per voxel) with the given µ map, or None for none
    poses : motion of the object, None if it lay still
    progress : called with the share (0..1) of the work that is done
    """
    if options.attenuation == "none":
        done.leave("attenuation", "not wanted")
        return None
    if options.attenuation == "map":
        return _own_map(data, system, options, done, poses)
    try:
        contour = head_contour_mu(quick(None), system.grid, beyond_mm=options.contour_beyond_mm)
        how = "head contour found in the uncorrected image, uniform tissue and skull"
        found = contour
        if options.attenuation == "mlaa":
            joint = mlaa(
                system,
                data.prompts(),
                contour,
                duration_s=data.duration_s,
                factors=factors,
                rates=rates(contour),
                threads=options.threads,
                progress=progress,
            )
            how = "MLAA: activity and attenuation together, from time of flight"
            if not done.of("normalisation").applied:
                how += "; without normalisation it is off by some percent"
            found = joint.mu_per_mm
    except (ContourError, MlaaError) as error:
        done.miss("attenuation", str(error))
        return None
    inside = found[found > 0]
    done.apply(
        "attenuation",
        how,
        mean_per_mm=round(float(inside.mean()), 6) if len(inside) else 0.0,
        volume_mL=round(len(inside) * system.voxel_volume_mL, 1),
    )
    return found


def record_frames(frames: int, done: Corrections) -> None:
    """Record that the live share follows the frames."""
    live = done.of("dead_time")
    if live.applied and frames > 1:
        how = f"{live.how}, scaled to each frame by its singles' rate (root of the delayeds')"
        done.apply("dead_time", how, **live.figures)
