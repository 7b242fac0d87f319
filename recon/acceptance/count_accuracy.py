"""Accuracy of the corrections of count losses and randoms: NEMA NU 2-2018, section 6.

Images of the scatter phantom at each activity give the mean in a disc of 180 mm about the scanner's
axis in each slice. They are corrected for randoms, count losses, attenuation and decay, as far as
the run allows, but not for scatter: its share of the trues does not depend on the activity, so it
cancels from the ratios below. Perfect corrections make the mean proportional to the activity. The
expected value is the mean, over the three lowest activities, of value over activity; the relative
error of slice i at activity j is

    Δr = 100 % · (R_ij / (A_j · expected_i) − 1)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arrays import F8

LOWEST = 3
"""Activities that the expectation is taken from."""

REGION_MM = 180.0


@dataclass(frozen=True)
class CountErrors:
    """Relative errors (1 is 100 %): of each slice, (activities, slices), and of all together.

    The activities are sorted, lowest first.
    """

    activity_MBq: F8
    slices: F8
    together: F8

    def greatest_up_to(self, activity_MBq: float) -> float:
        """Return the greatest error of all slices together, in size, up to an activity."""
        chosen = self.together[self.activity_MBq <= activity_MBq * (1 + 1e-9)]
        return float(np.abs(chosen).max())


def count_errors(activity_MBq: F8, values: F8) -> CountErrors:
    """Return the errors of the values (activities, slices) in the discs.

    Raises
    ------
    ValueError
        with fewer than four activities: three make the expectation.
    """
    if len(activity_MBq) <= LOWEST:
        raise ValueError(
            f"{len(activity_MBq)} activities: the lowest {LOWEST} give the expectation, at least "
            "one more is needed"
        )
    order = np.argsort(activity_MBq)
    activity, value = activity_MBq[order], values[order]
    ratio = value / activity[:, None]
    expected = ratio[:LOWEST].mean(axis=0)
    whole = ratio.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        slices = np.where(expected > 0, ratio / expected - 1, np.nan)
    return CountErrors(activity, slices, whole / whole[:LOWEST].mean() - 1)
