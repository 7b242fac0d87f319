"""The correction for prompt γ of a run: whether it is needed, and its amount.

Like scatter it is simulated from a quick image, which it then changes; both are found in the same
rounds (:mod:`recon.offline.scatter_step`), or prompt γ alone where scatter is not corrected.
"""

from __future__ import annotations

from hw.physics.nuclides import nuclide_of
from recon.core.correction_record import Corrections
from recon.lines.model import LineRate
from recon.offline.frame_counts import Tally
from recon.offline.frame_setup import FrameModels
from recon.offline.options import ReconOptions
from recon.scatter import EnergyWindow, PromptGammas, ScatterError, ScatterRate
from recon.scatter.estimate import solved_scale
from recon.scatter.quick_image import PSF_FWHM_MM
from recon.scatter.rate import counted_per_s, settled

NAME = "prompt_gamma"

ROUNDS = 4


def prompt_gammas(
    models: FrameModels, tally: Tally, options: ReconOptions, done: Corrections
) -> PromptGammas | None:
    """Return the simulation of the run's prompt γ, or None and the reason in ``done``."""
    if not options.prompt_gamma:
        done.leave(NAME, "not wanted")
        return None
    data = models.data
    nuclide, unknown = nuclide_of(data.labels)
    if nuclide is None:
        done.leave(NAME, f"not known whether it is needed: {unknown}")
        return None
    try:
        window = EnergyWindow.of(data.scanner, lld_keV=data.lld_keV, uld_keV=data.uld_keV)
        pairs = PromptGammas.pairs_of(models.system, window, nuclide)
        if not pairs:
            done.leave(NAME, f"not needed: {nuclide.name} has no γ that come with its positrons")
            return None
        if models.mu is None:
            done.miss(NAME, "how many γ leave the object is not known without attenuation")
            return None
        if not tally.run.prompts:
            done.miss(NAME, "no prompts")
            return None
        return PromptGammas.of(
            models.system, models.mu, window, pairs, threads=models.threads,
            stopped=models.stopped,
        )  # fmt: skip
    except ScatterError as error:
        done.miss(NAME, str(error))
        return None


def prompt_gamma_alone(
    models: FrameModels, tally: Tally, gammas: PromptGammas, done: Corrections
) -> None:
    """Put prompt γ into ``models`` without scatter, and record it."""
    found: ScatterRate | None = None
    for done_rounds in range(ROUNDS):
        shown = models.quick(tally, models.mu, psf_fwhm_mm=PSF_FWHM_MM)
        activity = settled(shown, found)
        simulated = gammas if done_rounds == ROUNDS - 1 else gammas.quickly()
        made = simulated.rate(activity, models.factors)
        left = (tally.run.prompts - _randoms(tally, models)) / models.data.duration_s
        trues = models.explained_per_s(shown, models.mu)
        part = float(activity.sum() / max(shown.sum(), 1e-30))
        found = made.scaled(solved_scale(left, trues * part, counted_per_s(made)))
        models.prompt_gamma = found
    tell_prompt_gamma(models, tally, done)


def tell_prompt_gamma(models: FrameModels, tally: Tally, done: Corrections) -> None:
    """Record the amount that was found."""
    found = models.prompt_gamma
    assert isinstance(found, ScatterRate)
    per_s = counted_per_s(found)
    share = per_s * models.data.duration_s / max(tally.run.prompts, 1)
    done.apply(
        NAME,
        "two photons of one decay, simulated from the image and the nuclide's scheme",
        per_s=round(per_s, 2),
        share_of_prompts=round(share, 4),
        scale=round(found.scale, 4),
    )


def _randoms(tally: Tally, models: FrameModels) -> float:
    """Return the run's randoms, as far as they are corrected."""
    randoms: LineRate | None = models.randoms
    return 0.0 if randoms is None else tally.run.delayeds / max(models.data.delayed_factor, 1)
