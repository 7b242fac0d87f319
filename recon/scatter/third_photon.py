"""Three photons of one decay in two blocks: what a γ costs where it meets an annihilation photon.

Where a γ and one annihilation photon interact in the same block, their light adds up. That spoils
two pairs with the other annihilation photon: the coincidence of the two, and that with the γ. Few
decays do so, but nearly all of them in modules that face each other through the object, where
prompt γ are the greatest part of what is not true: of a cylinder of ¹²⁴I some per cent of both are
lost there. Of each meeting the pair of modules loses

    P(γ in window) + P(annihilation photon in window) − P(their sum in window)

counts. The annihilation photons start back to back and may scatter, as may the γ; with what is left
of its energy it spoils less. The sum is taken with an annihilation photon of full energy, and what
a γ above 511 keV deposits has, over its energy, the distribution that photons of 511 keV have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from hw.arrays import F8
from hw.physics.cascades import PhotonPair
from hw.physics.constants import ELECTRON_REST_KEV
from recon.scatter.detector import ENERGIES_KEV, BlockResponse, deposit_places_keV

DIRECTIONS = 4
"""Annihilations for each γ that is followed."""

LEAST_KEV = 60.0
"""What photons leave that scattered to less spoils little."""

_SAME_KEV = 0.01
_NODES = 80


def with_annihilation(pairs: Sequence[PhotonPair]) -> list[PhotonPair]:
    """Return the pairs of an annihilation photon (first) and a γ."""
    return [pair for pair in pairs if abs(pair.one_keV - ELECTRON_REST_KEV) < _SAME_KEV]


def lost_share(response: BlockResponse, energy_keV: F8, counted: F8) -> F8:
    """Return what a γ of each energy costs where it meets an annihilation photon of 511 keV, over
    what it costs to count none of 511 keV: P(γ) + P(511) - P(sum), over P(511).

    counted : P(γ) over P(511), for each energy
    """
    node_keV = np.geomspace(energy_keV[0], energy_keV[-1], _NODES)
    of_511, alone = _deposits(response, ELECTRON_REST_KEV), _window_share(response)
    both = [
        float(share @ _passed(response, place[:, None] + of_511[0]) @ of_511[1]) / alone
        for place, share in (_deposits(response, float(energy)) for energy in node_keV)
    ]
    return np.asarray(counted + 1.0 - np.interp(energy_keV, node_keV, both))


def spoilt(response: BlockResponse, lost: float) -> list[float]:
    """Return the counts lost in a meeting with a γ, over those lost with an annihilation photon
    that does not scatter: for each annihilation photon that interacts, and for each that would be
    counted as well.

    lost : at the γ's energy at the decay, see :func:`lost_share`
    """
    return [(lost - 1.0) / lost, 1.0 / (lost * _window_share(response))]


def _window_share(response: BlockResponse) -> float:
    """Return P(511): the share of the photons of 511 keV that interact which is counted."""
    place, share = _deposits(response, ELECTRON_REST_KEV)
    return float(share @ _passed(response, place))


def _deposits(response: BlockResponse, energy_keV: float) -> tuple[F8, F8]:
    """Return places in keV and shares of what photons leave in a block; above 511 keV distributed
    over the energy as those of 511 keV, below the lowest node as those of the node."""
    nearest = int(np.abs(ENERGIES_KEV - energy_keV).argmin())
    return deposit_places_keV(np.array([energy_keV])), response.deposits[nearest]


def _passed(response: BlockResponse, deposit_keV: F8) -> F8:
    """Return the probability that a deposit is read within the energy window."""
    window = response.window
    sigma = window.sigma_keV(deposit_keV)
    below = ndtr((window.lld_keV - deposit_keV) / sigma)
    return np.asarray(ndtr((window.uld_keV - deposit_keV) / sigma) - below)
