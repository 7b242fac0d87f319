"""Several rays per line: exact integration over thick crystals, DOI bins and their solid angle.

An event has two crystals and two DOI bins, so it may have ended anywhere in these volumes. A photon
that crosses a slab at angle θ interacts at depth t with density (µ / cosθ) exp(−µ t / cosθ) and the
flux through the face carries cosθ, so the cosines cancel (:mod:`recon.em.sensitivity` has the same
integral over whole blocks) and a pair of crystals sees voxel j with

    m_ij = ∫∫ µ² exp(−µ t_a / cosθ_a − µ t_b / cosθ_b) / (2π d² V) · a_j(ray)   over both volumes,

a_j the chord of the ray between the two points. ``k`` quasi-random pairs of points, the same in
every crystal, sample the integral: a Kronecker sequence in six dimensions, depths drawn from exp(−µ
t). Crystals lie where the scanner's geometry says; no cylinder is assumed.

:class:`MultiRay` holds the rays with their shares (Σ over a line's rays = 1) and the lines' gain,
so that m_ij = gain_i · Σ_k share_ik a_j(ray ik); projection is that of the k times longer list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.arrays import F4, F8, I8
from hw.scanner.description import Scanner
from hw.scanner.geometry import LINEAR_ATTENUATION_PER_MM, Geometry
from recon.core.events import NO_OFFSET, Lors
from recon.core.grid import Image, ReconError
from recon.core.tof import HALF_C_MM_PER_PS
from recon.projector.operator import Projector

MOST_RAYS = 1024
LEAST_COSINE = 0.01


class MultiRayError(ReconError):
    """The number of rays is out of bounds, or crystals or depth bins do not exist."""


@dataclass(frozen=True)
class CrystalPairs:
    """The volumes that lines connect: (n,) crystals, DOI bins, TOF offsets (mm, or empty).

    Without depth bins a scanner has only bin 0, the whole thickness.
    """

    crystal_a: I8
    crystal_b: I8
    doi_a: I8
    doi_b: I8
    offset_mm: F4

    def __len__(self) -> int:
        return len(self.crystal_a)

    @classmethod
    def of_records(cls, records: npt.NDArray[np.void], *, tof: bool) -> CrystalPairs:
        """Return the pairs of ``COINCIDENCE`` records."""
        a, b, doi_a, doi_b = (
            records[name].astype(np.int64) for name in ("crystal_a", "crystal_b", "doi_a", "doi_b")
        )
        offset = (-HALF_C_MM_PER_PS * records["tof_ps"]).astype(np.float32) if tof else NO_OFFSET
        return cls(a, b, doi_a, doi_b, offset)


@dataclass(frozen=True)
class MultiRay:
    """The rays of n lines, ``rays`` each, line by line.

    lors : (n · rays) lines between points in the crystals
    share : (n, rays) float32, each ray's share of the line's gain
    gain : (n,) float32, probability of detection per emission and mm of chord
    """

    lors: Lors
    share: F4
    gain: F4

    def __len__(self) -> int:
        return len(self.gain)

    def forward(self, projector: Projector, image: Image) -> F4:
        """Return Σ share · projection of each line's rays, (n,) float32."""
        rays = projector.forward(image, self.lors).reshape(self.share.shape)
        return np.asarray((self.share * rays).sum(axis=1, dtype=np.float64), dtype=np.float32)

    def back(self, projector: Projector, values: F4) -> Image:
        """Return Σ values · share · rays, an image: the adjoint of :meth:`forward`."""
        spread = self.share * np.asarray(values, dtype=np.float32)[:, None]
        return projector.back(spread.reshape(-1), self.lors)


