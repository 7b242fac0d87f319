"""Decay modes: which photons come with which β⁺ branch, for nuclides whose photons are prompt.

For each β⁺ branch the table SCHEMES says which lines follow it and how often; captures with their
own cascade may be listed as well. All other decays (capture, β⁻) share the rest of each line,
independently, so that every line keeps its intensity per decay from ICRP Publication 107. Nuclides
without a scheme emit each line independently of all else. The level schemes are those of Nuclear
Data Sheets (ENSDF); a line listed without comment follows its level in every decay, neglecting
internal conversion (below 1 %).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from hw.physics.constants import ELECTRON_REST_KEV
from hw.physics.nuclides import Line, Nuclide

Follows = Mapping[float, float]
"""Energy of a line in keV → photons per decay of this mode."""

_NOTHING: Follows = MappingProxyType({})
_SAME_LINE_KEV = 0.5


@dataclass(frozen=True)
class Scheme:
    """Which lines follow which decays of a nuclide.

    positrons : lines after each β⁺ branch of ``Nuclide.positrons``, in the same order
    captures : (probability per decay, lines) of captures with a cascade
    delayed_keV : lines from an isomer that lives much longer than any coincidence window; their
        photons do not come at the time of the decay
    """

    positrons: tuple[Follows, ...]
    captures: tuple[tuple[float, Follows], ...] = ()
    delayed_keV: tuple[float, ...] = ()


_NE_22 = {1274.53: 1.0}  # the first level of Ne-22
_SE_1325 = {722.78: 0.869, 602.73: 0.869, 1325.51: 0.131}  # Te-124, 1325 keV, by its two lines
_KR_1475 = {698.37: 0.62, 776.52: 0.62}  # Kr-82, 1475 keV: the rest goes to the ground state
_KR_2172 = {1395.14: 1.0, 776.52: 1.0}  # Kr-82, 2172 keV


def _then(*ways: tuple[float, float, Follows]) -> Follows:
    """Return what follows a level that is left so: (share, line, what follows the next level)."""
    found: dict[float, float] = {}
    for share, line_keV, below in ways:
        for energy, photons in ((line_keV, 1.0), *below.items()):
            found[energy] = found.get(energy, 0.0) + share * photons
    return MappingProxyType(found)


# Sr-86, levels in keV; the shares are those of the lines' intensities in ICRP 107
_SR_1077 = {1076.63: 1.0}
_SR_1854 = _then((0.567, 777.37, _SR_1077), (0.433, 1854.38, _NOTHING))
_SR_2230 = _then((1.0, 1153.05, _SR_1077))
_SR_2482 = _then((1.0, 627.72, _SR_1854))
_SR_2673 = _then((0.944, 443.13, _SR_2230), (0.056, 190.8, _SR_2482))
_SR_2878 = _then((0.697, 1024.04, _SR_1854), (0.303, 1801.7, _SR_1077))
_SR_2997 = _then((0.741, 1920.72, _SR_1077), (0.174, 515.18, _SR_2482), (0.085, 767.63, _SR_2230))
_SR_3056 = _then((0.524, 382.86, _SR_2673), (0.476, 826.02, _SR_2230))
_SR_3185 = _then(
    (0.728, 703.33, _SR_2482), (0.164, 307.0, _SR_2878), (0.059, 187.87, _SR_2997),
    (0.049, 955.35, _SR_2230),
)  # fmt: skip
_SR_3317 = _then((0.666, 835.67, _SR_2482), (0.334, 644.82, _SR_2673))
_SR_BELOW_3318 = (
    *(_SR_3317, _SR_3185, _SR_3056, _SR_2997, _SR_2878, _SR_2673, _SR_2482, _SR_2230, _SR_1854),
    _SR_1077,
)

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        # 544 keV → 1275 keV level
        "Na-22": Scheme((_NE_22,)),
        # 649 keV → ground state; the level at 1346 keV is fed by capture
        "Cu-64": Scheme((_NOTHING,)),
        # 817 keV → 1077 keV level; 1896 keV → ground state
        "Ga-68": Scheme(({1077.34: 1.0}, _NOTHING)),
        # 1202, 1901, 2602 keV → levels at 2172, 1475, 777 keV; 3382 keV → ground state
        "Rb-82": Scheme((_KR_2172, _KR_1475, {776.52: 1.0}, _NOTHING)),
        # to levels of Sr-86 from 3.9 MeV down to 1077 keV; the four weak branches above 3317 keV
        # (3 % of the positrons) by the line that nearly all decays end with
        "Y-86": Scheme((*((_SR_1077,) * 4), *_SR_BELOW_3318)),
        # 895 keV → Y-89m (15.7 s), whose 909 keV photon therefore belongs to no pair
        "Zr-89": Scheme((_NOTHING,), delayed_keV=(909.15,)),
        # 803, 1529, 2167 keV → levels at 1325, 603 keV and ground state; captures with the
        # strongest cascades: 1691 → 603, 1509 → (1325 level), 723 → 603
        "I-124": Scheme(
            (_SE_1325, {602.73: 1.0}, _NOTHING),
            captures=(
                (0.1088, {1690.96: 1.0, 602.73: 1.0}),
                (0.0313, {1509.47: 1.0, **_SE_1325}),
                (0.0670, {722.78: 1.0, 602.73: 1.0}),
            ),
        ),
    }
)


class Mode(NamedTuple):
    """One way to decay.

    probability : per decay
    positron : index of the branch in ``Nuclide.positrons``; −1 for none
    lines : (line, photons per decay of this mode), each independently
    """

    probability: float
    positron: int
    lines: tuple[tuple[Line, float], ...]


def decay_modes(nuclide: Nuclide, lines: list[Line]) -> list[Mode]:
    """Return the modes of a nuclide that emits these lines; probabilities add up to 1.

    β⁺ branches too weak to be listed are distributed in proportion over the others.
    """
    scheme = SCHEMES.get(nuclide.name)
    listed = sum(branch.intensity for branch in nuclide.positrons)
    scale = nuclide.beta_plus_fraction / listed if listed else 0.0
    branches = [scale * branch.intensity for branch in nuclide.positrons]
    if scheme is None:
        independent = tuple((line, line.intensity) for line in lines)
        modes = [Mode(p, k, independent) for k, p in enumerate(branches)]
        return [*modes, Mode(1.0 - sum(branches), -1, independent)]
    told = [(p, k, f) for k, (p, f) in enumerate(zip(branches, scheme.positrons, strict=True))]
    told += [(p, -1, f) for p, f in scheme.captures]
    modes = [Mode(p, k, _lines_of(follows, lines, scheme)) for p, k, follows in told]
    return [*modes, _rest(modes, lines)]


def is_delayed(nuclide: Nuclide, line: Line) -> bool:
    """Return whether a line's photons come later than the decay."""
    scheme = SCHEMES.get(nuclide.name)
    return scheme is not None and any(_is(line, at) for at in scheme.delayed_keV)


