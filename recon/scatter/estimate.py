"""The scatter of a measurement: simulated from an image, scaled to the data.

The scale comes from the tails and, if calibrated, from the energies of the prompts
(:mod:`recon.scatter.mixture`). If the image contains the whole object, the simulation itself is
right in absolute terms. The scales are weighted by 1/σ². ``about`` says which were used.

Image and estimate depend on each other: subtracting too much scatter leaves the object too dark,
which gives too little scatter next, and so on. The amount is solved for, not iterated: the image
explains the prompts less randoms and the scatter subtracted from them, T counts, and has S counts
of scatter in the simulation; trues and scatter in the proportion T : S must add up to the prompts
less randoms, so that the scale is (prompts − randoms)/(T + S). Prompt γ
(:mod:`recon.scatter.cascades`) are simulated from the same image: G counts of them have a scale of
their own, since pairs and single photons may be detected by a few per cent more or less than the
model has it, and the tails are fitted with that G. As to the shape, each simulation
after the first uses the mean of the image and of the ``previous`` one's input times its scale,
which damps the oscillation (docs/reconstruction/scatter.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.arrays import F8, Records
from recon.core.grid import Image
from recon.lines.model import LineModel, LineRate
from recon.scatter.detector import EnergyWindow, ScatterError
from recon.scatter.energies import scaled_by
from recon.scatter.mixture import Mixture, energy_counts, fit_mixture
from recon.scatter.rate import ScatterRate, counted_per_s, settled
from recon.scatter.simulation import ScatterOptions, SingleScatter
from recon.scatter.spectra import scattered_energies, window_edges
from recon.scatter.tails import GAMMA_ERROR, TailFit, Tails, object_mask, tails_of

TAIL_ERROR = 0.09
"""Relative error of the tails' scale beside that of counting: 3 % too much was found with a
cylinder, 14 % with a head (docs/reconstruction/scatter.md)."""

SIMULATED_ERROR = 0.05
"""Of the simulation's own scale, of an image whose scatter was subtracted; against the truth of
emulated cylinders and heads it was found within 5 % (docs/reconstruction/scatter.md)."""

FIRST_ERROR = 0.1
"""The same of an image that still holds its scatter."""

BEYOND_ERROR = 0.25
"""Of the simulation's scale where nothing else is known of an object that continues; at least that
of one that is held at a bound."""

REACHES_BEYOND = 0.3
"""Share of the µ map's mean slice: if the first or last slice holds more, the object continues."""

GAMMA_OVER_PAIRS_ERROR = 0.05
"""Of prompt γ over back-to-back pairs in the detection model: with the true activity of an emulated
cylinder the γ were 1.00 and the pairs 1.06 of the truth (docs/reconstruction/prompt_gamma.md)."""

MOST_GAMMA = 0.95
"""Of the prompts less randoms; the rest is left for trues and scatter."""

MOST_RELATIVE_ERROR = 0.25
"""A scale less certain than this is not used."""

SCALE_BOUNDS = (0.1, 4.0)
"""Beyond these a scale is no scatter's: 1 to 1.5 with a corrected image, less with one that still
holds scatter, more where matter is missing in the µ map."""


