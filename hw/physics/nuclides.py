"""Nuclides: half-life, β+ branches and photon lines of one decay, from ICRP Publication 107.

Each entry is for the nuclide itself, without its daughters: Ge-68 has no β+ of its own (its
daughter Ga-68 has), and the 218 and 440 keV lines seen with Ac-225 are Fr-221's and Bi-213's.
Annihilation photons are not among the lines: there are 2 · beta_plus_fraction of them per decay.
Other evaluations differ (DDEP gives Lu-177's 208 keV line 10.38 %, ICRP 107 11.0 %), so a
calibration must use the same one throughout.
"""

from __future__ import annotations

import difflib
import functools
import math
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from hw.errors import TomoshibiError

NUCLIDES_PATH = Path(__file__).with_name("nuclides.json")
_IN_TEXT = re.compile(r"\b([A-Z][a-z]?)-?(\d{1,3}m?)\b|\b(\d{1,3}m?)-?([A-Z][a-z]?)\b")


class NuclideError(TomoshibiError, ValueError):
    """An unknown nuclide, or a table that cannot be read."""


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One photon line: energy in keV, and intensity in photons per decay."""

    kind: Literal["gamma", "x"]
    energy_keV: float
    intensity: float


class Positron(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One β+ branch: mean and endpoint of the kinetic energy, intensity per decay.

    The mean is ICRP 107's; the endpoint is that of the allowed spectrum with this mean
    (``hw.physics.beta_spectrum``).
    """

    mean_keV: float
    endpoint_keV: float
    intensity: float


class Nuclide(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One nuclide; lines of ≥ 10 keV and ≥ 0.001 per decay, in order of energy.

    ``positrons`` are the β+ branches of ≥ 0.001 per decay, in order of energy; weaker ones are in
    ``beta_plus_fraction`` only.
    """

    name: str
    atomic_number: int
    half_life_s: float
    beta_plus_fraction: float
    positrons: tuple[Positron, ...]
    lines: tuple[Line, ...]

    @property
    def decay_constant_per_s(self) -> float:
        """λ = ln 2 / half-life."""
        return math.log(2) / self.half_life_s


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    nuclides: tuple[Nuclide, ...]


def nuclide_names() -> list[str]:
    """Return the names of the nuclides in the table, in order of mass number."""
    return [nuclide.name for nuclide in _table().nuclides]


def load_nuclide(name: str) -> Nuclide:
    """Return a nuclide by its name, such as ``"F-18"`` or ``"Tc-99m"``.

    Raises
    ------
    NuclideError
        if the table has no such name; the message lists those it has.
    """
    for nuclide in _table().nuclides:
        if nuclide.name == name:
            return nuclide
    known = nuclide_names()
    guess = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {guess[0]}? " if guess else ""
    raise NuclideError(f"unknown nuclide {name!r}: {hint}the table has {', '.join(known)}")


def nuclide_of(labels: dict[str, Any]) -> tuple[Nuclide | None, str]:
    """Return the one nuclide named by a run's labels, or None and the reason."""
    name = str(labels.get("nuclide", "") or "")
    if not name:
        return None, "the run does not say which nuclide it is"
    if "+" in name or ":" in name:
        return None, f"the run has a mixture of nuclides ({name})"
    try:
        return load_nuclide(name), ""
    except NuclideError as error:
        return None, str(error)


def nuclide_in(text: str) -> Nuclide | None:
    """Return the nuclide that a tracer's name has in it, as ``FDG F-18`` or ``68Ga-PSMA``; None for
    none."""
    for found in _IN_TEXT.finditer(text):
        symbol, mass = found[1] or found[4], found[2] or found[3]
        try:
            return load_nuclide(f"{symbol}-{mass}")
        except NuclideError:
            continue
    return None


@functools.cache
def _table() -> _Table:
    try:
        return msgspec.json.decode(NUCLIDES_PATH.read_bytes(), type=_Table)
    except (OSError, msgspec.MsgspecError) as error:
        raise NuclideError(
            f"{NUCLIDES_PATH}: {error}; reinstall, or run python -m hw.physics.generate_nuclides"
        ) from error
