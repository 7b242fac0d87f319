"""What the materials are made of: elements by mass or by number, and usual densities.

Tissues are from ICRU Report 44 (1989), skull from ICRU Report 46 (1992), air and glass from NIST
(Hubbell and Seltzer, NISTIR 5632, tables 1 and 2). To give the emulator a new material, add it here
and run ``python -m emulator.physics.generate_cross_sections``.
"""

from __future__ import annotations

DENSITY_G_PER_CM3 = {
    "water": 1.0,
    "LYSO": 7.1,  # Luxium (Saint-Gobain) PreLude 420 data sheet
    "air": 1.205e-3,  # 20 °C, 101.3 kPa
    "soft_tissue": 1.06,
    "brain": 1.04,  # mean of grey and white matter
    "blood": 1.06,
    "muscle": 1.05,
    "adipose": 0.95,
    "lung": 0.26,  # inflated; the tissue itself has 1.05
    "cortical_bone": 1.92,
    "skull": 1.61,  # the whole of the cranium, with its diploe
    "PMMA": 1.19,
    "polyethylene": 0.96,  # NEMA NU 2 asks for 0.96 ± 0.01
    "glass": 2.23,  # borosilicate, as of photomultipliers
    "NaI": 3.667,
    "CZT": 5.78,
    "aluminium": 2.699,
    "tungsten": 19.3,  # rolled; sintered alloys of collimators have 17 to 18.5
    "lead": 11.35,
}
"""Usual density of each material; a phantom may state another."""

SYMBOLS = {"Al": "aluminium", "W": "tungsten", "Pb": "lead"}
"""Other names for the elements."""

FORMULAE: dict[str, dict[str, float]] = {
    "water": {"H": 2, "O": 1},
    "LYSO": {"Lu": 1.8, "Y": 0.2, "Si": 1, "O": 5},
    "PMMA": {"C": 5, "H": 8, "O": 2},
    "polyethylene": {"C": 2, "H": 4},
    "NaI": {"Na": 1, "I": 1},
    "CZT": {"Cd": 0.9, "Zn": 0.1, "Te": 1},
    "aluminium": {"Al": 1},
    "tungsten": {"W": 1},
    "lead": {"Pb": 1},
}
"""Atoms in a formula unit."""

MASS_FRACTIONS: dict[str, dict[str, float]] = {
    "air": {"C": 0.000124, "N": 0.755268, "O": 0.231781, "Ar": 0.012827},
    "soft_tissue": {
        "H": 0.102, "C": 0.143, "N": 0.034, "O": 0.708, "Na": 0.002, "P": 0.003, "S": 0.003,
        "Cl": 0.002, "K": 0.003,
    },
    "brain": {
        "H": 0.107, "C": 0.145, "N": 0.022, "O": 0.712, "Na": 0.002, "P": 0.004, "S": 0.002,
        "Cl": 0.003, "K": 0.003,
    },
    "blood": {
        "H": 0.102, "C": 0.110, "N": 0.033, "O": 0.745, "Na": 0.001, "P": 0.001, "S": 0.002,
        "Cl": 0.003, "K": 0.002, "Fe": 0.001,
    },
    "muscle": {
        "H": 0.102, "C": 0.143, "N": 0.034, "O": 0.710, "Na": 0.001, "P": 0.002, "S": 0.003,
        "Cl": 0.001, "K": 0.004,
    },
    "adipose": {
        "H": 0.114, "C": 0.598, "N": 0.007, "O": 0.278, "Na": 0.001, "S": 0.001, "Cl": 0.001,
    },
    "lung": {
        "H": 0.103, "C": 0.105, "N": 0.031, "O": 0.749, "Na": 0.002, "P": 0.002, "S": 0.003,
        "Cl": 0.003, "K": 0.002,
    },
    "cortical_bone": {
        "H": 0.034, "C": 0.155, "N": 0.042, "O": 0.435, "Na": 0.001, "Mg": 0.002, "P": 0.103,
        "S": 0.003, "Ca": 0.225,
    },
    "skull": {
        "H": 0.050, "C": 0.212, "N": 0.040, "O": 0.435, "Na": 0.001, "Mg": 0.002, "P": 0.081,
        "S": 0.003, "Ca": 0.176,
    },
    "glass": {
        "B": 0.040064, "O": 0.539562, "Na": 0.028191, "Al": 0.011644, "Si": 0.377220,
        "K": 0.003321,
    },
}  # fmt: skip
"""Shares of the mass."""
