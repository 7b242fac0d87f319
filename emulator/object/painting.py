"""Phantoms painted from shapes: each in turn replaces what it covers, including parts of voxels.

In a voxel at a shape's edge, activity and µ are mixed by the share that the shape covers (of 4³
points); its material and region are those of the larger share. Lengths are mm in the scanner's
frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import MAX_VOXELS_PER_AXIS, Phantom, PhantomError, Triple
from emulator.physics.materials import material_name, mu_per_mm
from hw.arrays import Mask

MAX_VOXELS = 60_000_000
_OVER = 4
_EMPTY_MATERIAL = "air"

Kind = Literal["sphere", "ellipsoid", "cylinder", "box"]


@dataclass(frozen=True)
class Shape:
    """A shape of one material, activity and region. Where one is None, it is left unchanged.

    kind : sphere and ellipsoid (half axes), cylinder (along z, elliptic; half length) or box
    half_mm : half of the extent along x, y, z
    turn_deg : rotation about z, from +x towards +y
    activity : relative activity per volume
    """

    kind: Kind
    half_mm: Triple
    centre_mm: Triple = (0.0, 0.0, 0.0)
    turn_deg: float = 0.0
    material: str | None = None
    density_g_per_cm3: float | None = None
    activity: float | None = None
    region: str | None = None

    def reach_mm(self) -> Triple:
        """Return how far the shape reaches from its centre along x, y, z."""
        a, b, c = self.half_mm
        cos, sin = abs(np.cos(np.radians(self.turn_deg))), abs(np.sin(np.radians(self.turn_deg)))
        if self.kind == "box":
            return float(a * cos + b * sin), float(a * sin + b * cos), c
        return float(np.hypot(a * cos, b * sin)), float(np.hypot(a * sin, b * cos)), c

    def covers(self, points_mm: list[npt.NDArray[np.float64]]) -> Mask:
        """Return which points of the open grid x, y, z lie in the shape."""
        x, y, z = (p - c for p, c in zip(points_mm, self.centre_mm, strict=True))
        cos, sin = np.cos(np.radians(self.turn_deg)), np.sin(np.radians(self.turn_deg))
        scaled = [(cos * x + sin * y), (cos * y - sin * x), z]
        u, v, w = (s / h for s, h in zip(scaled, self.half_mm, strict=True))
        if self.kind == "box":
            return np.asarray((np.abs(u) <= 1) & (np.abs(v) <= 1) & (np.abs(w) <= 1))
        if self.kind == "cylinder":
            return np.asarray((u * u + v * v <= 1) & (np.abs(w) <= 1))
        return np.asarray(u * u + v * v + w * w <= 1)


class Canvas:
    """A grid that shapes are painted on.

    Raises
    ------
    PhantomError
        for a grid larger than the kernels address.
    """

    def __init__(
        self, name: str, *, voxel_mm: Triple, extent_mm: Triple, centre_mm: Triple = (0, 0, 0)
    ) -> None:
        self._name = name
        self._voxel_mm = voxel_mm
        self.shape = tuple(max(1, round(e / v)) for e, v in zip(extent_mm, voxel_mm, strict=True))
        if max(self.shape) > MAX_VOXELS_PER_AXIS or np.prod(self.shape) > MAX_VOXELS:
            raise PhantomError(
                f"phantom {name}: a grid of {' × '.join(map(str, self.shape))} voxels; at most "
                f"{MAX_VOXELS_PER_AXIS} along an axis and {MAX_VOXELS:,} in all: use larger voxels"
            )
        self._low_mm = [
            c - n * v / 2 for c, n, v in zip(centre_mm, self.shape, voxel_mm, strict=True)
        ]
        self._activity = np.zeros(self.shape, np.float32)
        self._mu = np.zeros(self.shape, np.float32)
        self._material = np.zeros(self.shape, np.uint8)
        self._region = np.zeros(self.shape, np.uint8)
        self._materials: list[str] = []
        self._regions = ["background"]

    def paint(self, shape: Shape) -> None:
        """Paint one shape.

        Raises
        ------
        PhantomError
            if it reaches beyond the grid.
        """
        first, last = self._box(shape)
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        share = self._share(shape, first, last)
        if shape.material is not None:
            old = self._mu[box]
            new = mu_per_mm(shape.material, density_g_per_cm3=shape.density_g_per_cm3)
            relabelled = (share >= 0.5) | ((old == 0) & (share > 0))
            label = _number(self._materials, material_name(shape.material))
            self._material[box] = np.where(relabelled, label, self._material[box])
            self._mu[box] = old + share * (np.float32(new) - old)
        if shape.region is not None:
            region = _number(self._regions, shape.region)
            fresh = (self._activity[box] == 0) & (share > 0) & bool(shape.activity)
            where = (share >= 0.5) | fresh
            self._region[box] = np.where(where, region, self._region[box])
        if shape.activity is not None:
            old = self._activity[box]
            self._activity[box] = old + share * (np.float32(shape.activity) - old)

    def phantom(self) -> Phantom:
        """Return the painted phantom."""
        low, voxel = self._low_mm, self._voxel_mm
        return Phantom(
            name=self._name,
            activity=self._activity,
            mu_per_mm=self._mu,
            voxel_mm=voxel,
            origin_mm=(low[0] + voxel[0] / 2, low[1] + voxel[1] / 2, low[2] + voxel[2] / 2),
            material=self._material,
            materials=tuple(self._materials) or (_EMPTY_MATERIAL,),
            region=self._region,
            region_names=tuple(self._regions),
        )

    def _box(self, shape: Shape) -> tuple[list[int], list[int]]:
        first, last = [], []
        for axis, reach in enumerate(shape.reach_mm()):
            low, voxel, count = self._low_mm[axis], self._voxel_mm[axis], self.shape[axis]
            a, b = shape.centre_mm[axis] - reach, shape.centre_mm[axis] + reach
            if a < low - 1e-6 or b > low + count * voxel + 1e-6:
                raise PhantomError(
                    f"phantom {self._name}: a {shape.kind} reaches from {a:g} to {b:g} mm along "
                    f"{'xyz'[axis]}, the grid from {low:g} to {low + count * voxel:g} mm; enlarge "
                    "the grid's extent_mm, or move or shrink the shape"
                )
            first.append(max(0, int(np.floor((a - low) / voxel))))
            last.append(min(count, int(np.ceil((b - low) / voxel))))
        return first, last

    def _share(self, shape: Shape, first: list[int], last: list[int]) -> npt.NDArray[np.float32]:
        """Return the share of each voxel in a box that the shape covers, layer by layer."""
        points = [
            low + (a + (np.arange((b - a) * _OVER) + 0.5) / _OVER) * voxel
            for low, a, b, voxel in zip(self._low_mm, first, last, self._voxel_mm, strict=True)
        ]
        nx, ny, nz = (b - a for a, b in zip(first, last, strict=True))
        share = np.empty((nx, ny, nz), np.float32)
        x, y = points[0][:, None, None], points[1][None, :, None]
        for k in range(nz):
            z = points[2][None, None, k * _OVER : (k + 1) * _OVER]
            inside = shape.covers([x, y, z]).reshape(nx, _OVER, ny, _OVER, _OVER)
            share[:, :, k] = inside.mean(axis=(1, 3, 4), dtype=np.float32)
        return share


def _number(names: list[str], name: str) -> int:
    if name not in names:
        names.append(name)
    return names.index(name)
