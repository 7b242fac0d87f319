"""Component-based normalisation from a source of known shape.

The trues expected of the crystals i, j in the modules M, N are

    T_ij = s · P_ij · e_i b_p(i) · e_j b_p(j) · g_MN

with P_ij of the source's geometry (``daq.calibration.normalisation_source``), crystal efficiencies
e (mean 1 in each place of the block), the block profile b by the place p in the block, and
geometric factors g that module pairs of one kind (the same rings and sector difference) share.
Components after M. E. Casey, H. Gadagkar and D. Newport (3D Meeting 1995; Kluwer 1996) and R. D.
Badawi and P. K. Marsden, Phys. Med. Biol. 44 (1999) 571. The efficiencies are those of greatest
likelihood, found from fan sums by fixed-point iteration (D. Hogg, K. Thielemans, T. Spinks and N.
Spyrou, IEEE NSS 2001), Poisson's sufficient statistics here:

    ε_i = T_i / Σ_j s P_ij g_MN ε_j,   ε = e·b

Whatever only rescales modules is included in ε: g is scaled so that each module's expected fan is
as modelled. Only the product matters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from daq.calibration.fan_sums import FanSums
from daq.calibration.module_pairs import (
    SMALLER,
    fit_module_pairs,
    grazing_kinds,
    kinds_fitted,
    pair_chi2,
    pair_kinds,
    solve_scales,
)
from daq.calibration.normalisation_model import SourceModel, source_model
from daq.calibration.normalisation_source import NormalisationSource
from daq.folder.calibration_arrays import CalibrationSetError
from daq.folder.calibration_set import Status
from hw.arrays import F8
from hw.scanner.description import Scanner
from hw.scanner.geometry import Geometry, build_geometry

LEAST_TRUES = 100
"""Trues that must be expected of a crystal for an efficiency of its own: a standard error of at
most 10 %.
"""

LEAST_TOTAL = 10_000
DEAD_BELOW = 0.05
"""An efficiency below this, with enough counts to tell, means a dead crystal."""

_PASSES = 12
_SETTLED = 1e-4


@dataclass(frozen=True)
class NormalisationResult:
    """The components and their uncertainty; n crystals, m modules.

    efficiency, error : (n,) f8, e and its relative standard error; status : (n,) u1
    block_profile : (crystals_per_module,) f8; geometric : (m, m) f8, 1 for pairs without factor
    geometric_fitted : (m, m) bool
    trues : in total; passes : evaluations of the source model; change : of ε in the last one
    pair_chi2_before, pair_chi2_after : per degree of freedom, of the module pairs' trues against
        the model without and with geometric factors: a measure of what the source model does not
        explain
    """

    efficiency: F8
    error: F8
    status: npt.NDArray[np.uint8]
    block_profile: F8
    geometric: F8
    geometric_fitted: npt.NDArray[np.bool_]
    trues: float
    passes: int
    change: float
    pair_chi2_before: float
    pair_chi2_after: float


def calibrate_normalisation(
    sums: FanSums,
    scanner: Scanner,
    source: NormalisationSource,
    *,
    allowed: npt.NDArray[np.bool_],
    energies_keV: tuple[float, float] | None = None,
    on_pass: Callable[[int, int], None] | None = None,
    with_geometric: bool = True,
) -> NormalisationResult:
    """Return the normalisation's components; ``energies_keV`` as of :func:`source_model`.


    A crystal with fewer than ``LEAST_TRUES`` trues expected takes its module's mean, and one in a
    module with fewer than that the scanner's, times the block profile; they are marked.

    Parameters
    ----------
    sums : trues of each crystal's fan, and of each pair of modules
    source : what was measured, and where it lay
    allowed : (modules, modules) bool, pairs that may form a coincidence
    energies_keV : LLD and ULD, for the block efficiency; None for geometry alone
    on_pass : is told the passes done and the most there may be
    with_geometric : whether pairs of modules have factors; otherwise all of them are 1

    Raises
    ------
    CalibrationSetError
        if there are too few trues, or coincidences that the source described cannot give.
    """
    geometry = build_geometry(scanner)
    _check_counts(sums, scanner)
    model = source_model(scanner, geometry, source, allowed=allowed, energies_keV=energies_keV)
    kinds = pair_kinds(scanner, allowed)
    grazing = _grazing(model, kinds, scanner) if with_geometric else np.unique(kinds[kinds >= 0])
    pair_trues = np.where(allowed, sums.pair_trues, 0.0)
    epsilon, passes, change = np.ones(scanner.n_crystals), 0, np.inf
    known = np.zeros(scanner.n_crystals, np.bool_)
    for passes in range(1, _PASSES + 1):
        fans = model.expected(epsilon)
        if passes == 1:
            _check_explained(fans, sums, geometry)
        expected = _by_pair(fans * epsilon[:, None], scanner)
        scale, geometric = fit_module_pairs(expected, pair_trues, kinds, grazing)
        found, fan = _crystal_epsilon(sums, fans, scale, geometric, geometry)
        new, known = _gauged(found, fan, modules=scanner.n_modules)
        change = float(np.abs(new - epsilon).max())
        epsilon = new
        if on_pass is not None:
            on_pass(passes, _PASSES)
        if change < _SETTLED:
            break
    return _judged(sums, scanner, model, epsilon, known, (kinds, grazing), passes, change)


def _grazing(
    model: SourceModel, kinds: npt.NDArray[np.int64], scanner: Scanner
) -> npt.NDArray[np.int64]:
    """Return the kinds of pairs that see little but the source's edge."""
    ones = np.ones(scanner.n_crystals)
    smaller = replace(model, source=model.source.scaled(SMALLER))
    expected, less = (_by_pair(one.expected(ones), scanner) for one in (model, smaller))
    return grazing_kinds(expected, less, kinds)


