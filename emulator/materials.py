"""Cross-sections of the materials that photons meet, on a 1 keV grid for the kernels.

Photoelectric absorption and Compton scatter; coherent scatter is left out (0.2 % of water's and
5 % of LYSO's attenuation at 511 keV, and it hardly turns the photon). The numbers come from
``cross_sections.csv``, whose head names its source; beyond its end at 780 keV they are continued to
MAX_ENERGY_KEV by formula. Pair production (from 1022 keV) is left out: below 0.1 % of
water's attenuation and 1 % of LYSO's at 1275 keV, about 1 % and 10 % at 2000 keV (NIST XCOM).
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

TABLE_PATH = Path(__file__).with_name("cross_sections.csv")
MAX_ENERGY_KEV = 2000
DENSITY_G_PER_CM3 = {
    "water": 1.0,
    "LYSO": 7.1,  # Luxium (Saint-Gobain) PreLude 420 data sheet
}
MU_WATER_511_PER_MM = 0.009577  # the table's own value, for phantoms


class MaterialError(ValueError):
    """A material that the emulator has no cross-sections for."""


class CrossSections(NamedTuple):
    """Attenuation by energy: element ``i`` of each array stands at ``i`` keV.

    mu_per_mm : (MAX_ENERGY_KEV + 2,) f8, photoelectric plus Compton
    photo_fraction : same shape, photoelectric share of ``mu_per_mm``
    """

    mu_per_mm: npt.NDArray[np.float64]
    photo_fraction: npt.NDArray[np.float64]


@lru_cache(maxsize=8)
def cross_sections(material: str) -> CrossSections:
    """Return the tables of a material, interpolated log-log from the stored table.

    Beyond the table photoelectric absorption goes on with the slope of its last two energies
    (a power law, as between the edges), Compton scatter in proportion to Klein and Nishina's
    cross-section, which is what incoherent scatter is there.

    Raises
    ------
    MaterialError
        naming the material and those that exist.
    """
    if material not in DENSITY_G_PER_CM3:
        raise MaterialError(
            f"material {material!r} has no cross-sections; there are {sorted(DENSITY_G_PER_CM3)}"
        )
    table = _stored_table()
    energy = np.maximum(np.arange(MAX_ENERGY_KEV + 2, dtype=np.float64), table["energy_keV"][0])
    photo, compton = (
        np.exp(np.interp(np.log(energy), np.log(table["energy_keV"]), np.log(table[column])))
        for column in (f"{material}_photo", f"{material}_incoherent")
    )
    end, last = energy > table["energy_keV"][-1], table[-2:]
    slope = np.diff(np.log(last[f"{material}_photo"])) / np.diff(np.log(last["energy_keV"]))
    photo[end] *= (energy[end] / last["energy_keV"][1]) ** slope
    compton[end] *= klein_nishina(energy[end]) / klein_nishina(last["energy_keV"][1:])
    mu_per_mm = (photo + compton) * DENSITY_G_PER_CM3[material] / 10.0
    return CrossSections(mu_per_mm, photo / (photo + compton))


def klein_nishina(energy_keV: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the cross-section of Compton scatter on a free electron, in units of 2π·r_e².

    O. Klein, Y. Nishina, Z. Phys. 52 (1929) 853, integrated over the angle; α = E/mₑc².
    """
    a = energy_keV / 510.99895
    log = np.log1p(2 * a)
    first = (1 + a) / a**2 * (2 * (1 + a) / (1 + 2 * a) - log / a)
    return np.asarray(first + log / (2 * a) - (1 + 3 * a) / (1 + 2 * a) ** 2)


def _stored_table() -> npt.NDArray[np.void]:
    lines = TABLE_PATH.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    return np.asarray(np.genfromtxt(rows, delimiter=",", names=True))