def _is(line: Line, energy_keV: float) -> bool:
    return line.kind == "gamma" and abs(line.energy_keV - energy_keV) < _SAME_LINE_KEV


def _lines_of(
    follows: Follows, lines: list[Line], scheme: Scheme
) -> tuple[tuple[Line, float], ...]:
    """Return the lines of a mode of the scheme; delayed ones come equally with every mode."""
    prompt = [(line, p) for line in lines for at, p in follows.items() if _is(line, at)]
    delayed = [x for x in lines if any(_is(x, at) for at in scheme.delayed_keV)]
    return (*prompt, *((line, line.intensity) for line in delayed))


def _rest(modes: list[Mode], lines: list[Line]) -> Mode:
    """Return the mode of all other decays, with the rest of each line."""
    probability = 1.0 - sum(mode.probability for mode in modes)
    given = dict.fromkeys(lines, 0.0)
    for mode in modes:
        for line, photons in mode.lines:
            given[line] += mode.probability * photons
    left = [(line, (line.intensity - given[line]) / probability) for line in lines]
    return Mode(probability, -1, tuple((line, max(0.0, p)) for line, p in left))


class PhotonPair(NamedTuple):
    """Two photons of one decay in independent directions; keV, and how often per positron."""

    one_keV: float
    other_keV: float
    per_positron: float


def photon_pairs(nuclide: Nuclide, *, least_keV: float, most_keV: float) -> list[PhotonPair]:
    """Return the pairs of prompt photons, at least one of them a γ, with energies in this range.

    Each of the two annihilation photons makes a pair with each γ of the decay, and the γ of a
    cascade make pairs with each other, also after capture. The two annihilation photons themselves
    are left out: they are back to back. Directions of γ of one cascade are taken as independent.
    """
    if nuclide.beta_plus_fraction <= 0.0:
        return []
    lines = [
        x
        for x in nuclide.lines
        if x.kind == "gamma" and least_keV <= x.energy_keV <= most_keV
        and not is_delayed(nuclide, x)
    ]  # fmt: skip
    found: dict[tuple[float, float], float] = {}
    for mode in decay_modes(nuclide, lines):
        photons = [(line.energy_keV, n) for line, n in mode.lines if n > 0.0]
        pairs = list(itertools.combinations(photons, 2))
        if mode.positron >= 0:
            pairs += [((ELECTRON_REST_KEV, 2.0), photon) for photon in photons]
        for (one_keV, n), (other_keV, m) in pairs:
            key = (one_keV, other_keV)
            found[key] = found.get(key, 0.0) + mode.probability * n * m
    return [PhotonPair(*key, n / nuclide.beta_plus_fraction) for key, n in found.items()]
