"""Tables of a camera's blur, plane by plane: the share of a sample's counts that each pixel gets.

A sample is a box of its own width (lateral step, voxel along z), a pixel a box of its pitch;
between them lies the blur at the plane's distance, a Gaussian or a trapezium
(:mod:`recon.spect.collimator`). The share is the triple convolution, by second differences of the
blur's twice integrated form I:

    share(d) = [I(d + (p+h)/2) − I(d + (p−h)/2) − I(d − (p−h)/2) + I(d − (p+h)/2)] / h

for distance d, pixel p and sample h. Shares over all pixels sum to 1: counts are lost only at
edges. For square holes registered to the pixels the trapezium is the pixel's own view, so the pixel
gets p times the trapezium's mean over the sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from hw.arrays import F4, F8, I4
from recon.spect.collimator import CollimatorResponse

REACH_SIGMA = 3.5
"""Where tables end: 0.05 % of a Gaussian lie beyond."""

SHARP_MM = 0.05
_LEAST_SHARE = 1e-5


@dataclass(frozen=True)
class BlurTables:
    """See :func:`recon.spect.rotation_kernels.project`."""

    across: F4
    a_range: I4
    upward: F4
    v_range: I4
    reach: I4


def blur_tables(
    response: CollimatorResponse | None,
    before_mm: F8,
    *,
    lateral_mm: F8,
    u_mm: F8,
    z_mm: F8,
    v_mm: F8,
    steps_mm: tuple[float, float],
    pitch_mm: tuple[float, float],
    field_mm: F8,
) -> BlurTables:
    """Return the tables of planes ``before_mm`` in front of the face, the nearest last.

    Parameters
    ----------
    response : None for no blur
    lateral_mm, z_mm : positions of the samples; u_mm, v_mm : of the pixels, in the camera's frame
    steps_mm : width of a lateral sample, of a voxel along z; pitch_mm : of the pixels
    field_mm : (planes, 2), lateral range of each plane that may hold activity
    """
    planes = int((before_mm > 0).sum())
    across = np.zeros((planes, len(u_mm), len(lateral_mm)), np.float32)
    upward = np.zeros((planes, len(z_mm), len(v_mm)), np.float32)
    for k in range(planes):
        b = float(before_mm[k])
        across[k] = shares(
            u_mm[:, None] - lateral_mm[None, :], b, response, pitch_mm[0], steps_mm[0]
        )
        across[k, :, (lateral_mm < field_mm[k, 0]) | (lateral_mm > field_mm[k, 1])] = 0
        upward[k] = shares(v_mm[None, :] - z_mm[:, None], b, response, pitch_mm[1], steps_mm[1])
    seen = _ranges(across.max(axis=1))
    return BlurTables(across, _ranges(across), upward, _ranges(upward), seen)


def shares(
    distance_mm: F8,
    before_mm: float,
    response: CollimatorResponse | None,
    pixel: float,
    step: float,
) -> F8:
    """Return the share of samples' counts in pixels at these lateral distances.

    Parameters
    ----------
    distance_mm : from pixel to sample, any shape
    before_mm : distance of the plane in front of the face
    response : None for no blur
    pixel, step : widths of a pixel and of a sample, mm
    """
    if response is not None and response.hole_mm:
        wide, narrow = (float(box) for box in response.boxes_mm(before_mm))
        high, low = (_box_cdf(distance_mm + s * step / 2, wide, narrow) for s in (1, -1))
        return np.asarray(pixel * (high - low) / step)
    sigma = SHARP_MM if response is None else float(response.sigma_mm(before_mm))
    outer, inner = (pixel + step) / 2, (pixel - step) / 2
    ends = (distance_mm + outer, distance_mm + inner, distance_mm - inner, distance_mm - outer)
    i1, i2, i3, i4 = (_gauss_integral(end, sigma) for end in ends)
    share = np.asarray((i1 - i2 - i3 + i4) / step)
    return np.where(np.abs(distance_mm) <= REACH_SIGMA * sigma + outer, np.maximum(share, 0), 0.0)


def _gauss_integral(x: F8, sigma: float) -> F8:
    """Return ∫ Φ(t/σ) dt up to x."""
    t = x / sigma
    return np.asarray(x * special.ndtr(t) + sigma / np.sqrt(2 * np.pi) * np.exp(-t * t / 2))


def _box_cdf(x: F8, wide: float, narrow: float) -> F8:
    """Return the distribution function of a trapezium, two boxes convolved."""
    narrow = max(narrow, 1e-3)
    far, near = (wide + narrow) / 2, (wide - narrow) / 2
    pieces = (np.maximum(x + e, 0) ** 2 for e in (far, near, -near, -far))
    p1, p2, p3, p4 = pieces
    return np.asarray((p1 - p2 - p3 + p4) / (2 * wide * narrow))


def _ranges(table: F4) -> I4:
    """Return where the non-zero part of each row (last axis) begins and ends, (..., 2)."""
    there = table > _LEAST_SHARE
    first = there.argmax(axis=-1)
    last = table.shape[-1] - there[..., ::-1].argmax(axis=-1)
    some = there.any(axis=-1)
    return np.stack([first * some, last * some], axis=-1).astype(np.int32)
