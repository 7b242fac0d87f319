"""A µ map without CT: the head's outline from an uncorrected image, uniform tissue, a skull shell.

Without attenuation correction the skin appears too bright, because lines at the edge of the head
lose least; that makes the outline easy to find (S. C. Huang et al., J. Nucl. Med. 22 (1981) 627; M.
Bergström et al., J. Comput. Assist. Tomogr. 6 (1982) 365). The steps:

1. smooth by ``SMOOTHING_FWHM_MM``; threshold; take the largest piece;
2. in each slice, take the convex hull by support lines h(φ), the farthest point of the piece in
   direction φ, smoothed over slices and directions: no holes, notches or spikes;
3. move the threshold to the level of the outermost steepest fall of the image with distance from
   that surface, and repeat: scatter makes a haze around the head, so no fixed share of the maximum
   marks the edge;
4. from the surface inwards: scalp, skull, and the rest uniform.

µ at 511 keV: soft tissue as water, 0.096/cm (NIST XCOM: water 0.0960, brain at 1.04 g/cm³ 0.0992).
Skull 0.146/cm: cranium, 1.61 g/cm³ (ICRU Report 46; XCOM 0.0906 cm²/g), which is cortical bone
(0.172/cm at 1.92 g/cm³) with its diploë. Skull 6.5 mm and scalp 5 mm thick are round numbers for
adults; on the accuracy of such maps: H. Zaidi, M.-L. Montandon and S. Meikle, NeuroImage 34 (2007)
518.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from hw.arrays import F8, Mask
from hw.physics.constants import FWHM_PER_SIGMA
from recon.core.grid import Image, ImageGrid, ReconError

SOFT_TISSUE_PER_MM = 0.0096
SKULL_PER_MM = 0.0146
BONE_PER_MM = 0.0172
"""The most that bone attenuates: compact, without marrow."""

SCALP_MM, SKULL_MM = 5.0, 6.5
SMOOTHING_FWHM_MM = 6.0
FIRST_LEVEL = 0.25
"""Share of the mean within the head at which the search for the surface begins."""

ROUNDS = 8
LEVEL_SLICES = 16
BAND_MM = (-16.0, 16.0)
STEP_MM = 2.0
"""Range (negative is outside) and step of the profile across the surface."""

LEAST_SLOPE = 0.5
"""The edge is the outermost maximum of the slope that reaches this share of the steepest."""

OPENING = 1
DIRECTIONS = 48
LEAST_LITRES, MOST_LITRES = 0.4, 7.0
"""Volume within the field of view; a whole head has 3.5 to 5.5 litres, a phantom may have less."""

LEAST_SLICE_SHARE = 0.15
"""A slice below this share of the largest slice's area is noise at the end of the field of view."""

FIT_MM, END_MM, MARGIN_MM = 36.0, 14.0, 4.0
"""How far the ends are extrapolated, the range of the fit, and the last slices left out of it."""


class ContourError(ReconError):
    """No head can be found in the image; the message says what was found instead."""


def head_contour_mu(activity_image: Image, grid: ImageGrid, *, beyond_mm: float = 0.0) -> Image:
    """Return the µ map (1/mm, on ``grid``) of the head in an image without attenuation correction.

    Parameters
    ----------
    beyond_mm : distance of the surface outside the visible uptake: 0 if the skin shows some uptake,
        about 13 for a tracer seen only in the brain

    Raises
    ------
    ContourError
        if the image is empty, or its object does not have the size of a head.
    """
    surface = head_mask(activity_image, grid)
    outside = ndimage.distance_transform_edt(~surface, sampling=grid.voxel_mm)
    surface = (outside <= beyond_mm) & _in_view(grid)
    _check_size(surface, grid)
    # the head goes on beyond the ends of the field of view: no surface there
    padded = np.pad(surface, ((1, 1), (1, 1), (1, 1)), constant_values=False)
    padded[:, :, 0], padded[:, :, -1] = padded[:, :, 1], padded[:, :, -2]
    depth = ndimage.distance_transform_edt(padded, sampling=grid.voxel_mm)[1:-1, 1:-1, 1:-1]
    depth = depth - min(grid.voxel_mm) / 2  # from the surface, not from the nearest empty voxel
    mu = np.where(surface, np.float32(SOFT_TISSUE_PER_MM), np.float32(0.0))
    mu[surface & (depth > SCALP_MM) & (depth <= SCALP_MM + SKULL_MM)] = SKULL_PER_MM
    return mu


