"""A head built from formulas: folded cortex, deep nuclei, ventricles, cerebellum, skull and scalp.

No one's anatomy is copied: ellipsoids give the large shapes, the zero surfaces of a band-limited
field (a sum of plane waves about one gyrus long) give the sulci, and grey matter is what lies
within a cortical thickness of a sulcus or of the brain's surface. The result is deterministic; it
is sampled at 1 mm and averaged to 2 mm, so that edges have partial volume.

Uptake is that of ¹⁸F-FDG in round numbers: grey to white 4 : 1, nothing in the ventricles. A voxel
at an edge has the material that attenuates most in it and the region with the most activity.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Labels, Phantom
from emulator.physics.materials import mu_per_mm
from hw.scanner.description import Scanner

Field = npt.NDArray[np.float32]
Point = tuple[float, float, float]

VOXEL_MM = 2.0
FINE = 2  # fine cells per voxel and axis
SHAPE = (84, 104, 84)  # voxels: 168 × 208 × 168 mm

MATERIALS = ("brain", "soft_tissue", "skull", "water")
BRAIN, SOFT, SKULL, FLUID = range(4)

REGIONS = ("outside", "scalp", "skull", "fluid", "white", "grey", "striatum", "thalamus",
           "cerebellum", "brainstem")  # fmt: skip
""""fluid" is of ventricles and sulci; "white" and "grey" of the cerebrum, "cerebellum" is both."""
OUTSIDE, IN_SCALP, IN_SKULL, IN_FLUID, IN_WHITE, IN_GREY, STRIATUM, THALAMUS, CEREBELLUM, STEM = (
    range(10)
)

GREY, WHITE, SCALP, MARROW = 4.0, 1.0, 0.5, 0.3
DEEP_GREY, CEREBELLUM_GREY = 4.2, 3.4

CORTEX_MM = 3.2
SULCUS_HALF_MM = 0.7
SULCUS_DEPTH_MM = 20.0
GYRUS_MM = 23.0
WAVES = 28

HEAD_CENTRE: Point = (0.0, 0.0, -2.0)
BRAIN_RADII: Point = (64.0, 81.0, 62.0)
SKULL_OUT_MM, SCALP_OUT_MM, MENINGES_MM = 8.5, 13.5, 2.0

Ellipsoid = tuple[Point, Point, float]
"""Centre, radii (mm) and tilt in the transaxial plane (degrees)."""

CALLOSUM: Ellipsoid = ((0.0, -2.0, 22.0), (14.0, 36.0, 7.0), 0.0)
THIRD_VENTRICLE: Ellipsoid = ((0.0, -8.0, 2.0), (2.0, 14.0, 10.0), 0.0)
LATERAL_NUCLEI: dict[str, tuple[Point, Point, float, int]] = {
    # centre (right side; mirrored), radii, tilt in the transaxial plane in degrees, region
    "caudate": ((13.0, 20.0, 8.0), (4.5, 10.0, 8.0), -12.0, STRIATUM),
    "putamen": ((25.0, 8.0, 2.0), (5.0, 14.0, 9.0), 14.0, STRIATUM),
    "thalamus": ((10.0, -12.0, 4.0), (7.5, 12.0, 8.0), 20.0, THALAMUS),
}
LATERAL_VENTRICLES: tuple[Ellipsoid, ...] = (
    ((7.5, 20.0, 12.0), (4.0, 15.0, 6.0), -14.0),  # frontal horn
    ((9.0, -2.0, 18.0), (4.5, 22.0, 5.0), 4.0),  # body
    ((18.0, -32.0, 10.0), (5.0, 17.0, 8.0), 22.0),  # atrium and occipital horn
    ((29.0, -14.0, -10.0), (3.5, 16.0, 4.0), 10.0),  # temporal horn
)


class _Fine(NamedTuple):
    """The head on the fine grid: relative activity and region."""

    activity: Field
    region: Labels


@lru_cache(maxsize=1)
def _head() -> Phantom:
    x, y, z = _fine_axes()
    depth = _ellipsoid_depth((x, y, z), HEAD_CENTRE, BRAIN_RADII)
    # the brain's underside is flat towards the front and carries the cerebellum behind
    floor = (z + 36.0 + 0.10 * y).astype(np.float32)
    cerebrum = np.minimum(depth, floor)
    cerebellum = _ellipsoid_depth((x, y, z), (0.0, -40.0, -44.0), (50.0, 34.0, 23.0))
    stem = _ellipsoid_depth((x, y, z), (0.0, -14.0, -52.0), (12.0, 13.0, 34.0))
    fine = _scalp_and_skull(depth)
    material = np.full(depth.shape, SOFT, np.uint8)
    material[(depth <= -MENINGES_MM) & (depth > -SKULL_OUT_MM)] = SKULL
    inside = depth > -MENINGES_MM
    _paint(fine, inside, 0.0, IN_FLUID)
    _paint(fine, (stem > 0) & inside, WHITE * 1.5, STEM)
    _paint_cerebellum(fine, cerebellum, (depth > 0) & (cerebrum <= 0), y, z)
    _paint_cerebrum(fine, cerebrum, (x, y, z))
    material[inside] = np.where(fine.region[inside] == IN_FLUID, FLUID, BRAIN)
    mu = np.array([mu_per_mm(name) for name in MATERIALS], np.float32)[material]
    mu[depth <= -SCALP_OUT_MM] = 0.0
    return Phantom(
        name="brain",
        activity=_average(fine.activity),
        mu_per_mm=_average(mu),
        voxel_mm=(VOXEL_MM,) * 3,
        origin_mm=tuple(-(n - 1) / 2 * VOXEL_MM for n in SHAPE),  # type: ignore[arg-type]
        material=_largest(material, mu, len(MATERIALS)),
        materials=MATERIALS,
        region=_largest(fine.region, fine.activity + np.float32(1e-3), len(REGIONS)),
        region_names=REGIONS,
    )


def brain(scanner: Scanner) -> Phantom:
    """Return the head, which needs a bore radius of about 105 mm."""
    return _head()


def _fine_axes() -> tuple[Field, Field, Field]:
    axes = []
    for axis, count in enumerate(SHAPE):
        cells = (np.arange(count * FINE) + 0.5) / FINE - count / 2
        shape = [1, 1, 1]
        shape[axis] = -1
        axes.append((cells * VOXEL_MM).astype(np.float32).reshape(shape))
    return axes[0], axes[1], axes[2]


def _ellipsoid_depth(
    axes: tuple[Field, Field, Field], centre: Point, radii: Point, tilt_deg: float = 0.0
) -> Field:
    """Return the approximate depth (mm) of points below an ellipsoid's surface; negative outside.

    First-order distance k·(1 − k)/|∇k| with k the scaled radius: exact on the surface.
    """
    x, y, z = (axis - np.float32(c) for axis, c in zip(axes, centre, strict=True))
    cos, sin = np.float32(np.cos(np.radians(tilt_deg))), np.float32(np.sin(np.radians(tilt_deg)))
    across, along = cos * x + sin * y, cos * y - sin * x
    a, b, c = (np.float32(r) for r in radii)
    k = np.sqrt((across / a) ** 2 + (along / b) ** 2 + (z / c) ** 2) + np.float32(1e-6)
    steep = np.sqrt((across / a**2) ** 2 + (along / b**2) ** 2 + (z / c**2) ** 2)
    return np.asarray(k * (1 - k) / (steep + np.float32(1e-6)), dtype=np.float32)


def _scalp_and_skull(depth: Field) -> _Fine:
    fine = _Fine(np.zeros(depth.shape, np.float32), np.full(depth.shape, OUTSIDE, np.uint8))
    _paint(fine, (depth <= -SKULL_OUT_MM) & (depth > -SCALP_OUT_MM), SCALP, IN_SCALP)
    _paint(fine, (depth <= -MENINGES_MM) & (depth > -SKULL_OUT_MM), MARROW, IN_SKULL)
    return fine


def _paint(fine: _Fine, where: npt.NDArray[np.bool_], value: float, region: int) -> None:
    fine.activity[where] = value
    fine.region[where] = region


def _paint_ellipsoid(
    fine: _Fine,
    inside: npt.NDArray[np.bool_],
    axes: tuple[Field, Field, Field],
    ellipsoid: Ellipsoid,
    value: float,
    region: int,
) -> None:
    """Paint what lies within an ellipsoid, reckoning only in the box around it."""
    centre, radii, _ = ellipsoid
    reach = (max(radii[:2]), max(radii[:2]), radii[2])
    near = [
        np.flatnonzero(np.abs(axis.ravel() - middle) <= far)
        for axis, middle, far in zip(axes, centre, reach, strict=True)
    ]
    box = tuple(slice(at[0], at[-1] + 1) for at in near)
    x, y, z = axes
    depth = _ellipsoid_depth((x[box[0]], y[:, box[1]], z[:, :, box[2]]), *ellipsoid)
    part = _Fine(fine.activity[box], fine.region[box])
    _paint(part, inside[box] & (depth > 0), value, region)


def _paint_cerebellum(
    fine: _Fine, depth: Field, free: npt.NDArray[np.bool_], y: Field, z: Field
) -> None:
    """Paint folia: fine curved leaves of grey matter over a white core."""
    where = (depth > 0) & free
    radius = np.sqrt((y + 22.0) ** 2 + (z + 34.0) ** 2)
    leaf = np.abs(np.sin(radius * np.float32(np.pi / 5.5)))
    grey = (depth < 11.0) & (leaf > 0.35)
    _paint(fine, where, WHITE, CEREBELLUM)
    _paint(fine, where & grey, CEREBELLUM_GREY, CEREBELLUM)


def _paint_cerebrum(fine: _Fine, depth: Field, axes: tuple[Field, Field, Field]) -> None:
    x, y, z = axes
    inside = depth > 0
    to_sulcus = _distance_to_sulcus(axes, depth)
    # sulci end at a depth; below it the distance grows with the depth below the sulcus' bottom
    below = np.maximum(depth - np.float32(SULCUS_DEPTH_MM), 0)
    to_sulcus = np.hypot(to_sulcus, below)
    to_fissure = np.hypot(np.abs(x), np.maximum(26.0 - z, 0) * (np.abs(y) < 40))
    to_csf = np.minimum(np.minimum(to_sulcus, depth + np.float32(SULCUS_HALF_MM)), to_fissure)
    _paint(fine, inside, WHITE, IN_WHITE)
    _paint(fine, inside & (to_csf < CORTEX_MM + SULCUS_HALF_MM), GREY, IN_GREY)
    _paint(fine, inside & (to_csf < SULCUS_HALF_MM), 0.0, IN_FLUID)
    _paint_ellipsoid(fine, inside, axes, CALLOSUM, WHITE, IN_WHITE)
    mirrored = (np.abs(x), y, z)
    for centre, radii, tilt, region in LATERAL_NUCLEI.values():
        _paint_ellipsoid(fine, inside, mirrored, (centre, radii, tilt), DEEP_GREY, region)
    for centre, radii, tilt in LATERAL_VENTRICLES:
        _paint_ellipsoid(fine, inside, mirrored, (centre, radii, tilt), 0.0, IN_FLUID)
    _paint_ellipsoid(fine, inside, axes, THIRD_VENTRICLE, 0.0, IN_FLUID)


def _distance_to_sulcus(axes: tuple[Field, Field, Field], depth: Field) -> Field:
    """Return the approximate distance (mm) to the nearest sulcal sheet: |field| / |∇field|."""
    field = _band_limited_field(axes)
    step = VOXEL_MM / FINE
    slopes = np.gradient(field, step)
    steep = np.sqrt(sum(slope * slope for slope in slopes))
    typical = np.float32(np.median(steep))
    return np.asarray(np.abs(field) / np.maximum(steep, typical * np.float32(0.6)), np.float32)


def _band_limited_field(axes: tuple[Field, Field, Field]) -> Field:
    """Return a smooth field of wavelengths near GYRUS_MM: plane waves over a spiral of directions.

    Computed as one matrix product, as each wave factors into x·y and z parts.
    """
    index = np.arange(WAVES)
    cos_theta = 1 - 2 * (index + 0.5) / WAVES
    sin_theta = np.sqrt(1 - cos_theta**2)
    azimuth = index * np.pi * (3 - np.sqrt(5))
    number = 2 * np.pi / (GYRUS_MM * (1 + 0.25 * np.sin(index * 2.399)))
    phase = (index * index * 0.754877) % 1.0 * 2 * np.pi
    across = number * sin_theta
    direction = np.array([across * np.cos(azimuth), across * np.sin(azimuth), number * cos_theta])
    parts = [
        np.exp(1j * np.outer(k, axis.ravel())) for k, axis in zip(direction, axes, strict=True)
    ]
    plane = parts[0][:, :, None] * (parts[1] * np.exp(1j * phase)[:, None])[:, None, :]
    waves = plane.reshape(WAVES, -1).T.astype(np.complex64) @ parts[2].astype(np.complex64)
    shape = tuple(axis.size for axis in axes)
    return np.ascontiguousarray(waves.real.reshape(shape), dtype=np.float32)


def _cells(fine: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Return the eight fine cells of every voxel as arrays of SHAPE, in the order of indices."""
    halves = (slice(0, None, FINE), slice(1, None, FINE))
    return [np.ascontiguousarray(fine[at]) for at in itertools.product(halves, repeat=3)]


def _average(fine: Field) -> Field:
    return _mean(_cells(fine))


def _mean(cells: list[Field]) -> Field:
    """Return the mean of each voxel's eight cells.

    Added in the order in which numpy's mean of the axes adds them, so that the head is that of
    runs already kept, to the bit.
    """
    one, two, three, four = (a + b for a, b in zip(cells[::2], cells[1::2], strict=True))
    return np.asarray(((one + two) + three + four) / np.float32(FINE**3), np.float32)


def _largest(labels: Labels, weight: Field, count: int) -> Labels:
    """Return each voxel's label: the one whose fine cells weigh most."""
    best = np.zeros(SHAPE, np.uint8)
    most = np.zeros(SHAPE, np.float32)
    cells = list(zip(_cells(labels), _cells(weight), strict=True))
    for label in range(count):
        here = _mean([heavy * (names == label) for names, heavy in cells])
        best[here > most] = label
        np.maximum(most, here, out=most)
    return best
