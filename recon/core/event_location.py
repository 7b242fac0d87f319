"""From coincidence records to lines of response: where they run and how likely detection is.

Endpoints lie behind the crystal's front face by the depth of interaction that the DOI bin stands
for (with block efficiency: the apparent depth).
``gain`` is the geometric detection probability of the *crystal pair* per emission and mm of chord:

    g = (A cosθ_a)(A cosθ_b) ε_a ε_b η_a η_b / (2π d² V),      ε = 1 - exp(-µ T / cosθ)

with crystal face A, distance d of the endpoints, voxel volume V, block thickness T and block
efficiency η (:mod:`hw.physics.block_efficiency`; 1 where only geometry is wanted): an isotropic
line of emission through a tube that ends in two area elements (2π, not 4π, because either photon
may go either way). The number expected in a LOR is then ``g · att · Σ_j a_j λ_j`` for λ_j
emissions in voxel j and chords a_j in mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, F8
from hw.jit import kernel
from hw.physics.block_efficiency import BlockEfficiency, efficiency_at
from hw.scanner.description import Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, Geometry
from recon.core.events import NO_OFFSET, Lors
from recon.core.grid import ReconError
from recon.core.tof import HALF_C_MM_PER_PS

MAX_MODULES = 2048  # the table of module pairs has MAX_MODULES² entries


class LorError(ReconError):
    """No lines can be made from this scanner or record layout."""


@dataclass(frozen=True)
class LocatedEvents:
    """Lines with their module pair (a · modules + b) and their gain (see module docstring)."""

    lors: Lors
    pair: npt.NDArray[np.uint32]
    gain: F4


@dataclass(frozen=True)
class Detection:
    """What the detection model needs to know of a scanner; build it with :meth:`of`."""

    front_mm: F4
    axes: F8
    doi_depth_mm: F4
    n_modules: int
    modules_per_ring: int
    n_u: int
    n_v: int
    crystal_area_mm2: float
    width_mm: float
    height_mm: float
    thickness_mm: float
    mu_per_mm: float
    tof: bool
    efficiency: BlockEfficiency

    @property
    def crystals_per_module(self) -> int:
        """Number of crystals in a module."""
        return self.n_u * self.n_v

    @property
    def module_area_mm2(self) -> float:
        """Area of a module's front face."""
        return self.width_mm * self.height_mm

    @classmethod
    def of(
        cls, scanner: Scanner, geometry: Geometry, efficiency: BlockEfficiency | None = None
    ) -> Detection:
        """Return a scanner's detection model; geometry alone if efficiency is None."""
        if scanner.n_modules > MAX_MODULES:
            raise LorError(
                f"scanner {scanner.name}: {scanner.n_modules} modules, reconstruction keeps a "
                f"table of module pairs for at most {MAX_MODULES}"
            )
        block, seen = scanner.module, efficiency or BlockEfficiency.none()
        return cls(
            front_mm=geometry.crystal_front_mm,
            axes=np.ascontiguousarray(geometry.module_axes),
            doi_depth_mm=seen.doi_depths_mm(geometry),
            n_modules=scanner.n_modules,
            modules_per_ring=scanner.ring.modules_per_ring,
            n_u=block.n_u,
            n_v=block.n_v,
            crystal_area_mm2=block.pitch_u_mm * block.pitch_v_mm,
            width_mm=block.width_mm,
            height_mm=block.height_mm,
            thickness_mm=block.thickness_mm,
            mu_per_mm=LINEAR_ATTENUATION_PER_MM[block.material],
            tof=scanner.acquisition.tof,
            efficiency=seen,
        )

    def locate(self, records: npt.NDArray[np.void], *, voxel_volume_mm3: float) -> LocatedEvents:
        """Return the lines of ``COINCIDENCE`` records.

        A record with a crystal that does not exist becomes a line of length zero: it meets no voxel
        and counts as an unexplained event.
        """
        records = np.require(records, requirements=["C", "W"])
        n = len(records)
        start, end = np.empty((n, 3), np.float32), np.empty((n, 3), np.float32)
        offset, gain = np.empty(n, np.float32), np.empty(n, np.float32)
        pair = np.empty(n, np.uint32)
        scale = self.crystal_area_mm2**2 / (2 * math.pi * voxel_volume_mm3)
        block = (self.front_mm, self.axes, self.doi_depth_mm, self.n_u, self.n_v)
        matter = (self.mu_per_mm, self.thickness_mm)
        seen = (self.efficiency.along_u, self.efficiency.along_v)
        locate_events(records, *block, *matter, *seen, scale, start, end, offset, pair, gain)
        return LocatedEvents(Lors(start, end, offset if self.tof else NO_OFFSET), pair, gain)