def _crystal_epsilon(
    sums: FanSums, fans: F8, scale: F8, geometric: F8, geometry: Geometry
) -> tuple[F8, F8]:
    """Return T_i over the fan expected at efficiency 1, and that fan, both (n,)."""
    expected = (fans * (geometric * scale[None, :])[geometry.crystal_module]).sum(axis=1)
    trues = np.maximum(sums.trues, 0.0)
    return np.divide(trues, expected, out=np.zeros_like(expected), where=expected > 0), expected


def _gauged(value: F8, expected: F8, *, modules: int) -> tuple[F8, npt.NDArray[np.bool_]]:
    """Scale ε to a mean of 1; return it, and which crystals have a value of their own.

    A crystal has too few counts for a value of its own if an average one of its module, at its
    place, would have too few: it gets the mean of all its module's counts, times what crystals at
    its place count in all modules together.
    """
    each = len(value) // modules
    mean = _module_mean(value, expected, modules)
    counts = (value * expected).reshape(modules, each).sum(axis=1)
    alive = counts >= LEAST_TRUES
    known = (expected.reshape(modules, each) * mean[:, None] >= LEAST_TRUES) & alive[:, None]
    mean = np.where(alive, mean, mean[alive].mean() if alive.any() else 1.0)
    typical = alive[:, None] & ~(
        known & (value.reshape(modules, each) < DEAD_BELOW * mean[:, None])
    )
    profile = _place_profile(value * typical.ravel(), expected, mean[:, None] * typical)
    value = np.where(known.ravel(), value, (mean[:, None] * profile).ravel())
    return value / value.mean(), known.ravel()


def _place_profile(value: F8, expected: F8, mean: F8) -> F8:
    """Return trues over those of crystals like their module's ``mean`` (m, each), by place (each,);
    1 at a place with too few counts in all modules together.
    """
    counts = (value * expected).reshape(mean.shape).sum(axis=0)
    total = (mean * expected.reshape(mean.shape)).sum(axis=0)
    return np.divide(counts, total, out=np.ones_like(total), where=total >= LEAST_TRUES)


def _module_mean(value: F8, expected: F8, modules: int) -> F8:
    counts = (value * expected).reshape(modules, -1).sum(axis=1)
    total = expected.reshape(modules, -1).sum(axis=1)
    return np.divide(counts, total, out=np.zeros_like(total), where=total > 0)


def _by_pair(fans: F8, scanner: Scanner) -> F8:
    pairs = fans.reshape(scanner.n_modules, scanner.crystals_per_module, -1).sum(axis=1)
    return np.asarray((pairs + pairs.T) / 2)


