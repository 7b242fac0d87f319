"""The defaults of an emulation, which differ between PET scanners and gamma cameras."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hw.scanner.description import Collimator, Scanner

PET: dict[str, Any] = {
    "phantom": "brain", "nuclide": "F-18", "activity_MBq": 1.0, "trigger_keV": 100.0,
}  # fmt: skip
SPECT: dict[str, Any] = {"phantom": "brain", "activity_MBq": 100.0, "trigger_keV": 40.0}
"""The activity is divided by the number of modules: a few thousand photopeak counts per second."""

PHANTOMS = {"czt_cardiac": "heart"}
"""For presets made for another organ than the head."""

SPECT_NUCLIDES = ("Tc-99m", "Lu-177", "I-131")
"""The one with the highest photopeak for which the collimator is made is used."""


def defaults_in_words(name: str) -> str:
    """Return an option's defaults for its help."""
    spect = SPECT.get(name, "one for the collimator")
    shared = " over the number of modules" if name == "activity_MBq" else ""
    return f"default: {PET[name]}; SPECT: {spect}{shared}"


def complete(options: argparse.Namespace) -> None:
    """Fill in what was not given: phantom, nuclide, activity and trigger, by the preset's modality.

    Raises
    ------
    ScannerError
        if the preset cannot be used.
    """
    missing = [name for name in PET if getattr(options, name) is None]
    if not missing:
        return
    from hw.scanner.preset_file import load_scanner

    values = default_source(load_scanner(options.preset))
    for name in missing:
        setattr(options, name, values[name])


def default_source(scanner: Scanner) -> dict[str, Any]:
    """Return phantom, nuclide, activity_MBq and trigger_keV for a scanner."""
    phantom = {"phantom": PHANTOMS.get(scanner.name, PET["phantom"])}
    if scanner.collimator is None:
        return PET | phantom
    activity_MBq = float(f"{SPECT['activity_MBq'] / scanner.n_modules:.1g}")
    nuclide = _nuclide_for(scanner.collimator)
    return SPECT | phantom | {"nuclide": nuclide, "activity_MBq": activity_MBq}


def _nuclide_for(collimator: Collimator) -> str:
    from hw.physics.energy_windows import standard_lines_keV
    from hw.physics.nuclides import load_nuclide

    def highest_keV(name: str) -> float:
        lines_keV = standard_lines_keV(load_nuclide(name))
        meant = [e for e in lines_keV if collimator.least_keV <= e <= collimator.most_keV]
        return max(meant, default=0.0)

    return max(SPECT_NUCLIDES, key=highest_keV)


def nuclide_names(text: str) -> list[str]:
    """Return the nuclides of ``Ga-68:0.3+Lu-177:0.7``, without their shares."""
    return [part.partition(":")[0].strip() for part in text.split("+") if part.strip()]
