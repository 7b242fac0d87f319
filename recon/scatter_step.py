"""The scatter correction of a run: quick image, estimate, image again.

The first image still holds the scatter and is a third too bright; the second is made with the first
estimate. That is close enough: scatter depends on the activity only through integrals over the
object, and its scale is fitted to the data. Where the object moved, scatter is that of the
reference pose.
"""

from __future__ import annotations

from recon.corrections import Corrections
from recon.frame_models import FrameModels
from recon.options import ReconOptions
from recon.preparation import thinned
from recon.scatter import EnergyWindow, ScatterError, ScatterRate, SingleScatter, estimate_scatter
from recon.tally import Tally

TAIL_EVENTS = 2_000_000
ROUNDS = 2


def scatter_rate(
    models: FrameModels, tally: Tally, options: ReconOptions, done: Corrections
) -> None:
    """Put the run's scatter into ``models``, as far as it is wanted and possible."""
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
        rate = _simulated(models, tally)
    except ScatterError as error:
        models.scatter = None
        done.miss("scatter", str(error))
        return
    models.scatter = rate
    note = f"; {rate.about['note']}" if rate.about.get("note") else ""
    facts = {key: value for key, value in rate.about.items() if key not in ("method", "note")}
    done.apply("scatter", f"{rate.about['method']}{note}", **facts)


def _simulated(models: FrameModels, tally: Tally) -> ScatterRate:
    """Return the estimate of ``ROUNDS`` rounds of image and simulation."""
    data, system = models.data, models.system
    every = max(1, -(-tally.run.prompts // TAIL_EVENTS))
    window = EnergyWindow.of(data.scanner, lld_keV=data.lld_keV, uld_keV=data.uld_keV)
    simulation = SingleScatter(
        system, models.mu, window, threads=models.threads, stopped=models.stopped
    )
    for _ in range(ROUNDS):
        found = estimate_scatter(
            models.model([], None),
            models.quick(tally, models.mu),
            models.mu,
            thinned(data.prompts(), every),
            duration_s=data.duration_s / every,
            window=window,
            randoms=models.randoms,
            simulation=simulation,
            threads=models.threads,
            stopped=models.stopped,
        )
        models.scatter = found
    return found
