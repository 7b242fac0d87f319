"""The scatter correction of a run, and prompt γ with it: quick image, estimate, image again.

The first image still contains scatter; each later one uses the previous estimate. Scatter depends
on the activity only through integrals over the object, and its scale is fitted to the data, so a
few rounds suffice (docs/reconstruction/scatter.md). If the object moved, scatter is that of the
reference pose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from recon.core.correction_record import Corrections
from recon.core.display_filter import gaussian
from recon.core.frames import TimeSelection
from recon.core.grid import Image, ImageGrid
from recon.offline.event_preparation import thinned
from recon.offline.frame_counts import Counts, Tally
from recon.offline.frame_setup import FrameModels
from recon.offline.image_series import FrameImage
from recon.offline.options import ReconOptions
from recon.offline.prompt_gamma_step import (
    prompt_gamma_alone,
    prompt_gammas,
    tell_prompt_gamma,
)
from recon.scatter import (
    EnergyScatter,
    EnergyWindow,
    PromptGammas,
    ScatterError,
    ScatterRate,
    SingleScatter,
    estimate_energy_scatter,
    estimate_scatter,
)
from recon.scatter.quick_image import PSF_FWHM_MM
from recon.scatter.rate import settled

Progress = Callable[[float], None]
"""Called with the share (0..1) that is done."""

TAIL_EVENTS = 2_000_000
LEAST_OF_FRAME = 20_000
"""Prompts for scatter of a frame's own."""

SCATTER_FWHM_MM = 25.0
MOVED_SHARE = 0.15
"""If more of the activity is elsewhere in a frame than in the mean, the image says so."""

ROUNDS = 4
"""The first image holds all scatter, the second lacks some of the activity; from the fourth on the
estimate changes by 1 % (``share_by_round`` in the metadata; docs/reconstruction/scatter.md)."""

NOT_BY_ENERGIES = "scatter = energy was asked for, but energies do not tell scatter from prompt γ"


def scatter_rate(
    models: FrameModels,
    tally: Tally,
    options: ReconOptions,
    done: Corrections,
    progress: Progress = lambda share: None,
) -> None:
    """Put the run's scatter and prompt γ into ``models``, if wanted and possible.

    Parameters
    ----------
    models : what frames are reconstructed with; filled in
    tally : counts of the run
    options : which corrections are wanted, and how scatter is scaled
    done : takes what was done, or why not
    progress : called with the share (0..1) of the work that is done
    """
    models.prompt_gamma = None
    gammas = prompt_gammas(models, tally, options, done)
    _scatter(models, tally, options, done, progress, gammas)
    if gammas is None:
        return
    if models.prompt_gamma is None:
        prompt_gamma_alone(models, tally, gammas, done)
    else:
        tell_prompt_gamma(models, tally, done)


def _scatter(
    models: FrameModels,
    tally: Tally,
    options: ReconOptions,
    done: Corrections,
    progress: Progress,
    gammas: PromptGammas | None,
) -> None:
    if options.scatter == "none":
        done.leave("scatter", "not wanted")
        return
    if models.mu is None:
        done.miss("scatter", "what scatters is not known without attenuation")
        return
    if not tally.run.prompts:
        done.miss("scatter", "no prompts")
        return
    try:
        window = EnergyWindow.of(
            models.data.scanner, lld_keV=models.data.lld_keV, uld_keV=models.data.uld_keV
        )
        simulation = SingleScatter(
            models.system, models.mu, window, threads=models.threads, stopped=models.stopped
        )
        by_energies = options.scatter == "energy" and gammas is None
        if by_energies:
            about = _by_energies(models, tally, simulation, progress)
        else:
            about = _simulated(models, tally, simulation, progress, gammas)
            if options.scatter == "energy":
                about["note"] = "; ".join(filter(None, (NOT_BY_ENERGIES, about.get("note"))))
    except ScatterError as error:
        models.scatter = models.prompt_gamma = None
        done.miss("scatter", str(error))
        return
    note = f"; {about['note']}" if about.get("note") else ""
    facts = {key: value for key, value in about.items() if key not in ("method", "note")}
    done.apply("scatter", f"{about['method']}{note}", **facts)


def frame_scatter(
    models: FrameModels,
    tally: Tally,
    selection: TimeSelection,
    part: Counts,
    options: ReconOptions,
    done: Corrections,
) -> FrameModels | None:
    """Return a frame's models with scatter estimated from the frame's own image.

    None if the frame has too few prompts, or no estimate was possible: the run's scatter, scaled to
    the frame, is then used.

    Parameters
    ----------
    models : what the run is reconstructed with; not changed
    tally : counts of the run, and the delayeds of each crystal
    selection : the frame's time
    part : the frame's prompts, delayeds and seconds
    options : which corrections are wanted, and how scatter is scaled
    done : takes what was done for the frame, or why not
    """
    if part.prompts < LEAST_OF_FRAME or models.scatter is None:
        return None
    alone = models.of_frame(tally, selection, part)
    scatter_rate(alone, Tally(part, [], tally.crystal_delayeds), options, done)
    return alone if alone.scatter is not None else None


