"""Attenuation coefficients of what SPECT photons meet: tissue, septa, crystals.

Linear coefficients in 1/mm from xraydb 4.5.8 (W. T. Elam, B. D. Ravel, J. R. Sieber, Radiat. Phys.
Chem. 63 (2002) 121) at the usual densities (g/cm³): NaI 3.667, CZT 5.78, W 19.3, Pb 11.35, water 1,
cortical bone 1.92. They are interpolated log-log in energy; the K edges of tungsten and lead have
two entries.

A µ map at 511 keV is converted to another energy with two straight lines, like CT numbers: up to
water it scales with water's µ, beyond that it rises to cortical bone's (C. Burger et al., Eur. J.
Nucl. Med. 29 (2002) 922, the same in Hounsfield units). Coherent scatter is left out: such photons
keep their energy and turn by only a few degrees, so they are still counted, slightly displaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from recon.core.grid import Image

LOWEST_keV, HIGHEST_keV = 49.8, 511.0

_ENERGIES_keV = (
    49.784, 59.807, 69.515, 69.535, 78.751, 87.995, 88.015, 99.047, 113.655, 124.573, 140.511,
    156.678, 179.787, 206.304, 247.842, 297.743, 374.478, 449.876, 511.0,
)  # fmt: skip
_PHOTO = {
    "NaI": (3.7336, 2.2608, 1.4909, 1.4898, 1.0526, 0.77018, 0.76968, 0.55082, 0.37232, 0.28652,
            0.20304, 0.14866, 0.10032, 0.067802, 0.040396, 0.024262, 0.013038, 0.0080705,
            0.0058498),
    "CZT": (5.8901, 3.5526, 2.3339, 2.332, 1.6416, 1.1977, 1.197, 0.85443, 0.57592, 0.4424,
            0.31277, 0.22852, 0.1538, 0.10368, 0.061553, 0.036854, 0.019746, 0.012199, 0.0088295),
    "W": (10.333, 6.214, 4.0882, 20.833, 14.972, 11.196, 11.189, 8.2199, 5.705, 4.4568, 3.2157,
          2.3921, 1.6472, 1.1355, 0.6935, 0.42634, 0.2355, 0.14881, 0.1092),
    "Pb": (8.3748, 5.0751, 3.3588, 3.3561, 2.385, 1.7566, 8.3061, 6.0949, 4.256, 3.3508, 2.4459,
           1.8361, 1.2747, 0.88485, 0.54585, 0.33901, 0.18946, 0.12069, 0.089028),
    "water": (2.7642e-3, 1.5086e-3, 9.1782e-4, 9.1695e-4, 6.0782e-4, 4.2127e-4, 4.2095e-4,
              2.851e-4, 1.8125e-4, 1.3411e-4, 9.0437e-5, 6.3424e-5, 4.0634e-5, 2.6157e-5,
              1.4678e-5, 8.3483e-6, 4.2231e-6, 2.5114e-6, 1.7772e-6),
    "bone": (0.043221, 0.024343, 0.015168, 0.015154, 0.010234, 7.2071e-3, 7.202e-3, 4.9582e-3,
             3.2096e-3, 2.4022e-3, 1.6434e-3, 1.1669e-3, 7.5879e-4, 4.9507e-4, 2.8222e-4,
             1.6278e-4, 8.3641e-5, 5.0224e-5, 3.5747e-5),
}  # fmt: skip
_INCOHERENT = {
    "NaI": (0.042397, 0.042845, 0.042907, 0.042907, 0.042752, 0.042458, 0.042457, 0.041989,
            0.041259, 0.040673, 0.039796, 0.038912, 0.037691, 0.036376, 0.034514, 0.03257,
            0.030088, 0.028095, 0.026723),
    "CZT": (0.063822, 0.064792, 0.065079, 0.065079, 0.06497, 0.064615, 0.064613, 0.063989,
            0.06297, 0.062134, 0.06087, 0.05958, 0.057782, 0.055823, 0.053016, 0.050067, 0.046285,
            0.043227, 0.041123),
    "W": (0.19022, 0.19484, 0.19712, 0.19712, 0.19796, 0.19791, 0.19791, 0.19703, 0.195, 0.19308,
          0.18993, 0.18653, 0.18156, 0.17595, 0.16771, 0.15886, 0.14732, 0.13792, 0.1314),
    "Pb": (0.10749, 0.11044, 0.11194, 0.11194, 0.11258, 0.11269, 0.11269, 0.11234, 0.11135,
           0.11037, 0.10871, 0.10687, 0.10415, 0.10104, 0.096419, 0.091422, 0.084881, 0.079531,
           0.075796),
    "water": (0.018039, 0.01771, 0.017358, 0.017358, 0.017018, 0.016682, 0.016681, 0.016294,
              0.015808, 0.015465, 0.014997, 0.014558, 0.013986, 0.013402, 0.012615, 0.011826,
              0.010851, 0.010091, 0.0095754),
    "bone": (0.031337, 0.030909, 0.030399, 0.030398, 0.029878, 0.029346, 0.029345, 0.028715,
             0.027908, 0.027332, 0.026536, 0.025783, 0.024796, 0.023781, 0.022403, 0.021016,
             0.019295, 0.017949, 0.017036),
}  # fmt: skip
_COHERENT = {
    "W": (1.091, 0.8159, 0.6412, 0.6409, 0.52332, 0.43519, 0.43502, 0.35602, 0.28042, 0.23856,
          0.19256, 0.15847, 0.12377, 0.096514, 0.069032, 0.04916, 0.031952, 0.022535, 0.01765),
    "Pb": (0.74798, 0.55906, 0.4389, 0.4387, 0.35844, 0.29883, 0.29871, 0.24539, 0.19404, 0.16541,
           0.13376, 0.11018, 0.086103, 0.067183, 0.048149, 0.034386, 0.022435, 0.015869, 0.01245),
}  # fmt: skip


class Mu(NamedTuple):
    """Coefficients in 1/mm: photoelectric, incoherent (Compton) and coherent scatter."""

    photo: float
    incoherent: float
    coherent: float


def mu_per_mm(matter: str, energy_keV: float) -> Mu:
    """Return the coefficients of ``NaI``, ``CZT``, ``W``, ``Pb``, ``water`` or ``bone``."""
    return Mu(*(_at(table, matter, energy_keV) for table in (_PHOTO, _INCOHERENT, _COHERENT)))


def _at(table: Mapping[str, tuple[float, ...]], matter: str, energy_keV: float) -> float:
    if matter not in table:
        return 0.0
    energy = float(np.clip(energy_keV, LOWEST_keV, HIGHEST_keV))
    return float(np.exp(np.interp(np.log(energy), np.log(_ENERGIES_keV), np.log(table[matter]))))


def scale_mu(mu_511_per_mm: Image, energy_keV: float) -> Image:
    """Return a µ map at 511 keV as one at ``energy_keV``, float32."""
    water, bone = (_whole(name, 511.0) for name in ("water", "bone"))
    water_here, bone_here = (_whole(name, energy_keV) for name in ("water", "bone"))
    slope = (bone_here - water_here) / (bone - water)
    beyond = water_here + slope * (mu_511_per_mm - water)
    scaled = np.where(mu_511_per_mm <= water, mu_511_per_mm * (water_here / water), beyond)
    return scaled.astype(np.float32)


def _whole(matter: str, energy_keV: float) -> float:
    here = mu_per_mm(matter, energy_keV)
    return here.photo + here.incoherent
