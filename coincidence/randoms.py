"""Randoms three ways: delayeds over their factor, 2τ·S·S, and per LOR from delayed fan sums.

Kernels count singles by slices of time and delayeds by their fans; the estimates are plain numpy,
as they are evaluated only a few times a second, or once a run. Each formula names its source;
docs/randoms.md explains why they differ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F8, I8, Array
from hw.jit import kernel


@kernel
def count_singles(
    singles: Array,
    module_of: Array,
    slice_ps: int,
    place: Array,
    crystals: Array,
    modules: Array,
    products: Array,
) -> None:
    """Count singles per crystal, and N_m · N_n in every slice for every pair of modules.

    Parameters
    ----------
    singles : (n,) SINGLE in order of time, none before those of earlier calls
    module_of : (n_crystals,) u2
    slice_ps : length of a slice; slice k covers [k, k + 1) × slice_ps
    place : (2,) i8, [number of the open slice, end of it in ps]; updated
    crystals : (n_crystals,) i8, singles of the run; updated
    modules : (modules,) i8, singles of the open slice; updated
    products : (modules, modules) i8, Σ N_m · N_n over closed slices, m < n; updated
    """
    for k in range(singles.shape[0]):
        time_ps = singles[k].time_ps
        if time_ps >= place[1]:
            close_slice(modules, products)
            place[0] = time_ps // slice_ps
            place[1] = (place[0] + 1) * slice_ps
        crystal = singles[k].crystal
        crystals[crystal] += 1
        modules[module_of[crystal]] += 1


@kernel
def close_slice(modules: Array, products: Array) -> None:
    """Add the products of the open slice's counts, then reset the counts to 0."""
    for m in range(modules.shape[0]):
        count = modules[m]
        if count > 0:
            for n in range(m + 1, modules.shape[0]):
                products[m, n] += count * modules[n]
    for m in range(modules.shape[0]):
        modules[m] = 0


@kernel
def count_delayeds(delayeds: Array, module_of: Array, crystals: Array, pairs: Array) -> None:
    """Add delayeds to the fan sums of both their crystals and to their pair of modules.

    Parameters
    ----------
    delayeds : (n,) COINCIDENCE
    crystals : (n_crystals,) i8, delayeds in which each crystal is one of the two; updated
    pairs : (modules, modules) i8, row < column; updated
    """
    for k in range(delayeds.shape[0]):
        a, b = delayeds[k].crystal_a, delayeds[k].crystal_b
        crystals[a] += 1
        crystals[b] += 1
        m, n = module_of[a], module_of[b]
        pairs[min(m, n), max(m, n)] += 1


FAN_STEPS = 1_000
FAN_TOLERANCE = 1e-12


@dataclass(frozen=True)
class RandomsRatio:
    """Both estimates of the number of randoms and their ratio, delayed over singles.

    ``ratio``, ``sigma`` and ``off_sigmas`` are NaN if unknown: no singles, or no delayed windows.

    sigma : standard deviation of ``ratio``, from what was counted
    off_sigmas : how surprising the delayeds are if the singles are right, in standard deviations:
        the root of the Poisson deviance, which unlike (ratio - 1) / sigma holds where few are
        counted (Baker & Cousins, Nucl. Instrum. Methods 221 (1984) 437)
    """

    from_delayeds: float
    from_singles: float
    ratio: float
    sigma: float
    off_sigmas: float

    @property
    def known(self) -> bool:
        """Whether the ratio is known."""
        return math.isfinite(self.ratio)


def compare_estimates(
    delayeds: int, factor: int, from_singles: float, *, singles: int
) -> RandomsRatio:
    """Return both estimates and their ratio with its standard deviation.

    The delayeds are Poisson (0 counts as 1, so that none where many are expected stands out); the
    sum of products of N Poisson singles has a relative variance of about 4/N, which matters only if
    there are nearly as many delayeds.

    factor : how often the delayed windows count the randoms; 0 if there are none
    """
    from_delayeds = delayeds / max(factor, 1)
    if not factor or from_singles <= 0:
        return RandomsRatio(from_delayeds, from_singles, math.nan, math.nan, math.nan)
    ratio = from_delayeds / from_singles
    of_delayeds = math.sqrt(max(delayeds, 1)) / factor / from_singles
    sigma = math.hypot(of_delayeds, 2 * ratio / math.sqrt(max(singles, 1)))
    expected = from_singles * factor
    of_singles = 2 * math.sqrt(expected / max(singles, 1))
    off = math.sqrt(_poisson_deviance(delayeds, expected)) / math.hypot(1, of_singles)
    return RandomsRatio(from_delayeds, from_singles, ratio, sigma, off)


