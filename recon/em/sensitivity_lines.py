"""Quasi-random lines that represent all lines of a scanner, each with its weight and crystals.

The sum over all lines is an integral over pairs of blocks. A photon that crosses a slab at angle θ
interacts at depth t with density (µ / cosθ) exp(-µ t / cosθ) and the flux through the face carries
cosθ, so the cosines cancel: a pair of points inside two blocks has the weight
µ² exp(-µ t_a / cosθ_a - µ t_b / cosθ_b) η_a η_b / (2π d² V), η the block efficiency. Depths are
drawn from exp(-µ t), which leaves an almost constant weight. The crystals are those the points lie
in.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hw.arrays import F4, F8, I8
from hw.physics.block_efficiency import lower_by_efficiency
from recon.core.event_location import Detection
from recon.core.events import Lors
from recon.core.scanner_tables import ReconSystem

SAMPLES_PER_CHUNK = 200_000
LEAST_PER_PAIR = 64


@dataclass(frozen=True)
class SampledLines:
    """n lines; ``weight``: detections per emission and mm of chord that each represents."""

    lors: Lors
    weight: F4
    crystal_a: I8
    crystal_b: I8


def sampled_lines(system: ReconSystem, *, samples: int) -> Iterator[SampledLines]:
    """Yield about ``samples`` lines in chunks, spread evenly over the allowed module pairs."""
    pairs = np.argwhere(np.triu(system.allowed | system.allowed.T, 1))
    if not len(pairs):
        return
    each = max(LEAST_PER_PAIR, samples // len(pairs))
    at_once = max(1, SAMPLES_PER_CHUNK // each)
    for first in range(0, len(pairs), at_once):
        chosen = pairs[first : first + at_once]
        points = quasi_random(np.arange(first, first + len(chosen)), each)
        yield _lines(system, chosen, points)


def quasi_random(pair_number: I8, each: int) -> F8:
    """Return points (pairs, each, 6) in [0, 1): Kronecker sequence, rotated per pair.

    Generators are powers of the root of x⁷ = x + 1, the generalised golden ratio of M. Roberts,
    "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    root = 1.1127756842787055
    steps = (1.0 / root) ** np.arange(1, 7)
    shift = np.modf(pair_number[:, None] * np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0]))[0]
    return np.asarray(np.modf(shift[:, None, :] + np.arange(each)[None, :, None] * steps)[0])


def _lines(system: ReconSystem, pairs: I8, points: F8) -> SampledLines:
    detection, outward = system.detection, system.geometry.module_axes[:, 2, :]
    mu = detection.mu_per_mm
    stopping = -math.expm1(-mu * detection.thickness_mm)
    start, depth_a = _points_in(system, pairs[:, 0], points[..., :3])
    end, depth_b = _points_in(system, pairs[:, 1], points[..., 3:])
    along = end - start
    distance = np.sqrt((along**2).sum(axis=-1))
    cos_a = -np.einsum("pki,pi->pk", along, outward[pairs[:, 0]]) / distance
    cos_b = np.einsum("pki,pi->pk", along, outward[pairs[:, 1]]) / distance
    facing = (cos_a > 0.01) & (cos_b > 0.01)
    path = depth_a * (1 / np.maximum(cos_a, 0.01) - 1) + depth_b * (1 / np.maximum(cos_b, 0.01) - 1)
    volumes = 2 * math.pi * system.grid.voxel_volume_mm3 * points.shape[1]
    scale = (detection.module_area_mm2 * stopping) ** 2 / volumes
    weight = np.where(facing, scale * np.exp(-mu * path) / distance**2, 0.0)
    if detection.efficiency.known:
        towards = along / distance[..., None]
        _lower(detection, pairs[:, 0], -towards, points[..., :2], weight)
        _lower(detection, pairs[:, 1], towards, points[..., 3:5], weight)
    lors = Lors(
        np.ascontiguousarray(start.reshape(-1, 3), dtype=np.float32),
        np.ascontiguousarray(end.reshape(-1, 3), dtype=np.float32),
    )
    return SampledLines(
        lors,
        np.ascontiguousarray(weight.reshape(-1), dtype=np.float32),
        _crystals(system, pairs[:, 0], points[..., :2]),
        _crystals(system, pairs[:, 1], points[..., 3:5]),
    )


def _lower(detection: Detection, module: I8, towards: F8, places: F8, weight: F8) -> None:
    """Multiply weights (pairs, each) by the block efficiency of their ends in ``module``."""
    seen, each = detection.efficiency, weight.shape[1]
    ends = np.ascontiguousarray(towards.reshape(-1, 3)), np.ascontiguousarray(places.reshape(-1, 2))
    lower_by_efficiency(
        seen.along_u, seen.along_v, detection.axes, np.repeat(module, each), *ends,
        weight.reshape(-1),
    )  # fmt: skip


def _points_in(system: ReconSystem, module: I8, points: F8) -> tuple[F8, F8]:
    """Return positions (pairs, each, 3) in the blocks and their depths (pairs, each), mm."""
    detection: Detection = system.detection
    mu = detection.mu_per_mm
    stopping = -math.expm1(-mu * detection.thickness_mm)
    depth = -np.log1p(-points[..., 2] * stopping) / mu
    local = np.stack(
        [
            (points[..., 0] - 0.5) * detection.width_mm,
            (points[..., 1] - 0.5) * detection.height_mm,
            depth,
        ],
        axis=-1,
    )
    axes = system.geometry.module_axes[module]
    centre = system.geometry.module_centre_mm[module][:, None, :]
    return centre + np.einsum("pki,pij->pkj", local, axes), depth


def _crystals(system: ReconSystem, module: I8, points: F8) -> I8:
    """Return the crystals (pairs · each,) of points (pairs, each, 2) on faces, 0 to 1."""
    block = system.scanner.module
    iu = np.minimum((points[..., 0] * block.n_u).astype(np.int64), block.n_u - 1)
    iv = np.minimum((points[..., 1] * block.n_v).astype(np.int64), block.n_v - 1)
    crystal = module[:, None] * system.scanner.crystals_per_module + iu + block.n_u * iv
    return np.ascontiguousarray(crystal.reshape(-1))
