"""¹⁷⁶Lu, one fortieth of the lutetium in every LSO or LYSO crystal: β⁻, then three γ.

The 0.3 % branch to the 998 keV level is left out.
"""

from __future__ import annotations

import numpy as np

from hw.physics.beta_spectrum import Energies, allowed_spectrum

ENDPOINT_KEV = 593.0
"""H. Alva-Sánchez et al., Sci. Rep. 8 (2018) 17310; the mean energy they give is 182 keV. One 4 keV
higher, as Q = 1194 keV has it, moves an energy scale by 0.2 %."""

HALF_LIFE_S = 3.76e10 * 365.2422 * 86400.0  # ICRP 107, Alva-Sánchez et al. 2018
ABUNDANCE = 0.02599  # J. Meija et al., Pure Appl. Chem. 88 (2016) 293: of natural lutetium
GAMMA_KEV = (306.78, 201.83, 88.34)  # M. S. Basunia, Nucl. Data Sheets 107 (2006) 791
GAMMA_INTENSITY = (0.936, 0.780, 0.145)  # the same; the rest is conversion electrons
DAUGHTER_Z = 72


def beta_spectrum(energy_keV: Energies) -> Energies:
    """Return the unnormalised β spectrum of allowed shape, 0 beyond the endpoint.

    The decay is first forbidden and not unique, for which the allowed shape is the usual
    approximation: its mean, 182 keV, is as published, and a smooth factor moves no edge.
    """
    within = energy_keV < ENDPOINT_KEV
    found = np.zeros_like(energy_keV)
    found[within] = allowed_spectrum(
        energy_keV[within], endpoint_keV=ENDPOINT_KEV, daughter_z=DAUGHTER_Z, positron=False
    )
    return found
