"""Contrast recovery and background variability of spheres, by the method of NEMA NU 2.

NEMA Standards Publication NU 2-2018, section 7: with the mean C_H of a disc of the sphere's inner
diameter in the slice through the spheres, and the mean C_B of discs of the same size in the
background, in slices near it,

    contrast recovery  Q = (C_H/C_B − 1) / (a_H/a_B − 1)        (cold: 1 − C_H/C_B)
    background variability  N = SD of the discs' means / C_B

for the true concentrations a. The standard has 12 discs in each of five slices of a body-shaped
phantom. Here discs lie side by side on rings in the warm cylinder, at least ``CLEAR_MM`` from its
wall and half that from the spheres, in slices up to 40 mm away; the result says how many.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hw.regions import Cylinder
from recon.analysis.picture import AnalysisError, Picture, Triple
from recon.analysis.regions import measure

CLEAR_MM = 15.0
SLICES_MM = tuple(range(-40, 41, 10))
LEAST_DISCS = 6


@dataclass(frozen=True)
class Sphere:
    """A sphere of the phantom; ``ratio`` is its true concentration relative to the background."""

    centre_mm: Triple
    diameter_mm: float
    ratio: float


@dataclass(frozen=True)
class Warm:
    """The warm cylinder around the spheres, along z."""

    centre_mm: Triple
    diameter_mm: float
    length_mm: float


@dataclass(frozen=True)
class SphereContrast:
    """Result for a sphere: recovery (1 is perfect), variability and number of background discs."""

    diameter_mm: float
    recovery: float
    variability: float
    mean: float
    background: float
    discs: int


def sphere_contrasts(
    picture: Picture, spheres: list[Sphere], warm: Warm, *, insert_mm: float = 0.0
) -> list[SphereContrast]:
    """Return the contrast recovery and background variability of each sphere.

    insert_mm : diameter of a cold insert along the cylinder's axis, which background discs avoid

    Raises
    ------
    AnalysisError
        if a sphere lies outside the image, or there is no room for background discs.
    """
    return [_contrast(picture, sphere, spheres, warm, insert_mm) for sphere in spheres]


def _contrast(
    picture: Picture, sphere: Sphere, spheres: list[Sphere], warm: Warm, insert_mm: float
) -> SphereContrast:
    if abs(sphere.ratio - 1.0) < 1e-6:
        raise AnalysisError(f"sphere of {sphere.diameter_mm:g} mm: as warm as its surroundings")
    mean = measure(_disc(picture, sphere.centre_mm, sphere.diameter_mm), picture).mean
    places = background_places(
        spheres, warm, disc_mm=sphere.diameter_mm, z_mm=sphere.centre_mm[2], insert_mm=insert_mm
    )
    if len(places) < LEAST_DISCS:
        raise AnalysisError(
            f"sphere of {sphere.diameter_mm:g} mm: only {len(places)} places for background discs "
            f"of this size in a cylinder of {warm.diameter_mm:g} mm; at least {LEAST_DISCS} needed"
        )
    discs = np.array(
        [measure(_disc(picture, place, sphere.diameter_mm), picture).mean for place in places]
    )
    level = float(discs.mean())
    if level <= 0:
        raise AnalysisError(f"{picture.name}: the background is {level:g}: contrast has no meaning")
    found = mean / level
    recovery = 1 - found if sphere.ratio == 0 else (found - 1) / (sphere.ratio - 1)
    spread = float(discs.std(ddof=1)) / level
    return SphereContrast(sphere.diameter_mm, recovery, spread, mean, level, len(discs))


def _disc(picture: Picture, centre_mm: Triple, diameter_mm: float) -> Cylinder:
    """Return a disc one slice thick, in the slice that holds the centre."""
    k = round(picture.index_of(centre_mm)[2])
    z_mm = picture.origin_mm[2] + k * picture.voxel_mm[2]
    thick_mm = picture.voxel_mm[2] * 0.999
    return Cylinder(f"disc of {diameter_mm:g} mm", (*centre_mm[:2], z_mm), diameter_mm, thick_mm)


def background_places(
    spheres: list[Sphere], warm: Warm, *, disc_mm: float, z_mm: float, insert_mm: float = 0.0
) -> list[Triple]:
    """Return where background discs go: side by side on rings, clear of wall and spheres.

    Parameters
    ----------
    spheres : the phantom's spheres
    warm : the cylinder around them
    disc_mm : diameter of the discs, mm
    z_mm : the slice through the spheres, mm; discs lie in it and in the slices near it
    insert_mm : diameter of a cold insert along the cylinder's axis, mm; 0 for none
    """
    places: list[Triple] = []
    outer = warm.diameter_mm / 2 - CLEAR_MM - disc_mm / 2
    inner = (insert_mm + disc_mm + CLEAR_MM) / 2 if insert_mm else -1e-9
    for slice_mm in SLICES_MM:
        z = z_mm + slice_mm
        if abs(z - warm.centre_mm[2]) > warm.length_mm / 2 - CLEAR_MM:
            continue
        for radius in np.arange(outer, inner, -(disc_mm + 1e-9)) if outer >= 0 else []:
            places += _ring(spheres, warm, float(radius), z, disc_mm)
    return places


def _ring(
    spheres: list[Sphere], warm: Warm, radius: float, z: float, disc_mm: float
) -> list[Triple]:
    fitting = math.floor(math.pi / math.asin(disc_mm / 2 / radius)) if radius > disc_mm / 2 else 1
    ring = []
    for k in range(min(max(fitting, 1), 12)):
        angle = 2 * math.pi * k / min(max(fitting, 1), 12)
        x = warm.centre_mm[0] + radius * math.cos(angle)
        y = warm.centre_mm[1] + radius * math.sin(angle)
        if all(_clear((x, y, z), sphere, disc_mm) for sphere in spheres):
            ring.append((x, y, z))
    return ring


def _clear(place: Triple, sphere: Sphere, disc_mm: float) -> bool:
    away = math.hypot(place[0] - sphere.centre_mm[0], place[1] - sphere.centre_mm[1])
    above = abs(place[2] - sphere.centre_mm[2])
    inside = above > (sphere.diameter_mm + CLEAR_MM) / 2
    return inside or away > (sphere.diameter_mm + disc_mm + CLEAR_MM) / 2
