"""How much a scanner's detectors blur an image, from their geometry alone.

A detector mislocates a photon along its face by σ_u (its position blur, and the binning to pitch p:
p² / 12) and in depth by σ_w (DOI blur and bins; without DOI the spread of absorption over the whole
crystal). For a line at angle θ to the normal of the face this becomes

    σ_⊥² = σ_u² cos²θ + σ_w² sin²θ

and at a point that divides the line AB into a and b,

    σ² = ( b² σ_⊥A² + a² σ_⊥B² ) / (a + b)² + ( κ a b / (a + b) )²,

with κ = 0.0088 / 2.355 for the acollinearity of the photons (W. W. Moses, Nucl. Instrum. Methods A
648 (2011) S236: 0.0044 R FWHM in the middle of a ring of radius R). By the central slice theorem
the radial width of the point spread at radius r is that of the lines across the radius (sinθ = r /
R, a = b = √(R² - r²): parallax), the tangential width that of the lines along it (θ = 0, a = R - r,
b = R + r). R reaches to the mean depth of interaction; a ring of flat blocks is treated as round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from hw.arrays import F8
from hw.physics.constants import FWHM_PER_SIGMA
from hw.scanner.description import Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, doi_depths_mm
from recon.core.grid import ImageGrid
from recon.core.radial_resolution import RadialResolution

ACOLLINEARITY = 0.0088
"""FWHM at a point over a b / (a + b), for 0.5° FWHM between the photons."""

DEPTHS, BLURS = 400, 41


@dataclass(frozen=True)
class DetectorBlur:
    """σ (mm) of a photon's recorded position: along the block's u and v, and in depth."""

    along_u_mm: float
    along_v_mm: float
    depth_mm: float
    radius_mm: float

    @classmethod
    def of(cls, scanner: Scanner) -> DetectorBlur:
        """Return the blur of a scanner's blocks according to its preset."""
        block = scanner.module
        position = scanner.response.position_fwhm_mm / FWHM_PER_SIGMA
        mean, deviation = _depth(scanner)
        return cls(
            along_u_mm=math.hypot(position, block.pitch_u_mm / math.sqrt(12)),
            along_v_mm=math.hypot(position, block.pitch_v_mm / math.sqrt(12)),
            depth_mm=deviation,
            radius_mm=scanner.ring.inradius_mm + mean,
        )

    def radial_mm(self, r_mm: F8) -> F8:
        """Return the radial σ of the point spread at these radii."""
        sine2 = np.minimum(r_mm / self.radius_mm, 1.0) ** 2
        across = self.along_u_mm**2 * (1 - sine2) + self.depth_mm**2 * sine2
        half = np.sqrt(self.radius_mm**2 * (1 - sine2)) / 2
        return np.sqrt(across / 2 + _acollinear(half) ** 2)

    def tangential_mm(self, r_mm: F8) -> F8:
        """Return the tangential σ of the point spread (transaxial plane)."""
        share2 = np.minimum(r_mm / self.radius_mm, 1.0) ** 2
        across = self.along_u_mm**2 * (1 + share2) / 2
        return np.sqrt(across + _acollinear(self.radius_mm * (1 - share2) / 2) ** 2)

    def axial_mm(self) -> float:
        """Return the axial σ of the point spread, for lines perpendicular to the axis."""
        return math.hypot(self.along_v_mm / math.sqrt(2), float(_acollinear(self.radius_mm / 2)))


def detector_resolution(scanner: Scanner, grid: ImageGrid, *, threads: int = 1) -> RadialResolution:
    """Return the resolution model of a scanner's detectors on a grid."""
    blur = DetectorBlur.of(scanner)
    x, y, _ = grid.axes_mm()
    r = np.hypot(x, y)[:, :, 0]
    return RadialResolution(
        grid,
        radial_mm=blur.radial_mm(r),
        tangential_mm=blur.tangential_mm(r),
        axial_mm=blur.axial_mm(),
        threads=threads,
    )


def usual_fwhm_mm(scanner: Scanner, voxel_mm: Sequence[float]) -> float:
    """Return the FWHM of the resolution model of an image for which none was named.

    The detectors' blur halfway to the field's edge, the mean of its two axes, and the voxel's width
    in quadrature. A wider model would make edges overshoot.
    """
    blur = DetectorBlur.of(scanner)
    r = np.array([scanner.image.shape[0] * scanner.image.voxel_mm[0] / 4])
    sigma = math.hypot(float(blur.radial_mm(r)[0]), float(blur.tangential_mm(r)[0])) / math.sqrt(2)
    return round(math.hypot(sigma * FWHM_PER_SIGMA, max(voxel_mm)), 1)


def _acollinear(share_mm: F8 | float) -> F8:
    """Return σ at a point with a b / (a + b) = ``share_mm``."""
    return np.asarray(ACOLLINEARITY * np.asarray(share_mm) / FWHM_PER_SIGMA)


def _depth(scanner: Scanner) -> tuple[float, float]:
    """Return the mean depth of interaction and the RMS error of the assumed depth."""
    block = scanner.module
    mu = LINEAR_ATTENUATION_PER_MM[block.material]
    share = (np.arange(DEPTHS) + 0.5) / DEPTHS
    depth = -np.log1p(share * math.expm1(-mu * block.thickness_mm)) / mu
    blur = scanner.response.doi_fwhm_mm / FWHM_PER_SIGMA * ndtri((np.arange(BLURS) + 0.5) / BLURS)
    said = (depth[:, None] + blur) / block.thickness_mm * block.doi_bins
    bins = said.astype(np.int64).clip(0, block.doi_bins - 1)
    stands_for = doi_depths_mm(block.thickness_mm, doi_bins=block.doi_bins, material=block.material)
    error = depth[:, None] - stands_for[bins]
    return float(depth.mean()), float(np.sqrt((error**2).mean()))
