"""What a source emits: nuclides, their shares of the activity, β⁺ and photon lines of each.

Each nuclide decays with its own half-life. A decay emits a β⁺ with the nuclide's probability, and
each γ and X line of at least LEAST_LINE_KEV with its intensity, independently of all else: yields
and spectra are right, correlations within a cascade or with the β⁺ are not. Lines beyond the
cross-section tables are left out and named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.materials import MAX_ENERGY_KEV
from hw.nuclides import Line, Nuclide, load_nuclide

LEAST_LINE_KEV = 40.0
"""Lines below this do not get through head and housing, nor above any trigger of ours."""

_SUM_TOLERANCE = 1e-3


class EmissionTables(NamedTuple):
    """The emissions as the kernel sees them.

    positron_fraction : (nuclides,) f8
    first_line : (nuclides + 1,) i8, where each nuclide's lines begin in the next two
    line_keV, line_intensity : (lines,) f8, photons per decay, at most 1
    most_photons : of one decay
    """

    positron_fraction: npt.NDArray[np.float64]
    first_line: npt.NDArray[np.int64]
    line_keV: npt.NDArray[np.float64]
    line_intensity: npt.NDArray[np.float64]
    most_photons: int


@dataclass(frozen=True)
class Source:
    """The nuclides of a source, and their shares of its activity at the start (sum 1)."""

    nuclides: tuple[Nuclide, ...]
    shares: tuple[float, ...]

    @property
    def name(self) -> str:
        """As written in a setting: ``F-18`` or ``Ga-68:0.3+Lu-177:0.7``."""
        if len(self.nuclides) == 1:
            return self.nuclides[0].name
        pairs = zip(self.nuclides, self.shares, strict=True)
        return "+".join(f"{nuclide.name}:{share:g}" for nuclide, share in pairs)

    @property
    def photons_per_decay(self) -> float:
        """Mean number of photons that a decay emits at the start, annihilation included."""
        return sum(
            share * (2 * n.beta_plus_fraction + sum(line.intensity for line in emitted_lines(n)))
            for n, share in zip(self.nuclides, self.shares, strict=True)
        )

    @property
    def left_out(self) -> tuple[tuple[str, Line], ...]:
        """(nuclide, line) of each line beyond the cross-section tables."""
        return tuple((n.name, x) for n in self.nuclides for x in n.lines if _beyond(x))

    def activities(self, t_s: float) -> npt.NDArray[np.float64]:
        """Return each nuclide's activity after ``t_s`` over the whole activity at the start.

        A(t)/A₀ = share · 2^(−t/T½), (nuclides,) f8.
        """
        pairs = zip(self.nuclides, self.shares, strict=True)
        return np.array([s * math.exp(-n.decay_constant_per_s * t_s) for n, s in pairs])


def load_source(text: str) -> Source:
    """Return the source that a setting names: a nuclide, or several with shares of the activity.

    Parameters
    ----------
    text : ``F-18``, ``Ga-68+Lu-177`` (equal shares) or ``Ga-68:0.3+Lu-177:0.7``

    Raises
    ------
    EmulationError
        for shares that do not add to 1, and where nothing is emitted that could be detected.
    NuclideError
        for an unknown nuclide.
    """
    parts = [part.strip().partition(":") for part in text.split("+")]
    nuclides = tuple(load_nuclide(name.strip()) for name, _, _ in parts)
    names = [nuclide.name for nuclide in nuclides]
    if len(set(names)) < len(names):
        raise EmulationError(f"nuclide {text}: one is named twice; add their shares")
    source = Source(nuclides, _shares(text, [share for _, _, share in parts]))
    if source.photons_per_decay <= 0:
        raise EmulationError(
            f"nuclide {text} emits neither positrons nor photons from {LEAST_LINE_KEV:g} to "
            f"{MAX_ENERGY_KEV} keV, so there is nothing to detect; choose another, such as F-18 "
            "or Tc-99m"
        )
    return source


def _shares(text: str, written: list[str]) -> tuple[float, ...]:
    if not any(written):
        return (1 / len(written),) * len(written)
    try:
        shares = [float(share) for share in written]
    except ValueError:
        shares = []
    if not shares or not all(0 < s <= 1 for s in shares) or abs(sum(shares) - 1) > _SUM_TOLERANCE:
        raise EmulationError(
            f"nuclide {text}: give every nuclide's share of the activity, above 0 and with sum 1, "
            "such as Ga-68:0.3+Lu-177:0.7, or none at all for equal shares"
        )
    return tuple(share / sum(shares) for share in shares)


def _beyond(line: Line) -> bool:
    return line.energy_keV > MAX_ENERGY_KEV


def emitted_lines(nuclide: Nuclide) -> list[Line]:
    """Return the lines that are emitted: not too weak for the detector, within the tables."""
    return [x for x in nuclide.lines if x.energy_keV >= LEAST_LINE_KEV and not _beyond(x)]


def emission_tables(source: Source) -> EmissionTables:
    """Return the tables of a source; a line of more than one photon per decay becomes several."""
    energies: list[float] = []
    intensities: list[float] = []
    first = [0]
    for nuclide in source.nuclides:
        for line in emitted_lines(nuclide):
            copies = max(1, math.ceil(line.intensity))
            energies += [line.energy_keV] * copies
            intensities += [line.intensity / copies] * copies
        first.append(len(energies))
    return EmissionTables(
        positron_fraction=np.array([float(n.beta_plus_fraction) for n in source.nuclides]),
        first_line=np.array(first, np.int64),
        line_keV=np.array(energies, np.float64),
        line_intensity=np.array(intensities, np.float64),
        most_photons=2 + int(np.diff(first).max()),
    )
