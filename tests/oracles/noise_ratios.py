"""Predicted noise over that found in repeats."""

from __future__ import annotations

import math

import numpy as np

from hw.regions import shares
from oracles.drawn_phantom import GRID, REGIONS, means
from recon.core.display_filter import gaussian
from recon.core.noise_parts import OBJECT_FWHM_VOXELS, OBJECT_SHARE, NoiseParts


def region_ratios(images: list[np.ndarray], told: list[NoiseParts]) -> dict[str, float]:
    """Return for each kind of region predicted σ over the standard deviation found, pooled.

    images : of the repeats; told : the parts of the first of them
    """
    found = [means(image) for image in images]
    ratios = {}
    for kind, regions in REGIONS.items():
        variance = np.var([one[kind] for one in found], axis=0, ddof=1).mean()
        sigmas = [
            parts.sigma_of_mean(*shares(region, GRID.axes_mm()), float(mean))
            for parts, means_of in zip(told, found, strict=False)
            for region, mean in zip(regions, means_of[kind], strict=True)
        ]
        ratios[kind] = math.sqrt(np.square(sigmas).mean() / variance)
    return ratios


def voxel_ratio(images: list[np.ndarray], told: list[float]) -> float:
    """Return the noise told of a voxel over that found where the object is bright."""
    stack = np.stack(images)
    mean = stack.mean(axis=0)
    smooth = gaussian(mean, GRID, fwhm_mm=OBJECT_FWHM_VOXELS * GRID.voxel_mm[0])
    bright = smooth > OBJECT_SHARE * smooth.max()
    found = math.sqrt(stack.var(axis=0, ddof=1)[bright].mean()) / mean[bright].mean()
    return float(np.mean(told) / found)
