"""Limits of the daily quality control that a preset may state: table ``[qc]``.

Every limit has a default, so that a preset without the table is judged too. No standard fixes
these limits for every scanner; each default is an *action level* of ours, with its reason. What a
limit is relative to (the preset's energy or time resolution) is measured with the same formula.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

Positive = Annotated[float, Meta(gt=0, le=1e9)]
Whole = Annotated[float, Meta(ge=0, le=1e9)]


class QcLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Action levels of the daily quality control; every key may be left out.

    overdue_h : age in hours from which a QC is overdue: daily
    most_peak_shift_percent : of a module's photopeak from its line. A scale that reads 2.5 % high
        adds 0.03 to the scatter fraction of the brain ring (its preset has the figure)
    most_energy_fwhm_ratio : energy resolution over the preset's, which a fit to the summed
        spectrum of a module reproduces within some percent
    most_ctr_ratio : coincidence time resolution over the preset's
    most_module_deviation_percent : of a module's singles from the median of its ring, for a source
        in the middle. Source 5 mm off the axis of a ring of 128 mm: 8 %
    most_peakless_modules : modules in whose spectrum no photopeak is found
    most_dead_percent : crystals without signal that the run's calibration does not mask already.
        One in a hundred: a choice, no measurement
    most_noisy : crystals that trigger by themselves. One of 20 kHz costs its module live time
    most_lost_frames_percent : data frames lost on the way
    most_randoms_off_sigmas : how surprising the two estimates of randoms are beside each other;
        5 σ are one false alarm in two million QCs
    least_flood_counts : counts in the central pixel of a flood (NEMA NU 1-2018, 2.4: 10 000)
    most_integral_ufov_percent, most_integral_cfov_percent, most_differential_ufov_percent,
    most_differential_cfov_percent : uniformity of a flood. Cameras of NaI are specified, as
        far as we know, with 3 to 4 % (corrected); half as much again calls for action. Pixels that
        are not corrected for their efficiencies need wider ones
    most_background_cps : rate in the photopeak windows without a source, of each detector; None
        as it depends on the site
    """

    overdue_h: Positive = 24.0
    most_peak_shift_percent: Positive = 2.5
    most_energy_fwhm_ratio: Positive = 1.15
    most_ctr_ratio: Positive = 1.15
    most_module_deviation_percent: Positive = 10.0
    most_peakless_modules: Whole = 0.0
    most_dead_percent: Whole = 1.0
    most_noisy: Whole = 0.0
    most_lost_frames_percent: Whole = 0.1
    most_randoms_off_sigmas: Positive = 5.0
    least_flood_counts: Positive = 10_000.0
    most_integral_ufov_percent: Positive = 6.0
    most_integral_cfov_percent: Positive = 5.0
    most_differential_ufov_percent: Positive = 4.0
    most_differential_cfov_percent: Positive = 3.5
    most_background_cps: Positive | None = None
