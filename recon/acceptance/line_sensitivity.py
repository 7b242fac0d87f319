"""Sensitivity: of a line, extrapolated to no matter around it; of a point, stepped along the axis.

NEMA NU 2-2018, section 5: rates R_j of a line within j aluminium sleeves of total wall X_j, each
over the activity at the time, follow R_j = R_0 exp(−2 µ X_j); R_0 is the sensitivity in air. The
fit is a straight line through ln R_j, weighted by the counts.

NEMA NU 4-2008, section 5: a point source at each step z gives S(z) = (R − R_background)/A of the
coincidences within 10 mm of the source across, over all slices; the absolute sensitivity is S
over the share of decays that give a pair, and the mean is over the steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hw.arrays import F8

SLEEVE_WALL_MM = 1.25
"""Wall of one sleeve (NU 2, 5.3)."""

POINT_STRIP_MM = 20.0
"""Full width of the strip about the point (NU 4, 5.4)."""


class SleeveRate(NamedTuple):
    """A line's rate of coincidences over its activity, within a number of sleeves."""

    sleeves: int
    cps_per_kBq: float
    sigma: float


@dataclass(frozen=True)
class LineSensitivity:
    """The sensitivity without sleeves, its standard error, and µ of the walls found (1/mm)."""

    cps_per_kBq: float
    sigma: float
    mu_per_mm: float


def without_sleeves(rates: list[SleeveRate]) -> LineSensitivity:
    """Return the extrapolation to no sleeve, from at least two different numbers of sleeves.

    Rates of a line without matter about it, which only a simulation has, are averaged.

    Raises
    ------
    ValueError
        if all rates are of one number of sleeves but none, or one is not above 0.
    """
    walls = np.array([one.sleeves * SLEEVE_WALL_MM for one in rates])
    bare = len(walls) > 0 and not walls.any()
    if len(set(walls.tolist())) < 2 and not bare:
        raise ValueError("rates of at least two numbers of sleeves are needed")
    if min(one.cps_per_kBq for one in rates) <= 0:
        raise ValueError("a rate is not above 0: there is nothing to extrapolate")
    if bare:
        weights = np.array([one.sigma for one in rates]) ** -2.0
        mean = float(np.average([one.cps_per_kBq for one in rates], weights=weights))
        return LineSensitivity(mean, float(weights.sum()) ** -0.5, 0.0)
    rate = np.array([one.cps_per_kBq for one in rates])
    weight = (rate / np.array([one.sigma for one in rates])) ** 2
    design = np.stack([np.ones(len(walls)), walls], axis=1)
    covariance = np.linalg.inv(design.T @ (design * weight[:, None]))
    at_0, slope = (float(v) for v in covariance @ design.T @ (np.log(rate) * weight))
    height = math.exp(at_0)
    return LineSensitivity(height, height * math.sqrt(covariance[0, 0]), -slope / 2)


def slice_profile(counts: F8, total_cps_per_kBq: float) -> F8:
    """Return the sensitivity of each slice: its share of the counts with one sleeve (5.4.3)."""
    return np.asarray(total_cps_per_kBq * counts / max(float(counts.sum()), 1e-300))


class PointRate(NamedTuple):
    """A point's coincidences per decay at a place along the axis."""

    z_mm: float
    per_decay: float
    sigma: float


class PointSensitivity(NamedTuple):
    """Absolute sensitivity: mean over the steps, and at the centre (coincidences per pair)."""

    mean: float
    sigma: float
    centre: float


def stepped_point(points: list[PointRate], *, positron_share: float) -> PointSensitivity:
    """Return NU 4's absolute sensitivity from the point's steps along the axis.

    positron_share : positrons per decay
    """
    values = np.array([one.per_decay for one in points]) / positron_share
    errors = np.array([one.sigma for one in points]) / positron_share
    centre = min(range(len(points)), key=lambda k: abs(points[k].z_mm))
    sigma = float(np.sqrt((errors**2).sum()) / len(points))
    return PointSensitivity(float(values.mean()), sigma, float(values[centre]))