def _poisson_deviance(counted: int, expected: float) -> float:
    """Return -2 ln of the likelihood ratio of an expectation to what was counted, at least 0."""
    logarithm = counted * math.log(counted / expected) if counted else 0.0
    return max(0.0, 2 * (expected - counted + logarithm))


def singles_rate_randoms(
    products: I8, allowed: npt.NDArray[np.bool_], *, window_ps: int, slice_ps: int
) -> F8:
    """Return the expected randoms of each allowed module pair, (modules, modules), row < column.

    R_mn = Σ over slices of 2τ · N_m · N_n / Δt, the singles-rate estimate of C. W. Stearns et al.,
    IEEE NSS Conf. Rec. 2003, 5, 3067 (G. F. Knoll, 4th ed., ch. 17 V: chance coincidences, with 2τ
    the full width). ``products`` : Σ N_m · N_n, as from count_singles.
    """
    either = np.triu(allowed | allowed.T, 1)
    return np.asarray(np.where(either, products, 0) * (2 * window_ps / slice_ps))


@dataclass(frozen=True)
class FanRates:
    """Delayeds smoothed by their fan sums: r_i · r_j is expected on the LOR of crystals i and j.

    rate : (n_crystals,) f8; residual : largest |Σ_j r_i r_j − D_i| of a module, over all delayeds
    """

    rate: F8
    residual: float

    def lines(self, crystal_a: npt.NDArray[np.integer], crystal_b: npt.NDArray[np.integer]) -> F8:
        """Return the expected delayeds on each LOR, (n,) f8; LORs must be of allowed pairs."""
        return np.asarray(self.rate[crystal_a] * self.rate[crystal_b])


def fan_sum_rates(
    crystal_delayeds: I8 | F8,
    module_of: npt.NDArray[np.uint16],
    allowed: npt.NDArray[np.bool_],
) -> FanRates:
    """Return rates r such that Σ_j r_i · r_j over each crystal's fan is its delayed fan sum D_i.

    Randoms of a line are proportional to the product of its crystals' singles rates, so the fan
    sums are the sufficient statistic of Poisson delayeds and r is their maximum-likelihood estimate
    (M. E. Casey and E. J. Hoffman, J. Comput. Assist. Tomogr. 10 (1986) 845; iterated as in V. Y.
    Panin et al., IEEE NSS Conf. Rec. 2007, and STIR's find_ML_singles_from_delayed). All crystals
    of a module have the same fan, so the fixed point is one of modules: R_m = D_m / Σ_n R_n over
    allowed n, and r_i = R_m · D_i / D_m. Taking the geometric mean with the previous step keeps the
    iteration from oscillating.

    Parameters
    ----------
    crystal_delayeds : (n_crystals,) delayeds in which each crystal is one of the two
    allowed : (modules, modules) bool
    """
    fans = (allowed | allowed.T).astype(np.float64)
    np.fill_diagonal(fans, 0.0)
    wanted = np.bincount(module_of, weights=crystal_delayeds, minlength=len(fans))
    total = wanted.sum()
    if total <= 0:
        return FanRates(np.zeros(len(crystal_delayeds)), 0.0)
    rate, residual = wanted / math.sqrt(total), math.inf
    for _ in range(FAN_STEPS):
        seen = fans @ rate
        residual = float(np.abs(rate * seen - wanted).max() / total)
        if residual < FAN_TOLERANCE:
            break
        rate = np.sqrt(rate * wanted / np.maximum(seen, 1e-300))
    of_module = rate / np.maximum(wanted, 1e-300)
    return FanRates(np.asarray(of_module[module_of] * crystal_delayeds), residual)