def multi_ray(
    scanner: Scanner,
    geometry: Geometry,
    pairs: CrystalPairs,
    *,
    rays: int,
    voxel_volume_mm3: float,
) -> MultiRay:
    """Return ``rays`` rays between random points in each pair's volumes, the same on every call."""
    _check(scanner, geometry, pairs, rays)
    points = unit_points(rays)
    start, depth_a = _places(scanner, geometry, pairs.crystal_a, pairs.doi_a, points[:, :3])
    end, depth_b = _places(scanner, geometry, pairs.crystal_b, pairs.doi_b, points[:, 3:])
    along = end - start
    distance = np.maximum(np.sqrt((along**2).sum(axis=-1)), 1e-3)
    normal = geometry.crystal_normal.astype(np.float64)
    cos_a = -np.einsum("nki,ni->nk", along, normal[pairs.crystal_a]) / distance
    cos_b = np.einsum("nki,ni->nk", along, normal[pairs.crystal_b]) / distance
    facing = (cos_a > LEAST_COSINE) & (cos_b > LEAST_COSINE)
    mu = LINEAR_ATTENUATION_PER_MM[scanner.module.material]
    path = depth_a * (1 / np.maximum(cos_a, LEAST_COSINE) - 1)
    path = path + depth_b * (1 / np.maximum(cos_b, LEAST_COSINE) - 1)
    weight = np.where(facing, np.exp(-mu * path) / distance**2, 0.0)
    total = weight.sum(axis=1)
    volume = _stopping(scanner, pairs.doi_a) * _stopping(scanner, pairs.doi_b)
    area = scanner.module.pitch_u_mm * scanner.module.pitch_v_mm
    gain = area**2 * volume * total / rays / (2 * math.pi * voxel_volume_mm3)
    share = weight / np.where(total > 0, total, 1.0)[:, None]
    # What was measured is the difference of the times to the two interactions, wherever in the
    # crystals they were: the offset counts from each ray's own middle.
    offset = np.repeat(pairs.offset_mm, rays)
    lors = Lors(_flat(start), _flat(end), offset)
    return MultiRay(lors, share.astype(np.float32), gain.astype(np.float32))


def unit_points(count: int) -> F8:
    """Return ``count`` points (count, 6) spread evenly over the unit cube; one is its middle.

    Generators are powers of the root of x⁷ = x + 1, the generalised golden ratio of M. Roberts,
    "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    steps = (1.0 / 1.1127756842787055) ** np.arange(1, 7)
    return np.asarray(np.modf(0.5 + np.arange(count)[:, None] * steps)[0])


def _check(scanner: Scanner, geometry: Geometry, pairs: CrystalPairs, rays: int) -> None:
    if not 1 <= rays <= MOST_RAYS:
        raise MultiRayError(f"{rays} rays per line: must lie in 1..{MOST_RAYS}")
    crystals, bins = len(geometry.crystal_front_mm), scanner.module.doi_bins
    for name, values, most in (
        ("crystal", (pairs.crystal_a, pairs.crystal_b), crystals),
        ("DOI bin", (pairs.doi_a, pairs.doi_b), bins),
    ):
        for of in values:
            wrong = int(((of < 0) | (of >= most)).sum())
            if wrong:
                raise MultiRayError(
                    f"{wrong} of {len(of)} lines have a {name} outside 0..{most - 1} of scanner "
                    f"{scanner.name}: leave them out, or use the scanner of the run"
                )


def _depth_edges(scanner: Scanner, doi: I8) -> tuple[F8, F8]:
    """Return the edges of the DOI bins, mm below the entrance face."""
    width = scanner.module.thickness_mm / scanner.module.doi_bins
    near: F8 = np.asarray(doi * width, dtype=np.float64)
    return near, near + width


def _stopping(scanner: Scanner, doi: I8) -> F8:
    """Return the probability of interaction in each bin at normal incidence."""
    mu = LINEAR_ATTENUATION_PER_MM[scanner.module.material]
    near, far = _depth_edges(scanner, doi)
    return np.asarray(np.exp(-mu * near) - np.exp(-mu * far))


def _places(
    scanner: Scanner, geometry: Geometry, crystal: I8, doi: I8, points: F8
) -> tuple[F8, F8]:
    """Return points (n, rays, 3) in the crystals and their depths (n, rays), mm."""
    block = scanner.module
    mu = LINEAR_ATTENUATION_PER_MM[block.material]
    near, far = _depth_edges(scanner, doi)
    deeper = -np.expm1(-mu * (far - near))[:, None]
    depth = near[:, None] - np.log1p(-points[None, :, 2] * deeper) / mu
    axes = geometry.module_axes[geometry.crystal_module[crystal]]
    front = geometry.crystal_front_mm[crystal].astype(np.float64)
    across = (points[:, 0] - 0.5)[:, None] * block.pitch_u_mm
    along = (points[:, 1] - 0.5)[:, None] * block.pitch_v_mm
    place = front[:, None, :] + across * axes[:, None, 0, :] + along * axes[:, None, 1, :]
    return np.asarray(place + depth[..., None] * axes[:, None, 2, :]), np.asarray(depth)


def _flat(places: F8) -> F4:
    return np.ascontiguousarray(places.reshape(-1, 3), dtype=np.float32)
