"""Constants of nature and of shape that more than one room calculates with."""

from __future__ import annotations

import math

ELECTRON_REST_KEV = 510.99895  # CODATA 2018
REFERENCE_KEV = 511.0
"""The annihilation photon's energy as calibrations and resolutions name it."""

LIGHT_MM_PER_PS = 0.299792458
FWHM_PER_SIGMA = 2.0 * math.sqrt(2.0 * math.log(2.0))
"""Of a Gaussian."""