def estimate_scatter(
    model: LineModel,
    activity: Image,
    mu: Image,
    prompts: Iterable[Records] = (),
    *,
    duration_s: float,
    window: EnergyWindow | None = None,
    randoms: LineRate | None = None,
    gamma: ScatterRate | None = None,
    options: ScatterOptions | None = None,
    simulation: SingleScatter | None = None,
    previous: ScatterRate | None = None,
    trues_per_s: float | None = None,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> ScatterRate:
    """Return the scatter rate of every line.

    Parameters
    ----------
    model : the system and the factors that scatter shares with trues; its rates are not used
    activity : emissions per second in each voxel, reconstructed with the same factors
    mu : 1/mm on the same grid; without matter there is no scatter, and ``about`` says so
    prompts : chunks of ``COINCIDENCE`` records for the scale; without any it stays 1
    duration_s : live seconds that ``prompts`` cover
    window : the run's energy window; by default the preset's
    randoms : their rate on the same lines, or None
    gamma : prompt γ, of ``settled(activity, previous)``; to be scaled by ``gamma_scale`` of what is
        returned. The energies then do not help: they tell γ from annihilation photons badly
    simulation : one for the same µ map, kept from an earlier estimate; saves half the time
    previous : the estimate that ``activity`` was reconstructed with, if any: see above
    trues_per_s : what ``activity`` explains of the prompts; by default all but the randoms and the
        previous scatter, as an image that has converged does

    Raises
    ------
    ScatterError
        if the activity or the duration cannot be used; ``MuMapError`` for the µ map.
    """
    if not (math.isfinite(duration_s) and duration_s > 0):
        raise ScatterError(f"duration {duration_s} s: needs the prompts' seconds, more than 0")
    system = model.system
    window = window or EnergyWindow.of(system.scanner)
    if simulation is None:
        simulation = SingleScatter(
            system, mu, window, options=options, threads=threads, stopped=stopped
        )
    shown, activity = activity, settled(activity, previous)
    table = simulation.table(activity, stopped=stopped)
    single = ScatterRate(system, table, tuple(model.factors), activity=activity)
    if simulation.empty or not table.rates.any():
        empty = "the µ map is empty" if simulation.empty else "there is no activity"
        about = _about(single, simulation, f"{empty}: nothing scatters, so nothing is subtracted")
        return replace(single, about=about)
    tally = _Tally(prompts, window_edges(simulation.window), duration_s)
    mask = object_mask(mu, activity, system)
    tails = tails_of(
        single, mask, tally, duration_s=duration_s, randoms=randoms, gamma=gamma,
        locate=model.locate, threads=threads,
    )  # fmt: skip
    left = (tally.count - tails.all_randoms) / duration_s
    if trues_per_s is None:
        trues_per_s = left - (0.0 if previous is None else counted_per_s(previous))
    in_image = float(activity.sum(dtype=np.float64) / shown.sum(dtype=np.float64))
    of_image, gamma_scale = _solved(
        left * duration_s,
        (trues_per_s * in_image + counted_per_s(single)) * duration_s,
        0.0 if gamma is None else counted_per_s(gamma) * duration_s,
        tails,
    )
    single = replace(single, gamma_scale=gamma_scale)
    fit = tails.fit(gamma_scale)
    mixture = None if gamma is not None else _by_energies(tally, fit, simulation, activity)
    fit = replace(fit, relative_error=math.hypot(fit.relative_error, TAIL_ERROR))
    scales = _by_tails(fit) + _by_mixture(mixture, single, duration_s)
    counts = previous is not None or not scales  # an image that holds scatter tells less
    if counts and tally.count and simulation.with_multiple and not reaches_beyond(mu):
        error = FIRST_ERROR if previous is None else SIMULATED_ERROR
        scales += [_Choice(of_image, of_image * error, "simulation")] if trues_per_s > 0.0 else []
    choice = _choice(scales, fit)
    return _scaled(single, simulation, choice, fit, tally)


def solved_scale(left_per_s: float, trues_per_s: float, background_per_s: float) -> float:
    """Return the scale at which trues and what is simulated, in this proportion, add up.

    left_per_s : prompts less randoms, per second; 1 is returned where nothing is known
    """
    both = max(trues_per_s, 0.0) + background_per_s
    return left_per_s / both if both > 0.0 and left_per_s > 0.0 else 1.0


def _solved(left: float, both: float, gamma: float, tails: Tails) -> tuple[float, float]:
    """Return the scales of an image's trues and scatter, and of its prompt γ.

    Together they must add up to ``left``, prompts less randoms. Two things tell how much of it is
    γ: that both scales are the same, as far as the detection model holds for pairs and for single
    photons alike, and the tails, which hold little else where there are many. What noise leaves
    outside the object is attenuated less: it makes many trues and few γ. The two are averaged with
    1/σ².

    both : trues and scatter in the simulation; gamma : prompt γ in it, 0 without
    """
    same = solved_scale(left, both, gamma)
    if gamma <= 0.0 or both <= 0.0:
        return same, same
    of_same = _Choice(same, same * GAMMA_OVER_PAIRS_ERROR * both / (both + gamma), "simulation")
    scatter, gammas = float(tails.scatter.sum()), float(tails.gamma.sum())
    seen, random = float(tails.seen.sum()), float(tails.random.sum())
    least = gammas - gamma * scatter / both  # γ moved from all lines to the tails changes scatter
    by_tails = (seen - random - left * scatter / both) / least if least > 0.0 else 0.0
    scale = same
    if by_tails > 0.0:
        unsure = (seen**0.5, TAIL_ERROR * same * scatter, GAMMA_ERROR * by_tails * gammas)
        of_tails = _Choice(by_tails, math.hypot(*unsure) / least, "tails")
        both_ways = (of_same, of_tails)
        weight = [one.sigma**-2.0 for one in both_ways]
        scale = float(np.average([one.scale for one in both_ways], weights=weight))
    scale = min(scale, MOST_GAMMA * left / gamma)
    return (left - scale * gamma) / both, scale


def reaches_beyond(mu: Image) -> bool:
    """Return whether the object extends beyond the image along the axis.

    Activity there scatters into the image, unknown to the simulation: for a cylinder 24 mm longer
    than the image it was a fifth too low (docs/reconstruction/scatter.md).
    """
    slices = mu.sum(axis=(0, 1), dtype=np.float64)
    return bool(max(slices[0], slices[-1]) > REACHES_BEYOND * slices.mean())


@dataclass(frozen=True)
class _Choice:
    scale: float
    sigma: float
    source: str
    note: str = ""


def _by_energies(
    tally: _Tally, fit: TailFit, simulation: SingleScatter, activity: Image
) -> Mixture | None:
    """Return the energies' estimate, or None if it cannot be trusted."""
    try:
        found = fit_mixture(
            tally.energies,
            np.zeros_like(tally.energies),
            simulation,
            scattered_energies(simulation, activity),
            randoms=fit.all_randoms,
        )
    except ScatterError:
        return None
    return found if found.calibrated else None


def _by_tails(fit: TailFit) -> list[_Choice]:
    if fit.relative_error >= MOST_RELATIVE_ERROR:
        return []
    return [_Choice(fit.scale, fit.scale * fit.relative_error, "tails")]


def _by_mixture(mixture: Mixture | None, single: ScatterRate, duration_s: float) -> list[_Choice]:
    if mixture is None or mixture.relative_error >= MOST_RELATIVE_ERROR:
        return []
    scale = scaled_by(single, mixture, duration_s).scale
    return [_Choice(scale, scale * mixture.relative_error, "energies")]


def _choice(scales: list[_Choice], fit: TailFit) -> _Choice:
    """Return the mean of the scales, weighted by their errors."""
    if not scales:
        note = f"only {fit.prompts:g} prompts beside the object, and their energies do not tell: "
        return _Choice(1.0, BEYOND_ERROR, "none", note + "the amount is the simulation's")
    weight = np.array([1.0 / max(one.sigma, 1e-9) ** 2 for one in scales])
    scale = float(np.average([one.scale for one in scales], weights=weight))
    source = ", ".join(one.source for one in scales)
    low, high = SCALE_BOUNDS
    if low <= scale <= high:
        return _Choice(scale, float(weight.sum() ** -0.5), source)
    note = f"{source} ask for a scale of {scale:.3g}, held at {low:g}..{high:g}: look at the µ map"
    held = min(max(scale, low), high)
    return _Choice(held, BEYOND_ERROR * held, source, note)


def _scaled(
    single: ScatterRate,
    simulation: SingleScatter,
    choice: _Choice,
    fit: TailFit,
    tally: _Tally,
) -> ScatterRate:
    about = _about(single, simulation, choice.note)
    result = replace(single, scale=choice.scale, about=about)
    about["scale"], about["scale_from"] = round(choice.scale, 4), choice.source
    about["scale_sigma"] = round(choice.sigma, 4)
    about["tail_prompts"], about["tail_randoms"] = round(fit.prompts), round(fit.randoms)
    about["scatter_per_s"] = counted_per_s(result)
    if tally.count:
        share = about["scatter_per_s"] * tally.duration_s / tally.count
        about["share_of_prompts"] = round(share, 4)
    return result


def _about(single: ScatterRate, simulation: SingleScatter, note: str) -> dict[str, Any]:
    return {
        "method": "single-scatter simulation, scaled to the measurement",
        "points": len(simulation.points),
        "window_keV": [simulation.window.lld_keV, simulation.window.uld_keV],
        "scale": 1.0,
        "scale_from": "none",
        "note": note,
    }


class _Tally:
    """Passes chunks of records through and counts them."""

    def __init__(self, parts: Iterable[Records], edges_keV: F8, duration_s: float) -> None:
        self._parts, self._edges = parts, edges_keV
        self.duration_s = duration_s
        self.count = 0
        self.energies = np.zeros((len(edges_keV) - 1, len(edges_keV) - 1))

    def __iter__(self) -> Iterator[Records]:
        for part in self._parts:
            self.count += len(part)
            self.energies += energy_counts(part, self._edges)
            yield part
