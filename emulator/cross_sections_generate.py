"""Writes ``cross_sections.csv``: the mass attenuation table that the emulator's physics reads.

Needed only to change the table (``pip install xraydb``, then
``python -m emulator.cross_sections_generate``); nothing at run time depends on it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

TABLE_PATH = Path(__file__).with_name("cross_sections.csv")
FORMULAE: dict[str, dict[str, float]] = {
    "water": {"H": 2, "O": 1},
    "LYSO": {"Lu": 1.8, "Y": 0.2, "Si": 1, "O": 5},
}
LU_K_EDGE_KEV = 63.314  # xraydb, after Elam et al.
HEADER = """\
# Mass attenuation, cm2/g, of photoelectric absorption and incoherent (Compton) scatter.
# Source: xraydb {version} (W. T. Elam, B. D. Ravel, J. R. Sieber, Radiat. Phys. Chem. 63 (2002)
# 121), mixture rule by mass: water H2O; LYSO Lu1.8Y0.2SiO5. Coherent scatter is left out.
# Made by `python -m emulator.cross_sections_generate`."""


def _mass_fractions(xraydb: Any, formula: dict[str, float]) -> dict[str, float]:
    masses = {element: n * xraydb.atomic_mass(element) for element, n in formula.items()}
    total = sum(masses.values())
    return {element: mass / total for element, mass in masses.items()}


def _energies_keV() -> list[float]:
    grid = np.geomspace(10.0, 780.0, 96)
    edge = [LU_K_EDGE_KEV - 0.01, LU_K_EDGE_KEV + 0.01]
    return sorted([*np.round(grid, 3).tolist(), *edge, 511.0])


def write_table() -> None:
    """Write the table beside this file."""
    xraydb = importlib.import_module("xraydb")
    lines = [HEADER.format(version=xraydb.__version__)]
    lines.append("energy_keV," + ",".join(f"{m}_photo,{m}_incoherent" for m in FORMULAE))
    fractions = {m: _mass_fractions(xraydb, f) for m, f in FORMULAE.items()}
    for energy in _energies_keV():
        row = [f"{energy:g}" if energy == round(energy, 2) else f"{energy:.4f}"]
        for material in FORMULAE:
            for kind in ("photo", "incoh"):
                parts = fractions[material].items()
                mu = sum(w * xraydb.mu_elam(e, energy * 1e3, kind=kind) for e, w in parts)
                row.append(f"{float(mu):.6g}")
        lines.append(",".join(row))
    TABLE_PATH.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_table()
