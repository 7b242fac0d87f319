"""Cross-sections of the materials that photons meet, on a 1 keV grid for the kernels.

Photoelectric absorption, Compton and coherent scatter. The numbers come from
``cross_sections.csv``, whose header names its source; beyond its end at 780 keV they are continued
to MAX_ENERGY_KEV by formula. Pair production (from 1022 keV) is left out: it is below 0.1 % of
water's attenuation and 1 % of LYSO's at 1275 keV, about 1 % and 10 % at 2000 keV (NIST XCOM).
Compositions and usual densities are in ``compositions``.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.physics.compositions import DENSITY_G_PER_CM3, SYMBOLS
from hw.errors import TomoshibiError

__all__ = [
    "DENSITY_G_PER_CM3",
    "MAX_ENERGY_KEV",
    "MU_WATER_511_PER_MM",
    "CrossSections",
    "MaterialError",
    "ScatteringFunctions",
    "cross_sections",
    "klein_nishina",
    "material_name",
    "mu_per_mm",
    "scattering_functions",
]

TABLE_PATH = Path(__file__).with_name("cross_sections.csv")
FUNCTIONS_PATH = Path(__file__).with_name("scattering_functions.csv")
MAX_ENERGY_KEV = 2000
MU_WATER_511_PER_MM = 0.009577  # the table's own value, for phantoms


class MaterialError(TomoshibiError, ValueError):
    """A material that the emulator has no cross-sections for."""


class CrossSections(NamedTuple):
    """Attenuation by energy: element ``i`` of each array is for ``i`` keV.

    mu_per_mm : (MAX_ENERGY_KEV + 2,) f8, photoelectric plus Compton
    photo_fraction : same shape, photoelectric share of ``mu_per_mm``
    coherent_per_mm : same shape, coherent scatter, which is not in ``mu_per_mm``
    """

    mu_per_mm: npt.NDArray[np.float64]
    photo_fraction: npt.NDArray[np.float64]
    coherent_per_mm: npt.NDArray[np.float64]


class ScatteringFunctions(NamedTuple):
    """How electron binding changes the angles of scatter, by x = sin(θ/2)/λ.

    transfer_per_A : (n,) f8, x in 1/Å, ascending
    form : (n,) f8, squared form factor over its value at 0
    bound : (n,) f8, incoherent scattering function per electron
    """

    transfer_per_A: npt.NDArray[np.float64]
    form: npt.NDArray[np.float64]
    bound: npt.NDArray[np.float64]


def material_name(material: str) -> str:
    """Return the tables' name of a material given by name or element symbol (Pb, W, Al).

    Raises
    ------
    MaterialError
        naming the material and those that exist.
    """
    name = SYMBOLS.get(material, material)
    if name not in DENSITY_G_PER_CM3:
        near = difflib.get_close_matches(material, [*DENSITY_G_PER_CM3, *SYMBOLS], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise MaterialError(
            f"material {material!r} has no cross-sections{hint}; there are "
            f"{', '.join(sorted(DENSITY_G_PER_CM3, key=str.lower))}"
        )
    return name


@lru_cache(maxsize=64)
def cross_sections(material: str) -> CrossSections:
    """Return the tables of a material at its usual density, interpolated log-log.

    Beyond the stored table, photoelectric absorption and coherent scatter continue with the slope
    of its last two energies (power laws, as between the edges), and Compton scatter in proportion
    to the Klein-Nishina cross-section, which incoherent scatter equals there.

    Raises
    ------
    MaterialError
        naming the material and those that exist.
    """
    name = material_name(material)
    table = _stored_table(TABLE_PATH)
    known = table["energy_keV"]
    energy = np.maximum(np.arange(MAX_ENERGY_KEV + 2, dtype=np.float64), known[0])
    photo, compton, coherent = (
        np.exp(np.interp(np.log(energy), np.log(known), np.log(table[f"{name}_{kind}"])))
        for kind in ("photo", "incoherent", "coherent")
    )
    end, run = energy > known[-1], np.log(known[-1] / known[-2])
    for values, kind in ((photo, "photo"), (coherent, "coherent")):
        slope = np.log(table[f"{name}_{kind}"][-1] / table[f"{name}_{kind}"][-2]) / run
        values[end] *= (energy[end] / known[-1]) ** slope
    compton[end] *= klein_nishina(energy[end]) / klein_nishina(known[-1:])
    per_mm = DENSITY_G_PER_CM3[name] / 10.0
    return CrossSections((photo + compton) * per_mm, photo / (photo + compton), coherent * per_mm)


def mu_per_mm(material: str, *, density_g_per_cm3: float | None = None) -> float:
    """Return a material's µ at 511 keV without coherent scatter, as phantoms state it.

    ``density_g_per_cm3`` replaces the material's usual density.
    """
    usual = DENSITY_G_PER_CM3[material_name(material)]
    density = usual if density_g_per_cm3 is None else density_g_per_cm3
    return float(cross_sections(material).mu_per_mm[511]) * density / usual


@lru_cache(maxsize=64)
def scattering_functions(material: str) -> ScatteringFunctions:
    """Return form factor and incoherent scattering function of a material.

    Atoms are treated as independent; interference between them, which reduces coherent scatter by
    liquids below about 3° at 140 keV, is left out.

    Raises
    ------
    MaterialError
        naming the material and those that exist.
    """
    name = material_name(material)
    table = _stored_table(FUNCTIONS_PATH)
    return ScatteringFunctions(
        table["transfer_per_A"], table[f"{name}_form"], table[f"{name}_bound"]
    )


def klein_nishina(energy_keV: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cross-section of Compton scatter on a free electron, in units of 2π·r_e².

    O. Klein, Y. Nishina, Z. Phys. 52 (1929) 853, integrated over the angle; α = E/mₑc².
    """
    a = energy_keV / 510.99895
    log = np.log1p(2 * a)
    first = (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
    return np.asarray(first + log / (2 * a) - (1 + 3 * a) / (1 + 2 * a) ** 2)


@lru_cache(maxsize=2)
def _stored_table(path: Path) -> npt.NDArray[np.void]:
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    return np.asarray(np.genfromtxt(rows, delimiter=",", names=True))
