"""Constants of nature and of statistics, once for all rooms."""

from __future__ import annotations

import math

ELECTRON_REST_KEV = 510.99895
"""mₑc², CODATA 2018: the energy of annihilation photons."""

REFERENCE_KEV = 511.0
"""The annihilation photon's energy as calibrations and resolutions name it."""

LIGHT_MM_PER_PS = 0.299792458
"""Speed of light, by definition of the metre."""

FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Full width at half maximum of a Gaussian over its standard deviation."""