def _separate(epsilon: F8, known: npt.NDArray[np.bool_], trues: F8, modules: int) -> tuple[F8, F8]:
    """Separate ε (n,) into efficiencies (n,) and the block profile (n // modules,), both of mean 1.

    An unknown crystal has the efficiency of its module's mean, at its place's profile.
    """
    table, known = epsilon.reshape(modules, -1), known.reshape(modules, -1)
    dead = known & (table < DEAD_BELOW)  # ε has a mean of 1
    typical = ~dead  # a dead crystal is no feature of the block
    module = np.mean(table, axis=1, where=typical | ~typical.any(axis=1, keepdims=True))
    weight = typical * trues.reshape(table.shape).clip(1.0)
    relative = table / np.maximum(module, 1e-30)[:, None]
    profile = np.ones(table.shape[1])
    total = weight.sum(axis=0)
    np.divide((relative * weight).sum(axis=0), total, out=profile, where=total > 0)
    profile /= profile.mean()
    efficiency = np.where(known, table / profile, module[:, None]).ravel()
    return efficiency / efficiency.mean(), profile


def _judged(
    sums: FanSums,
    scanner: Scanner,
    model: SourceModel,
    epsilon: F8,
    known: npt.NDArray[np.bool_],
    pairs: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    passes: int,
    change: float,
) -> NormalisationResult:
    """Return the components of ε, and the agreement of the module pairs.

    pairs : the kind of each, and the kinds that graze the source
    """
    kinds, grazing = pairs
    expected = _by_pair(model.expected(epsilon) * epsilon[:, None], scanner)
    inside = kinds >= 0
    trues = np.where(inside, sums.pair_trues, 0.0)
    variance = np.where(inside, sums.pair_variance, 0.0)
    scale, geometric = fit_module_pairs(expected, trues, kinds, grazing)
    plain = solve_scales(expected * inside, trues)
    alive = (trues.sum(axis=1) >= LEAST_TRUES).repeat(scanner.crystals_per_module)
    status = np.where(known, Status.FITTED, np.where(alive, Status.MODULE, Status.SCANNER))
    efficiency, profile = _separate(epsilon, known, sums.trues, scanner.n_modules)
    n_kinds = len(np.unique(kinds[inside]))
    return NormalisationResult(
        efficiency=efficiency,
        error=_relative_error(sums),
        status=status.astype(np.uint8),
        block_profile=profile,
        geometric=np.where(inside, geometric, 1.0),
        geometric_fitted=kinds_fitted(expected, trues, kinds, grazing),
        trues=float(sums.trues.sum() / 2),
        passes=passes,
        change=change,
        pair_chi2_before=pair_chi2(expected, plain, trues, variance, inside, 0),
        pair_chi2_after=pair_chi2(expected * geometric, scale, trues, variance, inside, n_kinds),
    )


def _relative_error(sums: FanSums) -> F8:
    """Relative standard error of each fan sum; that of the partners is far smaller."""
    trues = np.maximum(sums.trues, 0.0)
    return np.divide(
        np.sqrt(sums.variance), trues, out=np.full(len(trues), np.inf), where=trues > 0
    )


def _check_counts(sums: FanSums, scanner: Scanner) -> None:
    if len(sums.prompts) != scanner.n_crystals or len(sums.pair_prompts) != scanner.n_modules:
        raise CalibrationSetError(
            f"fan sums of {len(sums.prompts)} crystals in {len(sums.pair_prompts)} modules, "
            f"{scanner.name} has {scanner.n_crystals} in {scanner.n_modules}"
        )
    trues = float(sums.trues.sum() / 2)
    if trues < LEAST_TOTAL:
        raise CalibrationSetError(
            f"{trues:.0f} true coincidences: a normalisation needs at least {LEAST_TOTAL}, and "
            f"{LEAST_TRUES} for each of the {scanner.n_crystals} crystals; measure longer"
        )


def _check_explained(fans: F8, sums: FanSums, geometry: Geometry) -> None:
    """Refuse a source that cannot give most of the coincidences."""
    pairs = np.zeros(sums.pair_trues.shape)
    np.add.at(pairs, geometry.crystal_module.astype(np.int64), fans)
    impossible = float(sums.pair_trues[pairs <= 0].sum() / max(sums.pair_trues.sum(), 1.0))
    if impossible > 0.2:
        raise CalibrationSetError(
            f"{impossible:.0%} of the true coincidences join modules between which the source "
            "described gives none: correct its shape, size or position"
        )
