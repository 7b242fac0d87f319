"""Scatter by energies: simulated shape; the amount, and each event's own odds, by energy.

:mod:`recon.scatter.mixture` finds the amount of scatter from the prompts' energies, wherever their
lines run, so no tails are needed. An event with energies e_a, e_b on line i is then expected

    n_i ( trues_i f_t + q_i f_s + r_i f_r )

times per second. EM needs the background over the factors of the trues, hence q_i f_s/f_t and r_i
f_r/f_t: :class:`EnergyRate` multiplies a plain rate by a table over (e_a, e_b). Events with both
energies near 511 keV count almost fully as trues, those of low energy hardly, so their noise no
longer enters the image (Guérin and El Fakhri, IEEE Trans. Med. Imaging 30 (2011) 759).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hw.arrays import F4, F8, Records
from recon.core.event_location import LocatedEvents
from recon.core.grid import Image
from recon.lines.model import LineModel, LineRate
from recon.scatter.detector import EnergyWindow, ScatterError
from recon.scatter.mixture import Mixture, energy_bins, energy_counts, fit_mixture
from recon.scatter.rate import ScatterRate, counted_per_s, settled
from recon.scatter.simulation import ScatterOptions, SingleScatter
from recon.scatter.spectra import scattered_energies, window_edges

UNCALIBRATED = (
    "the energy peak is {:.1%} wide, not as this scanner's: scatter by energies cannot be "
    "trusted; calibrate energies first, until then use scatter = sss"
)


@dataclass(frozen=True)
class EnergyRate:
    """A ``LineRate``: ``rate`` times ``ratio`` [bin of e_a, bin of e_b]; 0 outside the window."""

    rate: LineRate
    ratio: F4
    edges_keV: F8

    def of_records(self, records: Records, located: LocatedEvents) -> F4:
        """Return the rate relative to trues of the same energies, (n,) float32."""
        a, b = energy_bins(records, self.edges_keV)
        ratio = np.where((a >= 0) & (b >= 0), self.ratio[a, b], np.float32(0.0))
        return np.asarray(self.rate.of_records(records, located) * ratio, dtype=np.float32)


@dataclass(frozen=True)
class EnergyScatter:
    """Energy-dependent scatter and randoms that replace the plain rates.

    plain : the same scatter, for use without energies
    """

    scatter: LineRate
    randoms: LineRate | None
    plain: ScatterRate
    mixture: Mixture
    about: dict[str, Any]


def estimate_energy_scatter(
    model: LineModel,
    activity: Image,
    mu: Image,
    prompts: Iterable[Records],
    delayeds: Iterable[Records] = (),
    *,
    duration_s: float,
    delayed_factor: int = 1,
    window: EnergyWindow | None = None,
    randoms: LineRate | None = None,
    options: ScatterOptions | None = None,
    simulation: SingleScatter | None = None,
    previous: ScatterRate | None = None,
    threads: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> EnergyScatter:
    """Return scatter with the simulation's shape and the amount given by the energies.

    Parameters
    ----------
    model, activity, mu, prompts, duration_s, window, previous, simulation : as in
        :func:`recon.scatter.estimate.estimate_scatter`
    delayeds : chunks of ``COINCIDENCE`` records, for number and spectrum of the randoms; none: no
        randoms
    delayed_factor : how often they count the randoms (``SortSettings.delayed_factor``)
    randoms : the plain rate of randoms, 1/s, to be made energy-dependent
    options : how finely the simulation samples; by default as :class:`ScatterOptions` does
    threads : of the simulation
    stopped : polled regularly; True raises :class:`recon.scatter.simulation.ScatterStopped`

    Raises
    ------
    ScatterError
        if there are too few prompts, or as in ``estimate_scatter``.
    """
    if simulation is None:
        window = window or EnergyWindow.of(model.system.scanner)
        simulation = SingleScatter(
            model.system, mu, window, options=options, threads=threads, stopped=stopped
        )
    if simulation.empty:
        raise ScatterError("nothing in the µ map scatters, so that energies tell no scatter")
    edges = window_edges(simulation.window)
    activity = settled(activity, previous)
    table = simulation.table(activity, stopped=stopped)
    single = ScatterRate(model.system, table, tuple(model.factors), activity=activity)
    delayed = _counted(delayeds, edges)
    found = fit_mixture(
        _counted(prompts, edges),
        delayed,
        simulation,
        scattered_energies(simulation, activity),
        randoms=float(delayed.sum()) / max(delayed_factor, 1),
    )
    return _energy_scatter(single, found, randoms, duration_s, simulation)


def _counted(parts: Iterable[Records], edges_keV: F8) -> F8:
    bins = len(edges_keV) - 1
    return sum((energy_counts(part, edges_keV) for part in parts), start=np.zeros((bins, bins)))


def scaled_by(single: ScatterRate, found: Mixture, duration_s: float) -> ScatterRate:
    """Return simulated scatter scaled to the amount found by a mixture."""
    simulated = counted_per_s(single) * duration_s
    scale = found.scatter / simulated if simulated > 0 else 0.0
    return replace(single, scale=single.scale * scale)


def _energy_scatter(
    single: ScatterRate,
    found: Mixture,
    randoms: LineRate | None,
    duration_s: float,
    simulation: SingleScatter,
) -> EnergyScatter:
    plain = scaled_by(single, found, duration_s)
    edges = found.spectra.edges_keV
    over_trues = found.scatter_over_trues().astype(np.float32)
    random_ratio = found.randoms_over_trues().astype(np.float32)
    prompts = found.trues + found.scatter + found.randoms
    about = {
        "method": "single-scatter simulation, amount and chance of each event by its energies",
        "points": len(simulation.points),
        "window_keV": [simulation.window.lld_keV, simulation.window.uld_keV],
        "scale": round(plain.scale, 4),
        "scale_from": "energies",
        "share_of_prompts": round(found.scatter / max(prompts, 1e-300), 4),
        "scatter_fraction": round(found.scatter_fraction, 4),
        "fwhm_511_found": round(found.spectra.fwhm_511, 4),
        "gain_found": round(found.spectra.gain, 4),
        "squares_per_bin": round(found.squares_per_bin, 2),
        "scale_sigma": round(plain.scale * found.relative_error, 4),
        "note": "" if found.calibrated else UNCALIBRATED.format(found.spectra.fwhm_511),
    }
    return EnergyScatter(
        EnergyRate(plain, over_trues, edges),
        None if randoms is None else EnergyRate(randoms, random_ratio, edges),
        replace(plain, about=about),
        found,
        about,
    )
