"""A phantom: activity, attenuation, materials and regions on voxels, checked against the bore."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.errors import TomoshibiError
from hw.scanner.description import Scanner

Image = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]
Triple = tuple[float, float, float]
MAX_VOXELS_PER_AXIS = 1023  # the sampling table packs a voxel into 3 × 10 bits
MAX_MU_PER_MM = 1.0  # lead has 0.18 at 511 keV: more is a mistake of units


class PhantomError(TomoshibiError, ValueError):
    """An impossible phantom; the message names the quantity, the bound and the remedy."""


@dataclass(frozen=True)
class Phantom:
    """An object in the scanner.

    name : its name
    activity : (x, y, z) f4, relative activity per voxel
    mu_per_mm : (x, y, z) f4, linear attenuation coefficient at 511 keV
    voxel_mm : voxel extent along x, y, z
    origin_mm : centre of voxel (0, 0, 0) in the scanner's frame
    material : (x, y, z) u1, each voxel's composition as an index into ``materials``, at the density
        that gives ``mu_per_mm``; None: all of the first material
    materials : names that ``emulator.physics.materials`` knows
    region : (x, y, z) u1, each voxel's region of activity as an index into ``region_names``; None:
        all of the first region
    region_names : regions, each with its own activity over time
    """

    name: str
    activity: Image
    mu_per_mm: Image
    voxel_mm: Triple
    origin_mm: Triple
    material: Labels | None = None
    materials: tuple[str, ...] = ("water",)
    region: Labels | None = None
    region_names: tuple[str, ...] = ("all",)

    def axis_mm(self, axis: int) -> npt.NDArray[np.float64]:
        """Return the voxel centres along one axis."""
        count = self.activity.shape[axis]
        return np.asarray(self.origin_mm[axis] + np.arange(count) * self.voxel_mm[axis])


def check_phantom(phantom: Phantom, scanner: Scanner) -> Phantom:
    """Return the phantom if it can be emulated in the scanner.

    Raises
    ------
    PhantomError
        for shapes that differ, values that are negative or not finite, no activity at all, or
        activity or matter that the bore cannot hold.
    """
    name = phantom.name
    if phantom.activity.shape != phantom.mu_per_mm.shape or phantom.activity.ndim != 3:
        raise PhantomError(
            f"phantom {name}: activity {phantom.activity.shape} and µ {phantom.mu_per_mm.shape} "
            "must be on one (x, y, z) grid"
        )
    if max(phantom.activity.shape) > MAX_VOXELS_PER_AXIS:
        raise PhantomError(
            f"phantom {name}: {max(phantom.activity.shape)} voxels along an axis, at most "
            f"{MAX_VOXELS_PER_AXIS}; use larger voxels"
        )
    if min(phantom.voxel_mm) <= 0 or not np.isfinite([*phantom.voxel_mm, *phantom.origin_mm]).all():
        raise PhantomError(f"phantom {name}: voxels of {phantom.voxel_mm} mm; use finite sizes > 0")
    _check_labels(phantom)
    _check_values(name, "activity", phantom.activity, np.inf)
    _check_values(name, "mu_per_mm", phantom.mu_per_mm, MAX_MU_PER_MM)
    if not phantom.activity.any():
        raise PhantomError(f"phantom {name}: no voxel has activity; nothing would ever decay")
    for what, image in (("activity", phantom.activity), ("matter", phantom.mu_per_mm)):
        _check_bore(phantom, what, image, scanner)
    return phantom


def _check_labels(phantom: Phantom) -> None:
    from emulator.physics.materials import MaterialError, material_name

    for what, labels, names in (
        ("material", phantom.material, phantom.materials),
        ("region", phantom.region, phantom.region_names),
    ):
        if labels is None:
            continue
        if labels.shape != phantom.activity.shape:
            raise PhantomError(
                f"phantom {phantom.name}: {what} {labels.shape} and activity "
                f"{phantom.activity.shape} must be on one (x, y, z) grid"
            )
        if labels.max(initial=0) >= len(names):
            raise PhantomError(
                f"phantom {phantom.name}: {what} has {labels.max()}, but there are {len(names)} "
                "names; give each number its name"
            )
    for material in phantom.materials:
        try:
            material_name(material)
        except MaterialError as error:
            raise PhantomError(f"phantom {phantom.name}: {error}") from None


def _check_values(name: str, what: str, image: Image, bound: float) -> None:
    if not np.isfinite(image).all():
        raise PhantomError(f"phantom {name}: {what} has values that are not finite")
    if image.min() < 0:
        raise PhantomError(f"phantom {name}: {what} has {image.min():g}; it cannot be negative")
    if image.max() > bound:
        raise PhantomError(f"phantom {name}: {what} has {image.max():g}, above {bound:g} per mm")


def _check_bore(phantom: Phantom, what: str, image: Image, scanner: Scanner) -> None:
    x, y = phantom.axis_mm(0), phantom.axis_mm(1)
    filled = image.any(axis=2)
    radius = float(np.hypot(x[:, None], y[None, :])[filled].max(initial=0.0))
    if radius >= scanner.bore_mm:
        raise PhantomError(
            f"phantom {phantom.name}: {what} reaches {radius:.1f} mm from the axis, the bore of "
            f"{scanner.name} ends at {scanner.bore_mm:g} mm; choose a smaller phantom "
            "or a wider scanner"
        )