def head_mask(activity_image: Image, grid: ImageGrid) -> Mask:
    """Return the voxels within the head's surface, as the tracer shows it."""
    grid.check(activity_image)
    image = np.nan_to_num(activity_image, nan=0.0, posinf=0.0, neginf=0.0).clip(0.0)
    sigma = [SMOOTHING_FWHM_MM / FWHM_PER_SIGMA / size for size in grid.voxel_mm]
    smooth = ndimage.gaussian_filter(image.astype(np.float32), sigma)
    top = float(smooth.max(initial=0.0))
    if top <= 0:
        raise ContourError(
            "the image is empty, there is no head to find: give a µ map or more counts"
        )
    view = _in_view(grid)
    level = FIRST_LEVEL * _robust_mean(smooth)
    middle = _middle_slices(smooth > level)
    for _ in range(ROUNDS):
        surface = _convex_slices(_largest_piece(smooth[:, :, middle] > level), grid) & view[..., :1]
        level = (level + _edge_level(smooth[:, :, middle], surface, grid, level)) / 2
    return _convex_slices(_largest_piece(smooth > level), grid) & view


def _middle_slices(mask: Mask) -> npt.NDArray[np.int64]:
    """Return some slices from the middle half of those with much activity."""
    area = mask.sum(axis=(0, 1))
    held = np.flatnonzero(area > 0.5 * max(int(area.max()), 1))
    first, last = np.quantile(held, [0.25, 0.75]) if len(held) else (0, mask.shape[2] - 1)
    return np.unique(np.linspace(first, last, LEVEL_SLICES).astype(np.int64))


def _edge_level(image: Image, surface: Mask, grid: ImageGrid, level: float) -> float:
    """Return the image's level where it falls most steeply across the surface, slice by slice."""
    if not surface.any() or surface.all():
        return level
    voxel = grid.voxel_mm[:2]
    depth = np.stack([_signed_depth(plane, voxel) for plane in np.moveaxis(surface, 2, 0)], axis=2)
    edges = np.arange(BAND_MM[0], BAND_MM[1] + STEP_MM, STEP_MM)
    which = np.digitize(depth.reshape(-1), edges)
    count = np.bincount(which, minlength=len(edges) + 1)[1:-1]
    total = np.bincount(which, weights=image.reshape(-1), minlength=len(edges) + 1)[1:-1]
    profile = total / np.maximum(count, 1)
    slope = np.diff(profile)
    inner = slope[1:-1]
    found = (inner >= slope[:-2]) & (inner >= slope[2:]) & (inner > LEAST_SLOPE * _typical(slope))
    if not found.any():
        return level
    first = int(np.argmax(found)) + 1
    left, here, right = slope[first - 1 : first + 2]
    place = first + 0.5 + 0.5 * (left - right) / min(left - 2 * here + right, -1e-30)  # a parabola
    return float(np.interp(place, np.arange(len(profile)), profile))


def _typical(slope: F8) -> float:
    return float(np.quantile(slope, 0.8))


def _signed_depth(plane: Mask, voxel_mm: tuple[float, ...]) -> F8:
    half = min(voxel_mm) / 2
    inside = ndimage.distance_transform_edt(plane, sampling=voxel_mm) - half
    outside = ndimage.distance_transform_edt(~plane, sampling=voxel_mm) - half
    return np.asarray(np.where(plane, inside, -outside))


def _robust_mean(smooth: Image) -> float:
    """Return the mean over what is clearly object, found iteratively from the highest values."""
    level = 0.5 * float(np.percentile(smooth, 99.0))
    for _ in range(5):
        level = 0.4 * float(smooth[smooth > level].mean())
    return float(smooth[smooth > level].mean())


