"""Attenuation of photons up to 2 MeV in scintillators and semiconductors, by energy.

Compton scatter by Klein and Nishina, times what the electrons' binding leaves of it, plus
photoelectric absorption by ``PHOTO_SHARE``; coherent scatter is left out, and so is pair production
(1 % of LYSO's at 1275 keV, 10 % at 2000 keV).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.physics.compton import attenuation_scale
from hw.physics.constants import ELECTRON_REST_KEV

PHOTO_ENERGIES_KEV = (
    *(70.0, 100.0, 150.0, 200.0, 300.0, 400.0, 511.0),
    *(600.0, 780.0, 1000.0, 1300.0, 1600.0, 2000.0),
)
PHOTO_SHARE = {
    "LYSO": (
        *(59.92, 23.76, 8.425, 4.105, 1.553, 0.8144, 0.4879),
        *(0.3563, 0.2216, 0.1452, 0.09365, 0.06655, 0.04635),
    ),
    "NaI": (
        *(34.09, 12.78, 4.288, 2.019, 0.7315, 0.3729, 0.2189),
        *(0.1582, 0.09713, 0.06305, 0.04024, 0.02837, 0.01959),
    ),
    "CZT": (
        *(35.17, 13.00, 4.310, 2.013, 0.7227, 0.3669, 0.2147),
        *(0.1548, 0.09488, 0.06152, 0.03923, 0.02763, 0.01906),
    ),
}
"""Photoelectric over Compton cross-section (xraydb 4.5.8: Elam, Ravel, Sieber, Radiat. Phys. Chem.
63 (2002) 121), log-log interpolated between; below the first energy photons are absorbed. Beyond
780 keV photoelectric absorption continues as a power law, Compton as Klein and Nishina's."""

BOUND_SHARE = {
    "LYSO": (0.8612, 0.9077, 0.9461, 0.9653, 0.9846, 0.9940, 1.0, 1.0032, *(1.0067,) * 5),
    "NaI": (0.8665, 0.9127, 0.9493, 0.9675, 0.9856, 0.9944, 1.0, 1.0027, *(1.0056,) * 5),
    "CZT": (0.8541, 0.9039, 0.9442, 0.9646, 0.9846, 0.9942, 1.0, 1.0032, *(1.0064,) * 5),
}
"""Incoherent cross-section over Klein's and Nishina's, relative to 511 keV, at the same energies
(same source, whose table ends at 780 keV). Without it LYSO would stop 6 % more at 150 keV, so that
fewer scattered photons escaped and a block counted 2 % too many of 511 keV."""


SCINTILLATION_NS = {"LYSO": 40.0, "NaI": 230.0, "CZT": 0.0}
"""Decay time of the light. LYSO: Pepin et al., IEEE Trans. Nucl. Sci. 51 (2004) 789; NaI(Tl):
Knoll, table 8.3. CZT has no light: its charge is collected well within the integration, 0 = all."""


def photo_share(material: str, energy_keV: npt.ArrayLike) -> F8:
    """Return the ratio of photoelectric to Compton cross-section."""
    return _between(PHOTO_SHARE[material], energy_keV)


def relative_attenuation(material: str, energy_keV: npt.ArrayLike) -> F8:
    """Return µ(E) / µ(511 keV) without coherent scatter."""
    of_511 = 1.0 + photo_share(material, ELECTRON_REST_KEV)
    compton = attenuation_scale(energy_keV) * _between(BOUND_SHARE[material], energy_keV)
    return np.asarray(compton * (1.0 + photo_share(material, energy_keV)) / of_511)


def _between(values: tuple[float, ...], energy_keV: npt.ArrayLike) -> F8:
    """Return a table over ``PHOTO_ENERGIES_KEV`` at an energy, interpolated log-log."""
    log_energy = np.log(np.asarray(energy_keV, dtype=np.float64))
    return np.asarray(np.exp(np.interp(log_energy, np.log(PHOTO_ENERGIES_KEV), np.log(values))))
