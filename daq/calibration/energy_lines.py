"""The lines an energy calibration can use, from the words a person gives."""

from __future__ import annotations

from daq.folder.calibration_arrays import CalibrationSetError
from hw.physics.nuclides import NuclideError, load_nuclide

ANNIHILATION_keV = 511.0


def parse_line(text: str) -> float:
    """Return a line's energy in keV.

    Parameters
    ----------
    text : a number in keV; a nuclide, for its strongest γ line, or 511 keV where it has more
        annihilation photons; or a nuclide and about what energy, ``Lu-177:208``

    Raises
    ------
    CalibrationSetError
        for what is none of these, a nuclide without a line, or with none within 5 keV.
    """
    try:
        return float(text)
    except ValueError:
        name, _, about = text.partition(":")
    try:
        nuclide = load_nuclide(name)
    except NuclideError as error:
        raise CalibrationSetError(f"line {text!r} is no number in keV and an {error}") from error
    lines = {line.energy_keV: line.intensity for line in nuclide.lines if line.kind == "gamma"}
    if nuclide.beta_plus_fraction > 0:
        lines[ANNIHILATION_keV] = 2 * nuclide.beta_plus_fraction
    if not lines:
        raise CalibrationSetError(f"line {text!r}: {name} has no γ line in the table")
    if not about:
        return max(lines, key=lambda energy: lines[energy])
    return _nearest(text, about, lines)


def _nearest(text: str, about: str, lines: dict[float, float]) -> float:
    try:
        wanted = float(about)
    except ValueError as error:
        raise CalibrationSetError(f"line {text!r}: {about!r} is no energy in keV") from error
    found = min(lines, key=lambda energy: abs(energy - wanted))
    if abs(found - wanted) > 5.0:
        known = ", ".join(f"{energy:g}" for energy in sorted(lines))
        raise CalibrationSetError(f"line {text!r}: there is none within 5 keV; there are {known}")
    return found
