"""Where positrons annihilate in water, about the place of their decay.

Of positrons of one energy, the square of the distance to the end of their way over that of their
CSDA range R is taken to have a beta distribution,

    (r/R)² ~ Beta(3/2, b),    b = 3/2 · (R²/⟨r²⟩ − 1),

whose density is finite and smooth at r = 0, ends at R, and has the mean square of transport theory
(:mod:`hw.physics.positron_transport`), so that no parameter is free. Energies come from the allowed
spectrum of each branch. Straggling beyond R, annihilation in flight and the last nanometres of
positronium are left out. Other matter is water of another electron density, found from its µ at 511
keV, which is nearly all Compton scatter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy  # scipy.optimize is imported where it is first used: 0.3 s at each start
from scipy.special import betainc, gammainc

from hw.arrays import F8
from hw.physics.beta_spectrum import energy_quantiles
from hw.physics.nuclides import Nuclide, Positron
from hw.physics.positron_transport import slowing_down

MOST_SCALE = 5.0
"""No matter is taken as thinner than a fifth of water: lung has a quarter of it."""

ENCAPSULATED_BELOW = 0.1
"""A source in thinner matter than this part of water is in air, where its positrons would get out:
it is taken as encapsulated in water."""

_ENERGIES, _RADII, _QUANTILES = 250, 500, 1024

_WIDTHS = np.array([0.05, 0.2, 0.5, 0.9, 1.4])
"""Of the Gaussians that stand for a distribution, over its root mean square along one axis."""

_FIRM = 1e2
"""Weight of the total and of the mean square in their fit."""


@dataclass(frozen=True)
class PositronRange:
    """Where the positrons of a nuclide annihilate in water.

    radius_mm, within : (n,) f8, the share of annihilations within each radius
    """

    radius_mm: F8
    within: F8

    @classmethod
    def of(cls, nuclide: Nuclide) -> PositronRange | None:
        """Return the distribution over all branches; None for a nuclide without β⁺."""
        if not nuclide.positrons:
            return None
        shares = np.linspace(0.0, 1.0, _QUANTILES + 1)
        of_branch = [
            radius_quantiles_mm(branch, nuclide.atomic_number - 1, _QUANTILES)
            for branch in nuclide.positrons
        ]
        radius = np.linspace(0.0, 1.0, _RADII) ** 2 * max(radii[-1] for radii in of_branch)
        intensity = np.array([branch.intensity for branch in nuclide.positrons])
        parts = [np.interp(radius, radii, shares) for radii in of_branch]
        return cls(radius, intensity @ np.array(parts) / intensity.sum())

    @property
    def mean_mm(self) -> float:
        """Mean distance in space."""
        return float(np.trapezoid(1.0 - self.within, self.radius_mm))

    @property
    def rms_mm(self) -> float:
        """Root mean square along one axis."""
        square = 2.0 * np.trapezoid((1.0 - self.within) * self.radius_mm, self.radius_mm)
        return math.sqrt(float(square) / 3)

    def gaussians(self) -> tuple[F8, F8]:
        """Return weights (sum 1) and σ in mm of three-dimensional Gaussians that add up to it.

        Least squares of the share within each radius; the mean square is kept. The share is met
        to 2.3 %, worst in the core, below a tenth of the root mean square.
        """
        spread = self.rms_mm
        inside = gammainc(1.5, (self.radius_mm[:, None] / (_WIDTHS * spread)) ** 2 / 2)
        rows = np.vstack([inside, np.full(len(_WIDTHS), _FIRM), _FIRM * _WIDTHS**2])
        weights, _ = scipy.optimize.nnls(rows, np.concatenate([self.within, [_FIRM, _FIRM]]))
        weights /= weights.sum()
        sigmas = _WIDTHS * (spread / math.sqrt(float(weights @ _WIDTHS**2)))
        return weights[weights > 0], sigmas[weights > 0]


def radius_quantiles_mm(branch: Positron, daughter_z: int, n: int) -> F8:
    """Return the radii (n + 1,) f8 within which 0, 1/n, 2/n, ... of annihilations lie, mm."""
    table = slowing_down()
    energy = energy_quantiles(branch.endpoint_keV, daughter_z, positron=True, n=_ENERGIES)
    middle = (energy[1:] + energy[:-1]) / 2
    way, spread = (_at(middle, column) for column in (table.csda_mm, table.rms_mm))
    furthest = float(_at(np.array([branch.endpoint_keV]), table.csda_mm)[0])
    b = 1.5 * ((way / spread) ** 2 - 1)
    # finer towards 0, where the many slow positrons are
    radius = np.linspace(0.0, 1.0, _RADII) ** 2 * furthest
    part = np.minimum((radius[:, None] / way) ** 2, 1.0)
    within = betainc(1.5, b, part).mean(axis=1)
    return np.interp(np.linspace(0.0, 1.0, n + 1), within, radius)


def range_scale(mu_per_mm: npt.NDArray[np.floating], water_per_mm: float) -> F8:
    """Return the ratio of ranges to those in water, in matter of these µ at 511 keV."""
    part = np.asarray(mu_per_mm, np.float64) / water_per_mm
    scale = 1.0 / np.maximum(part, 1.0 / MOST_SCALE)
    return np.where(part < ENCAPSULATED_BELOW, 1.0, scale)


def _at(energy_keV: F8, column_mm: F8) -> F8:
    """Return a column of the table at these energies, a power law between its rows."""
    table = slowing_down()
    logs = np.interp(np.log(energy_keV), np.log(table.energy_keV), np.log(column_mm))
    return np.exp(logs)
