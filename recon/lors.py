"""From coincidence records to lines of response: where they run and how well they are seen.

Endpoints are the crystal's front face plus the depth of interaction that its DOI bin stands for.
``gain`` is the geometric detection probability of the *crystal pair* per emission and mm of chord:

    g = (A cosθ_a)(A cosθ_b) ε_a ε_b / (2π d² V),      ε = 1 - exp(-µ T / cosθ)

with crystal face A, distance d of the endpoints, voxel volume V and block thickness T: an
isotropic line of emission through a tube that ends in two area elements (2π, not 4π, because
either photon may go to either side). The number expected in a LOR is then
``g · att · Σ_j a_j λ_j`` for λ_j emissions in voxel j and chords a_j in mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.geometry import LINEAR_ATTENUATION_PER_MM, Geometry
from hw.jit import kernel
from hw.scanner import Scanner
from recon.events import F4, NO_OFFSET, Lors
from recon.grid import ReconError
from recon.tof import HALF_C_MM_PER_PS

MAX_MODULES = 2048  # the table of module pairs has MAX_MODULES² entries


class LorError(ReconError):
    """A scanner or record layout from which no lines can be made."""


@dataclass(frozen=True)
class LocatedEvents:
    """Lines with their module pair (a · modules + b) and their gain (see module docstring)."""

    lors: Lors
    pair: npt.NDArray[np.uint32]
    gain: F4


@dataclass(frozen=True)
class Detection:
    """What the detection model needs of a scanner; build it with :meth:`of`."""

    front_mm: F4
    normal: F4
    doi_depth_mm: F4
    n_modules: int
    modules_per_ring: int
    crystals_per_module: int
    crystal_area_mm2: float
    width_mm: float
    height_mm: float
    thickness_mm: float
    mu_per_mm: float
    tof: bool

    @property
    def module_area_mm2(self) -> float:
        """Front face of a module."""
        return self.width_mm * self.height_mm

    @classmethod
    def of(cls, scanner: Scanner, geometry: Geometry) -> Detection:
        """Return the detection model of a scanner."""
        if scanner.n_modules > MAX_MODULES:
            raise LorError(
                f"scanner {scanner.name}: {scanner.n_modules} modules, reconstruction keeps a "
                f"table of module pairs for at most {MAX_MODULES}"
            )
        block = scanner.module
        return cls(
            front_mm=geometry.crystal_front_mm,
            normal=geometry.crystal_normal,
            doi_depth_mm=geometry.doi_depth_mm,
            n_modules=scanner.n_modules,
            modules_per_ring=scanner.ring.modules_per_ring,
            crystals_per_module=scanner.crystals_per_module,
            crystal_area_mm2=block.pitch_u_mm * block.pitch_v_mm,
            width_mm=block.width_mm,
            height_mm=block.height_mm,
            thickness_mm=block.thickness_mm,
            mu_per_mm=LINEAR_ATTENUATION_PER_MM[block.material],
            tof=scanner.acquisition.tof,
        )

    def locate(self, records: npt.NDArray[np.void], *, voxel_volume_mm3: float) -> LocatedEvents:
        """Return the lines of ``COINCIDENCE`` records.

        A record whose crystals do not exist becomes a line of length zero: it meets no voxel and
        is counted among the unexplained events.
        """
        records = np.require(records, requirements=["C", "W"])
        n = len(records)
        start, end = np.empty((n, 3), np.float32), np.empty((n, 3), np.float32)
        offset, gain = np.empty(n, np.float32), np.empty(n, np.float32)
        pair = np.empty(n, np.uint32)
        scale = self.crystal_area_mm2**2 / (2 * math.pi * voxel_volume_mm3)
        block = (self.front_mm, self.normal, self.doi_depth_mm)
        numbers = (self.crystals_per_module, self.n_modules, self.mu_per_mm, self.thickness_mm)
        locate_events(records, *block, *numbers, scale, start, end, offset, pair, gain)
        return LocatedEvents(Lors(start, end, offset if self.tof else NO_OFFSET), pair, gain)


@kernel
def locate_events(
    records: npt.NDArray[np.void],
    front: F4,
    normal: F4,
    doi_depth: F4,
    crystals_per_module: int,
    n_modules: int,
    mu_per_mm: float,
    thickness_mm: float,
    scale: float,
    start: F4,
    end: F4,
    offset: F4,
    pair: npt.NDArray[np.uint32],
    gain: F4,
) -> None:
    """Fill ``start``, ``end``, ``offset``, ``pair`` and ``gain`` from coincidence records."""
    n_crystals = len(front)
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
        depth_a = doi_depth[min(np.int64(records[i].doi_a), last_doi)]
        depth_b = doi_depth[min(np.int64(records[i].doi_b), last_doi)]
        square = 0.0
        for k in range(3):
            start[i, k] = front[a, k] + normal[a, k] * depth_a
            end[i, k] = front[b, k] + normal[b, k] * depth_b
            along[k] = end[i, k] - start[i, k]
            square += along[k] * along[k]
        dot_a = 0.0
        dot_b = 0.0
        for k in range(3):
            dot_a -= normal[a, k] * along[k]
            dot_b += normal[b, k] * along[k]
        distance = math.sqrt(max(square, 1e-6))
        # A line grazing a face would get gain 0, and its background factor would be infinite.
        cos_a = max(dot_a / distance, 0.01)
        cos_b = max(dot_b / distance, 0.01)
        efficiency = math.expm1(-mu_per_mm * thickness_mm / cos_a) * math.expm1(
            -mu_per_mm * thickness_mm / cos_b
        )
        gain[i] = scale * cos_a * cos_b * efficiency / (distance * distance)
        pair[i] = (a // crystals_per_module) * n_modules + b // crystals_per_module
