"""What is known of each crystal: the corrections of energy and time, and which are masked.

    E = e·(1 + curvature·(e/511 − 1)),  e = E_raw·gain·doi_gain[d]
    t = t_raw − skew − doi_ps[d] − walk·(√(511 keV/E) − 1)

Curvature and walk leave a 511 keV photon unchanged, so that gain and skew keep their meaning. The
walk has the shape of a threshold on charge whose pulse begins as t² (scintillation rising
linearly), crossed at t ∝ 1/√E.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.arrays import F4
from hw.errors import TomoshibiError
from hw.physics.constants import REFERENCE_KEV

WALK_LEAST_keV, WALK_MOST_keV = 25.0, 6553.5
"""The walk is that of an energy within these: below, the time stamp means little."""

LONGEST_ps = 1e6
"""Walk and depth corrections reach 1 µs at most: beyond any detector, and far from overflow."""

DOI_BINS = 8
POSITIONS, NO_CRYSTAL = 4096, 65535
"""Raw positions that the wire can name, and the crystal of one that is none."""


class CalibrationError(TomoshibiError, ValueError):
    """Corrections that cannot be applied; the message names the crystal, value and bound."""


def _none() -> Any:
    return None


@dataclass(frozen=True)
class Calibration:
    """Per-crystal corrections; any not given is the identity.

    gain : (n_crystals,) f4, finite and positive
    skew_ps : (n_crystals,) i4
    curvature : (n_crystals,) f4, non-linearity of the energy
    walk_ps : (n_crystals,) f4, time walk
    masked : (n_crystals,) bool, dead or noisy crystals, whose singles are counted and left out
    doi_gain, doi_ps : (8,) f4, by depth bin
    crystal_map : (modules, 4096) u2, crystal in its module for each raw position on the wire, 65535
        for none; None if the wire carries crystals
    """

    gain: F4
    skew_ps: npt.NDArray[np.int32]
    curvature: F4 = field(default_factory=_none)
    walk_ps: F4 = field(default_factory=_none)
    masked: npt.NDArray[np.bool_] = field(default_factory=_none)
    doi_gain: F4 = field(default_factory=_none)
    doi_ps: F4 = field(default_factory=_none)
    crystal_map: npt.NDArray[np.uint16] | None = None

    def __post_init__(self) -> None:
        n = len(self.gain)
        self._fill("curvature", np.zeros(n, np.float32))
        self._fill("walk_ps", np.zeros(n, np.float32))
        self._fill("masked", np.zeros(n, np.bool_))
        self._fill("doi_gain", np.ones(DOI_BINS, np.float32))
        self._fill("doi_ps", np.zeros(DOI_BINS, np.float32))
        for name in ("gain", "curvature", "walk_ps", "doi_gain", "doi_ps"):
            values = getattr(self, name)
            least = 0.0 if name.endswith("gain") else -math.inf
            most = LONGEST_ps if name.endswith("ps") else math.inf
            bad = np.flatnonzero(~(np.isfinite(values) & (values > least) & (abs(values) <= most)))
            if len(bad):
                what = "depth bin" if name.startswith("doi") else "crystal"
                bound = "finite and above 0" if name.endswith("gain") else "finite"
                bound += f", and at most {most:g} either way" if name.endswith("ps") else ""
                raise CalibrationError(
                    f"{name} of {what} {bad[0]} is {values[bad[0]]}: it must be {bound} "
                    f"({len(bad)} values are wrong); calibrate again"
                )

    def _fill(self, name: str, values: npt.NDArray[Any]) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, values)

    def check_fits(self, n_crystals: int) -> None:
        """Raise CalibrationError unless there is one value per crystal of the scanner."""
        for name in ("gain", "skew_ps", "curvature", "walk_ps", "masked"):
            found = len(getattr(self, name))
            if found != n_crystals:
                raise CalibrationError(
                    f"calibration has {found} values of {name}, the scanner has {n_crystals} "
                    "crystals: it belongs to another scanner"
                )
        self._check_map(n_crystals)

    def _check_map(self, n_crystals: int) -> None:
        """Refuse a crystal map that names another module's crystals, or ones that do not exist."""
        if self.crystal_map is None:
            return
        modules = len(self.crystal_map)
        per_module = n_crystals // max(modules, 1)
        values = self.crystal_map
        if values.shape != (modules, POSITIONS) or modules * per_module != n_crystals:
            raise CalibrationError(
                f"crystal_map has the shape {values.shape}: a row of {POSITIONS} positions for "
                f"each module of a scanner with {n_crystals} crystals is needed; it belongs to "
                "another scanner"
            )
        bad = np.argwhere((values >= per_module) & (values != NO_CRYSTAL))
        if len(bad):
            module, position = bad[0]
            raise CalibrationError(
                f"crystal_map of module {module} has crystal {values[module, position]} at "
                f"position {position}: a module's crystals are 0 to {per_module - 1}, "
                f"{NO_CRYSTAL} is none ({len(bad)} values are wrong); make the flood map again"
            )

    @property
    def is_refined(self) -> bool:
        """Whether there are corrections beyond gain, skew and mask."""
        return bool(
            self.curvature.any() or self.walk_ps.any() or self.doi_ps.any()
            or (self.doi_gain != 1).any()
        )  # fmt: skip

    @property
    def margin_ps(self) -> int:
        """How much earlier a corrected time may be than the raw one; the watermark waits for it."""
        least = walk_shape(WALK_MOST_keV)
        most = walk_shape(WALK_LEAST_keV)
        walk = np.maximum(self.walk_ps * most, self.walk_ps * least)
        latest = (self.skew_ps + walk).max(initial=0.0) + self.doi_ps.max(initial=0.0)
        return int(max(0, math.ceil(latest)))


def walk_shape(energy_keV: float) -> float:
    """Return √(511 keV/E) − 1, the factor of a crystal's walk."""
    return math.sqrt(REFERENCE_KEV / energy_keV) - 1


def no_calibration(n_crystals: int) -> Calibration:
    """Return the identity."""
    return Calibration(np.ones(n_crystals, np.float32), np.zeros(n_crystals, np.int32))
