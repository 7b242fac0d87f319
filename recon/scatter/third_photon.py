"""Three photons of one decay in two blocks: what a γ costs where it meets an annihilation photon.

Where a γ and one annihilation photon interact in the same block, their light adds up. That spoils
two pairs with the other annihilation photon: the coincidence of the two, and that with the γ. Few
decays do so, but nearly all of them in modules that face each other through the object, where
prompt γ are the greatest part of what is not true: of a cylinder of ¹²⁴I some per cent of both are
lost there. Of each meeting the pair of modules loses

    P(γ in window) + P(annihilation photon in window) − P(their sum in window)

counts. The annihilation photons start back to back and may scatter, as may the γ. For the last term
all have their energy at the decay, and what a γ deposits has, over its energy, the distribution
that photons of 511 keV have.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtr

from hw.arrays import F8
from hw.physics.cascades import PhotonPair
from hw.physics.constants import ELECTRON_REST_KEV
from recon.scatter.detector import BlockResponse, deposit_places_keV

DIRECTIONS = 4
"""Annihilations for each γ that is followed."""

_SAME_KEV = 0.01


def with_annihilation(pairs: Sequence[PhotonPair]) -> list[PhotonPair]:
    """Return the pairs of an annihilation photon (first) and a γ."""
    return [pair for pair in pairs if abs(pair.one_keV - ELECTRON_REST_KEV) < _SAME_KEV]


def spoilt(response: BlockResponse, gamma_keV: float, relative_efficiency: float) -> list[float]:
    """Return the counts lost in a meeting with a γ that would be counted: for each annihilation
    photon that interacts, and for each that would be counted as well.

    relative_efficiency : of the γ over that of 511 keV (:mod:`hw.physics.gamma_efficiency`)
    """
    share = response.deposits[-1]
    one_keV, gamma = (deposit_places_keV(np.array([e])) for e in (ELECTRON_REST_KEV, gamma_keV))
    of_gamma = relative_efficiency * float(share @ _passed(response, one_keV))
    both = float(share @ _passed(response, one_keV[:, None] + gamma) @ share)
    return [1.0 - both / of_gamma, 1.0 / of_gamma]


def _passed(response: BlockResponse, deposit_keV: F8) -> F8:
    """Return the probability that a deposit is read within the energy window."""
    window = response.window
    sigma = window.sigma_keV(deposit_keV)
    below = ndtr((window.lld_keV - deposit_keV) / sigma)
    return np.asarray(ndtr((window.uld_keV - deposit_keV) / sigma) - below)