def _largest_piece(mask: Mask) -> Mask:
    """Return the largest piece after removing parts as thin as noise, which a hull would follow."""
    mask = ndimage.binary_opening(mask, iterations=OPENING)
    labels, count = ndimage.label(mask)
    if count == 0:
        return mask
    sizes = np.bincount(labels.reshape(-1))
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def _convex_slices(piece: Mask, grid: ImageGrid) -> Mask:
    """Return each slice's convex hull, its support lines smoothed over slices and directions."""
    area = piece.sum(axis=(0, 1))
    slices = np.flatnonzero(area > LEAST_SLICE_SHARE * max(int(area.max()), 1))
    if not len(slices):
        return np.zeros_like(piece)
    slices = np.arange(slices[0], slices[-1] + 1)
    angle = np.arange(DIRECTIONS) * (2 * np.pi / DIRECTIONS)
    x, y, _ = grid.axes_mm()
    along = np.cos(angle)[:, None, None] * x[None, :, :, 0] + (
        np.sin(angle)[:, None, None] * y[None, :, :, 0]
    )
    support = np.array([[a[piece[:, :, k]].max(initial=-1e3) for a in along] for k in slices])
    support += min(grid.voxel_mm[:2]) / 2  # to the voxel's edge
    slices, support = _closed(slices, _repaired(support), piece.shape[2], grid.voxel_mm[2])
    result = np.zeros_like(piece)
    for k, distance in zip(slices, support, strict=True):
        result[:, :, k] = (along <= distance[:, None, None]).all(axis=0)
    return result


def _repaired(support: F8) -> F8:
    """Return the support lines (slices, directions) without spikes and steps."""
    empty = support[:, 0] < -1e2
    if empty.any():
        known = np.flatnonzero(~empty)
        nearest = known[np.abs(np.arange(len(support))[:, None] - known[None, :]).argmin(axis=1)]
        support = support[nearest]
    around = np.pad(support, ((0, 0), (2, 2)), mode="wrap")
    median = ndimage.median_filter(around, size=(5, 5), mode="nearest")[:, 2:-2]
    return np.asarray(ndimage.gaussian_filter(median, (1.0, 1.0), mode=("nearest", "wrap")))


def _closed(
    slices: npt.NDArray[np.int64], support: F8, n_slices: int, voxel_mm: float
) -> tuple[npt.NDArray[np.int64], F8]:
    """Return slices and support lines with both ends closed off like an ellipsoid's.

    The ends of the field of view are poorly seen or not at all. An ellipsoid's squared half axes
    are quadratic in z (a cylinder's constant): fitted over ``FIT_MM``, extrapolated by ``END_MM``.
    """
    reach, margin = round(END_MM / voxel_mm), round(MARGIN_MM / voxel_mm)
    if len(slices) <= 2 * margin + round(FIT_MM / voxel_mm):
        return slices, support
    opposite = np.roll(support, DIRECTIONS // 2, axis=1)
    middle = np.median((support - opposite) / 2, axis=0)  # h of the axis, one for all slices
    square = np.maximum(support - middle, 0.0) ** 2
    whole = np.arange(max(slices[0] - reach, 0), min(slices[-1] + reach + 1, n_slices))
    kept = slices[margin:-margin]
    made = np.full((len(whole), DIRECTIONS), -1.0)
    made[kept - whole[0]] = square[margin:-margin]
    fitted = round(FIT_MM / voxel_mm)
    for near, wanted in ((kept[:fitted], whole < kept[0]), (kept[-fitted:], whole > kept[-1])):
        centre = near.mean()
        fit = np.polynomial.polynomial.polyfit(near - centre, square[near - slices[0]], 2)
        fit[2] = np.minimum(fit[2], 0.0)
        follow = np.polynomial.polynomial.polyval(whole[wanted] - centre, fit).T
        made[wanted] = np.minimum(follow, square.max(axis=0))
    held = made.mean(axis=1) > 0
    return whole[held], np.sqrt(np.maximum(made[held], 0.0)) + middle


def _in_view(grid: ImageGrid) -> Mask:
    radius = min(n * size / 2 for n, size in zip(grid.shape[:2], grid.voxel_mm[:2], strict=True))
    return grid.cylinder(radius)


def _check_size(surface: Mask, grid: ImageGrid) -> None:
    litres = float(surface.sum()) * grid.voxel_volume_mm3 / 1e6
    if not LEAST_LITRES <= litres <= MOST_LITRES:
        raise ContourError(
            f"the outline found holds {litres:.2f} litres, a head in the field of view has "
            f"{LEAST_LITRES:g} to {MOST_LITRES:g}: give a µ map, or leave attenuation uncorrected"
        )
