"""Writes ``cross_sections.csv`` and ``scattering_functions.csv``, which the physics reads.

Needed only to change the tables (``pip install xraydb xraylib``, then
``python -m emulator.physics.generate_cross_sections``); nothing at run time depends on it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from emulator.physics.compositions import DENSITY_G_PER_CM3, FORMULAE, MASS_FRACTIONS

TABLE_PATH = Path(__file__).with_name("cross_sections.csv")
FUNCTIONS_PATH = Path(__file__).with_name("scattering_functions.csv")
LEAST_KEV, MOST_KEV = 10.0, 780.0
HEADER = """\
# Mass attenuation, cm2/g, of photoelectric absorption, incoherent (Compton) and coherent (Rayleigh)
# scatter. Source: xraydb {version} (W. T. Elam, B. D. Ravel, J. R. Sieber, Radiat. Phys. Chem. 63
# (2002) 121), mixture rule by mass; compositions in emulator/physics/compositions.py.
# Made by `python -m emulator.physics.generate_cross_sections`."""
FUNCTIONS_HEADER = """\
# Scattering by atoms bound in a material, taken as independent of each other, by the momentum
# transfer x = sin(theta/2)/wavelength in 1/Angstrom. form: sum of n*F(x)^2 over sum of n*Z^2;
# bound: sum of n*S(x) over sum of n*Z, with n the atoms of each element.
# Source: xraylib {version}, after J. H. Hubbell et al., J. Phys. Chem. Ref. Data 4 (1975) 471.
# Made by `python -m emulator.physics.generate_cross_sections`."""


def mass_fractions(xraydb: Any, material: str) -> dict[str, float]:
    """Return the elements' shares of a material's mass."""
    if material in MASS_FRACTIONS:
        masses = MASS_FRACTIONS[material]
    else:
        formula = FORMULAE[material]
        masses = {element: n * xraydb.atomic_mass(element) for element, n in formula.items()}
    total = sum(masses.values())
    return {element: mass / total for element, mass in masses.items()}


def _energies_keV(xraydb: Any) -> list[float]:
    grid = np.round(np.geomspace(LEAST_KEV, MOST_KEV, 96), 3).tolist()
    elements = {e for material in DENSITY_G_PER_CM3 for e in mass_fractions(xraydb, material)}
    edges = {edge.energy / 1e3 for e in elements for edge in xraydb.xray_edges(e).values()}
    # xraydb steps a few eV beside the edge that it names
    for edge in sorted(edge for edge in edges if LEAST_KEV < edge < MOST_KEV):
        grid += [round(edge - 0.01, 4), round(edge + 0.01, 4)]
    return sorted([*grid, 140.511, 511.0])


def write_cross_sections() -> None:
    """Write the attenuation table beside this file."""
    xraydb = importlib.import_module("xraydb")
    energies = np.array(_energies_keV(xraydb))
    names, columns = ["energy_keV"], [energies]
    for material in DENSITY_G_PER_CM3:
        parts = mass_fractions(xraydb, material).items()
        for kind, name in (("photo", "photo"), ("incoh", "incoherent"), ("coh", "coherent")):
            names.append(f"{material}_{name}")
            columns.append(_mixture(xraydb, parts, energies, kind))
    _write(TABLE_PATH, HEADER.format(version=xraydb.__version__), names, columns)


def _mixture(
    xraydb: Any, parts: Iterable[tuple[str, float]], energies: npt.NDArray[np.float64], kind: str
) -> npt.NDArray[np.float64]:
    """Return cm²/g by the mixture rule."""
    shares = list(parts)
    return np.array(
        [
            sum(w * float(xraydb.mu_elam(e, energy * 1e3, kind=kind)) for e, w in shares)
            for energy in energies
        ]
    )


def write_scattering_functions() -> None:
    """Write form factors and incoherent scattering functions beside this file."""
    xraydb, xraylib = importlib.import_module("xraydb"), importlib.import_module("xraylib")
    transfer = np.round(np.geomspace(0.01, 160.0, 110), 5)
    names, columns = ["transfer_per_A"], [transfer]
    for material in DENSITY_G_PER_CM3:
        atoms = {e: w / xraydb.atomic_mass(e) for e, w in mass_fractions(xraydb, material).items()}
        form, bound = np.zeros_like(transfer), np.zeros_like(transfer)
        for element, n in atoms.items():
            z = xraydb.atomic_number(element)
            form += n * np.array([xraylib.FF_Rayl(z, q) for q in transfer]) ** 2
            bound += n * np.array([xraylib.SF_Compt(z, q) for q in transfer])
        numbers = [(n, xraydb.atomic_number(e)) for e, n in atoms.items()]
        names += [f"{material}_form", f"{material}_bound"]
        columns.append(form / sum(n * z * z for n, z in numbers))
        columns.append(bound / sum(n * z for n, z in numbers))
    _write(FUNCTIONS_PATH, FUNCTIONS_HEADER.format(version=xraylib.__version__), names, columns)


def _write(path: Path, header: str, names: list[str], columns: list[Any]) -> None:
    rows = [",".join(f"{value:.6g}" for value in row) for row in zip(*columns, strict=True)]
    path.write_text("\n".join([header, ",".join(names), *rows]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_cross_sections()
    write_scattering_functions()