def moved_share(images: list[Image], grid: ImageGrid) -> float:
    """Return the greatest share of the activity that any image has elsewhere than the mean of all
    images.

    Images are compared with the blur of scatter.
    """
    smooth = [gaussian(one.clip(0), grid, fwhm_mm=SCATTER_FWHM_MM) for one in images]
    shares = [one / float(one.sum(dtype=np.float64)) for one in smooth if one.any()]
    if len(shares) < 2:
        return 0.0
    mean = sum(shares) / len(shares)
    return max(float(np.abs(one - mean).sum(dtype=np.float64)) / 2 for one in shares)


def _simulated(
    models: FrameModels,
    tally: Tally,
    simulation: SingleScatter,
    progress: Progress,
    gammas: PromptGammas | None = None,
) -> dict[str, Any]:
    """Set the estimate of ``ROUNDS`` rounds of image and simulation; return facts about it."""
    data = models.data
    every = max(1, -(-tally.run.prompts // TAIL_EVENTS))
    found: ScatterRate | None = None
    gamma: ScatterRate | None = None
    shares: list[float] = []
    for done in range(ROUNDS):
        progress(done / ROUNDS)
        image = models.quick(tally, models.mu, psf_fwhm_mm=PSF_FWHM_MM)
        trues_per_s = None
        if gammas is not None:  # many γ miss the image: it does not explain all that is left
            trues_per_s = models.explained_per_s(image, models.mu)
            simulated = gammas if done == ROUNDS - 1 else gammas.quickly()
            gamma = simulated.rate(settled(image, found), models.factors)
        found = estimate_scatter(
            models.model([], None),
            image,
            simulation.mu,
            thinned(data.prompts(), every),
            duration_s=data.duration_s / every,
            randoms=models.randoms,
            gamma=gamma,
            simulation=simulation,
            previous=found,
            trues_per_s=trues_per_s,
            threads=models.threads,
            stopped=models.stopped,
        )
        models.scatter = found
        if gamma is not None:
            models.prompt_gamma = gamma = gamma.scaled(found.gamma_scale)
        shares.append(found.about.get("share_of_prompts", 0.0))
    return {} if found is None else found.about | {"share_by_round": shares}


def _by_energies(
    models: FrameModels, tally: Tally, simulation: SingleScatter, progress: Progress
) -> dict[str, Any]:
    """Set energy-dependent scatter and randoms, after rounds without energies; if energies are not
    calibrated, set what ``_simulated`` does."""
    data = models.data
    found: EnergyScatter | None = None
    for done in range(ROUNDS):
        progress(done / ROUNDS)
        found = estimate_energy_scatter(
            models.model([], None),
            models.quick(tally, models.mu, psf_fwhm_mm=PSF_FWHM_MM),
            simulation.mu,
            data.prompts(),
            data.delayeds(),
            duration_s=data.duration_s,
            delayed_factor=data.delayed_factor,
            randoms=models.randoms,
            simulation=simulation,
            previous=None if found is None else found.plain,
            threads=models.threads,
            stopped=models.stopped,
        )
        if not found.mixture.calibrated:
            return _without_energies(models, tally, simulation, progress, found)
        models.scatter = found.plain
    if found is None:
        return {}
    models.scatter, models.randoms = found.scatter, found.randoms
    return found.about


def _without_energies(
    models: FrameModels,
    tally: Tally,
    simulation: SingleScatter,
    progress: Progress,
    refused: EnergyScatter,
) -> dict[str, Any]:
    """Use simulated scatter if the energies cannot be trusted, and say so."""
    models.scatter = None
    about = _simulated(models, tally, simulation, progress)
    notes = (refused.about["note"], about.get("note"))
    return about | {
        "method": f"{about['method']} (scatter = energy was asked for)",
        "note": "; ".join(note for note in notes if note),
        "fwhm_511_found": refused.about["fwhm_511_found"],
    }


def scatter_notes(
    frames: list[FrameImage],
    by_frame: Mapping[str, Any],
    grid: ImageGrid,
    done: Corrections,
    *,
    per_frame: bool,
) -> list[str]:
    """Say whether each frame has scatter of its own, and if not, whether it should.

    Parameters
    ----------
    frames : the images made, in order
    by_frame : what was found, of those frames that have an estimate of their own
    grid : the images' voxels
    done : its record of scatter is completed
    per_frame : whether an estimate of each frame was asked for
    """
    scatter = done.of("scatter")
    if not scatter.applied or len(frames) < 2:
        return []
    if by_frame:
        how = f"{scatter.how}; of {len(by_frame)} of {len(frames)} frames by itself"
        done.apply("scatter", how, **scatter.figures)
    elif not per_frame:
        full = [one.image for one in frames if one.about["prompts"] >= LEAST_OF_FRAME]
        moved = moved_share(full, grid)
        if moved > MOVED_SHARE:
            words = (
                f"{100 * moved:.0f} % of the activity of a frame is elsewhere than in the mean of "
                "all, and the scatter is the run's: --scatter-per-frame finds each its own"
            )
            return [words]
    return []