@kernel
def locate_events(
    records: npt.NDArray[np.void],
    front: F4,
    axes: F8,
    doi_depth: F4,
    n_u: int,
    n_v: int,
    mu_per_mm: float,
    thickness_mm: float,
    along_u: F4,
    along_v: F4,
    scale: float,
    start: F4,
    end: F4,
    offset: F4,
    pair: npt.NDArray[np.uint32],
    gain: F4,
) -> None:
    """Fill ``start``, ``end``, ``offset``, ``pair`` and ``gain`` from coincidence records.

    Parameters
    ----------
    records : (n,) ``COINCIDENCE``
    front, axes : (crystals, 3) mm, front faces; (modules, 3, 3), rows u, v, w of each module
    doi_depth : (DOI bins,) mm below the front face
    n_u, n_v : crystals of a module along u and v
    mu_per_mm, thickness_mm : of the block
    along_u, along_v : block efficiency, see :mod:`hw.physics.block_efficiency`
    scale : factor of all gains
    start, end, offset, pair, gain : filled, n each; see :class:`LocatedEvents`
    """
    n_crystals, n_modules, crystals_per_module = len(front), len(axes), n_u * n_v
    last_doi = np.int64(len(doi_depth) - 1)
    along = np.zeros(3)
    for i in range(len(records)):
        a = np.int64(records[i].crystal_a)
        b = np.int64(records[i].crystal_b)
        offset[i] = -HALF_C_MM_PER_PS * records[i].tof_ps
        if a >= n_crystals or b >= n_crystals:
            start[i, :] = 0.0
            end[i, :] = 0.0
            pair[i] = 0
            gain[i] = 1.0
            continue
        block_a = a // crystals_per_module
        block_b = b // crystals_per_module
        depth_a = doi_depth[min(np.int64(records[i].doi_a), last_doi)]
        depth_b = doi_depth[min(np.int64(records[i].doi_b), last_doi)]
        square = 0.0
        for k in range(3):
            start[i, k] = front[a, k] + axes[block_a, 2, k] * depth_a
            end[i, k] = front[b, k] + axes[block_b, 2, k] * depth_b
            along[k] = end[i, k] - start[i, k]
            square += along[k] * along[k]
        distance = math.sqrt(max(square, 1e-6))
        gain[i] = scale / (distance * distance)
        pair[i] = block_a * n_modules + block_b
        for side in range(2):
            # the photon's direction along u, v and w of the block it meets
            sign = -1.0 if side == 0 else 1.0
            block, crystal = (block_a, a) if side == 0 else (block_b, b)
            du = dv = dw = 0.0
            for k in range(3):
                du += axes[block, 0, k] * along[k]
                dv += axes[block, 1, k] * along[k]
                dw += axes[block, 2, k] * along[k]
            du, dv, dw = sign * du / distance, sign * dv / distance, sign * dw / distance
            # A line grazing a face would get gain 0, and its background factor would be infinite.
            dw = max(dw, 0.01)
            place = crystal % crystals_per_module
            gain[i] *= (
                -math.expm1(-mu_per_mm * thickness_mm / dw)
                * dw
                * efficiency_at(
                    along_u, along_v, du, dv, (place % n_u + 0.5) / n_u, (place // n_u + 0.5) / n_v
                )
            )
