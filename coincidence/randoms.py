"""Counting for the estimates of randoms: singles by slices of time, delayeds by their fans.

Kernels only; what is made of the counts is in :mod:`coincidence.randoms_estimates`.
"""

from __future__ import annotations

from hw.jit import Array, kernel


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
    """Count singles per crystal, and N_m · N_n of every slice for every pair of modules.

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
    """Add the products of the open slice's counts, and set those to 0."""
    for m in range(modules.shape[0]):
        count = modules[m]
        if count > 0:
            for n in range(m + 1, modules.shape[0]):
                products[m, n] += count * modules[n]
    for m in range(modules.shape[0]):
        modules[m] = 0


@kernel
def count_delayeds(delayeds: Array, module_of: Array, crystals: Array, pairs: Array) -> None:
    """Add delayeds to the fan sums of both their crystals, and to their pair of modules.

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
