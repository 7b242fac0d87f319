"""What a source emits: nuclides, their shares of the activity, the β⁺ and photons of each decay.

Each nuclide decays with its own half-life, in one of its modes (``cascades``): with a β⁺ of some
branch or none, and with each of the mode's γ and X lines of at least LEAST_LINE_KEV with its own
probability. Lines beyond the cross-section tables are left out and named.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.config import EmulationError
from emulator.physics.materials import MAX_ENERGY_KEV
from emulator.physics.positron_range import RANGE_BINS
from hw.physics.cascades import Mode, decay_modes, is_delayed
from hw.physics.nuclides import Line, Nuclide, load_nuclide
from hw.physics.positron_range import radius_quantiles_mm

LEAST_LINE_KEV = 40.0
"""Lines below this do not get through head and housing, nor above any trigger of ours."""

_SUM_TOLERANCE = 1e-3


class EmissionTables(NamedTuple):
    """The emissions as the kernel sees them.

    first_mode : (nuclides + 1,) i8, where each nuclide's modes begin in the next two
    mode_share : (modes,) f8, cumulative probabilities of a nuclide's modes, the last one 1
    positron : (modes,) i8, row of ``radii_mm`` of the mode's β⁺; −1 for no β⁺
    first_line : (modes + 1,) i8, where each mode's lines begin in the next three
    line_keV, line_intensity : (lines,) f8, photons per decay of the mode, at most 1
    line_delayed : (lines,) bool, emitted at an independent time, by a long-lived isomer
    radii_mm : (branches, RANGE_BINS + 1) f8, quantiles of the distance from decay to annihilation
        in water; (0, RANGE_BINS + 1) if positrons are to annihilate where they are born
    most_photons : largest number of photons from one decay
    """

    first_mode: npt.NDArray[np.int64]
    mode_share: npt.NDArray[np.float64]
    positron: npt.NDArray[np.int64]
    first_line: npt.NDArray[np.int64]
    line_keV: npt.NDArray[np.float64]
    line_intensity: npt.NDArray[np.float64]
    line_delayed: npt.NDArray[np.bool_]
    radii_mm: npt.NDArray[np.float64]
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
        """Return each nuclide's activity after ``t_s`` over the total activity at the start.

        A(t)/A₀ = share · 2^(−t/T½), (nuclides,) f8.
        """
        pairs = zip(self.nuclides, self.shares, strict=True)
        return np.array([s * math.exp(-n.decay_constant_per_s * t_s) for n, s in pairs])


def load_source(text: str) -> Source:
    """Return the source that a setting names: one nuclide, or several with shares of the activity.

    Parameters
    ----------
    text : ``F-18``, ``Ga-68+Lu-177`` (equal shares) or ``Ga-68:0.3+Lu-177:0.7``

    Raises
    ------
    EmulationError
        if the shares do not add up to 1, or nothing is emitted that could be detected.
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
    """Return the lines to emit: of sufficient energy for the detector, and within the tables."""
    return [x for x in nuclide.lines if x.energy_keV >= LEAST_LINE_KEV and not _beyond(x)]


def emission_tables(source: Source, *, positron_range: bool = True) -> EmissionTables:
    """Return the tables of a source; a line of more than one photon per decay is split up.

    positron_range : whether positrons travel before they annihilate
    """
    modes = [(n, mode) for n in source.nuclides for mode in decay_modes(n, emitted_lines(n))]
    rows = [_line_rows(nuclide, mode) for nuclide, mode in modes]
    branches = [(n, mode.positron) for n, mode in modes if mode.positron >= 0]
    flat = [row for of_mode in rows for row in of_mode]
    probability = np.array([mode.probability for _, mode in modes])
    first_mode = _starts([sum(n is owner for owner, _ in modes) for n in source.nuclides])
    share = [np.cumsum(probability[a:b]) for a, b in itertools.pairwise(first_mode)]
    return EmissionTables(
        first_mode=first_mode,
        mode_share=np.concatenate([part / part[-1] for part in share]),
        positron=np.array(
            [branches.index((n, m.positron)) if m.positron >= 0 else -1 for n, m in modes], np.int64
        ),
        first_line=_starts([len(of_mode) for of_mode in rows]),
        line_keV=np.array([row[0] for row in flat], np.float64),
        line_intensity=np.array([row[1] for row in flat], np.float64),
        line_delayed=np.array([row[2] for row in flat], np.bool_),
        radii_mm=_radii(branches if positron_range else []),
        most_photons=max(
            2 * (m.positron >= 0) + len(r) for (_, m), r in zip(modes, rows, strict=True)
        ),
    )


def _line_rows(nuclide: Nuclide, mode: Mode) -> list[tuple[float, float, bool]]:
    """Return (keV, photons per decay of at most 1, delayed) of each line of a mode."""
    rows = []
    for line, photons in mode.lines:
        copies = max(1, math.ceil(photons))
        rows += [(line.energy_keV, photons / copies, is_delayed(nuclide, line))] * copies
    return [row for row in rows if row[1] > 0.0]


def _starts(counts: list[int]) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)


def _radii(branches: list[tuple[Nuclide, int]]) -> npt.NDArray[np.float64]:
    rows = [
        radius_quantiles_mm(n.positrons[k], n.atomic_number - 1, RANGE_BINS) for n, k in branches
    ]
    return np.array(rows).reshape(-1, RANGE_BINS + 1)
