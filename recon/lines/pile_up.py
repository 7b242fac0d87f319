"""Pile-up: trues lost because another photon's light came while a block integrated.

A block integrates for T after a trigger (``integration_ns``). Of triggers at a rate n the share
1 − exp(−nT) holds light of a later hit (G. F. Knoll, "Radiation Detection and Measurement", 4th
ed., section 17.VII). n follows from the share d of time that the block was dead, τ each time:

    non-paralysable   nτ = d / (1 − d)            paralysable   nτ = −ln(1 − d)

(section 4.VII), so that only what the run kept is needed. A hit that comes g later adds (1 −
exp(−(T − g)/t)) / (1 − exp(−T/t)) of its energy, t the light's decay time. Some photons leave the
energy window so, and some below it are lifted into it: with the energies that 511 keV photons leave
in a block, as first and as second hit, the window holds the share k of what it holds without. That
photons scattered in the object leave less is not counted: it makes k a few per cent too small.
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F8
from hw.physics.block_efficiency import energy_tables
from hw.physics.scintillator import SCINTILLATION_NS
from hw.scanner.description import Scanner

GAPS = 24
LEAST_KEV = 40
"""Deposits below trigger nothing as a rule, and change little as a second hit."""


def piled_share(scanner: Scanner, dead_share: F8) -> F8:
    """Return the share of each module's triggers that hold light of a later hit.

    dead_share : (n,) of the time, below 1
    """
    response = scanner.response
    integration_ns, dead_ns = response.integration_ns, response.dead_time_ns
    busy_ns = max(dead_ns, integration_ns)
    if busy_ns <= 0:
        return np.zeros(len(dead_share))
    share = np.clip(dead_share, 0.0, 0.99)
    rate = share / (1 - share)
    if response.dead_time_model == "paralysable":
        rate = -np.log1p(-share)
    return np.asarray(-np.expm1(-rate * integration_ns / busy_ns))


def pairs_not_piled_up(scanner: Scanner, live_share: float, kept: float) -> float:
    """Return the share of trues that pile-up left, of pairs that are live for such a share.

    live_share : of the pairs, 0 … 1: each of the two blocks is taken to be live for its root
    kept : as :func:`kept_when_piled` returns it
    """
    dead = np.array([1.0 - np.sqrt(np.clip(live_share, 0.0, 1.0))])
    return float(1.0 - piled_share(scanner, dead)[0] * (1.0 - min(kept, 1.0))) ** 2


def kept_when_piled(scanner: Scanner, spectrum: F8, *, lld_keV: float, uld_keV: float) -> float:
    """Return the counts in the energy window with a second hit over those without.

    spectrum : (512,) energies that photons of 511 keV leave in a block, in bins of 1 keV
    """
    left = np.where(np.arange(len(spectrum)) < LEAST_KEV, 0.0, spectrum)
    if left.sum() <= 0:
        return 1.0
    left = left / left.sum()
    counted = energy_tables(scanner, lld_keV, uld_keV, 2 * len(left))[2]
    alone = float((left * counted[: len(left)]).sum())
    if alone <= 0:
        return 1.0
    second = np.zeros(len(left))
    for share in _light_shares(scanner):
        place = (np.arange(len(left)) * share).astype(np.int64)
        second += np.bincount(place, left, len(left)) / GAPS
    both = np.convolve(left, second)
    return float((both * counted[: len(both)]).sum()) / alone


def _light_shares(scanner: Scanner) -> F8:
    """Return the shares of a second hit's light that gaps between 0 and T add."""
    gap = (np.arange(GAPS) + 0.5) / GAPS
    decay_ns = SCINTILLATION_NS[scanner.module.material]
    if decay_ns <= 0:
        return np.ones(GAPS)
    whole = scanner.response.integration_ns / decay_ns
    return np.asarray(np.expm1(-whole * (1 - gap)) / np.expm1(-whole))
