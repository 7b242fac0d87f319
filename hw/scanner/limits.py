"""Limits of acceptance that a preset may state: what a scanner of its kind must reach.

They judge the figures of ``tomoshibi acceptance``. A figure without a limit is reported as such and
never passes in silence.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0, le=1e9)]


class Nu2Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NEMA NU 2-2018; every key may be left out.

    least_sensitivity_cps_per_kBq : on the axis and 100 mm off it
    most_scatter_fraction : of the scatter phantom at low activity
    least_peak_necr_kcps : peak of the noise equivalent count rate
    most_fwhm_mm : radial, tangential and axial, of each point
    most_far_fwhm_mm : the same of points 50 mm and more off the axis, instead of most_fwhm_mm
    least_contrast_recovery_percent : of each hot sphere (100 is perfect)
    most_variability_percent : background variability of each sphere's size
    most_lung_residual_percent : image within the lung insert over the background
    most_tof_fwhm_ps : time resolution at the lowest activity
    most_count_error_percent : greatest relative error up to the peak of the NECR
    """

    least_sensitivity_cps_per_kBq: Positive | None = None
    most_scatter_fraction: Positive | None = None
    least_peak_necr_kcps: Positive | None = None
    most_fwhm_mm: Positive | None = None
    most_far_fwhm_mm: Positive | None = None
    least_contrast_recovery_percent: Positive | None = None
    most_variability_percent: Positive | None = None
    most_lung_residual_percent: Positive | None = None
    most_tof_fwhm_ps: Positive | None = None
    most_count_error_percent: Positive | None = None


class Nu4Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """NEMA NU 4-2008; every key may be left out.

    least_sensitivity_percent : coincidences per positron, averaged over the axial field
    most_scatter_fraction, least_peak_necr_kcps, most_fwhm_mm : as in NU 2
    most_uniformity_sd_percent : SD of the voxels over their mean, warm part of the mouse phantom
    least_recovery : recovery coefficient of each rod
    most_spill_over : in each cold chamber
    """

    least_sensitivity_percent: Positive | None = None
    most_scatter_fraction: Positive | None = None
    least_peak_necr_kcps: Positive | None = None
    most_fwhm_mm: Positive | None = None
    most_uniformity_sd_percent: Positive | None = None
    least_recovery: Positive | None = None
    most_spill_over: Positive | None = None


class AcceptanceLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``[acceptance]`` of a preset: ``[acceptance.nu2]``, ``[acceptance.nu4]``."""

    nu2: Nu2Limits | None = None
    nu4: Nu4Limits | None = None
