"""Detector samples: a few points on each module that represent its crystals.

Scatter varies slowly, so each module is represented by ``per_side``² points at the mean depth of
interaction; between two modules a rate is interpolated bilinearly at both ends (and extrapolated
over the half cell at a module's edges).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hw.arrays import F4, F8, I8
from hw.scanner.geometry import mean_interaction_depth_mm
from recon.core.scanner_tables import ReconSystem

USUAL_SQUARE = 0.5
"""sin² of the directions, 45° about the normal, over which a block's edges are averaged."""


@dataclass(frozen=True)
class DetectorSamples:
    """Points (modules · per_side², 3) mm, u fastest, and pairs.

    places : (per_side², 2) positions within their modules, 0 to 1 along u and v
    rows : (pairs, 2) the allowed module pairs, a < b
    row_of : (modules²,) index of each pair in ``rows``, -1 if not allowed
    even : whether values hold the module's mean block efficiency, in place of that at the sample
    """

    per_side: int
    position_mm: F8
    places: F8
    rows: I8
    row_of: I8
    even: bool = False

    @property
    def per_module(self) -> int:
        """Number of samples per module."""
        return self.per_side**2


def detector_samples(system: ReconSystem, per_side: int, *, even: bool = False) -> DetectorSamples:
    """Return the samples of a scanner."""
    module, geometry = system.scanner.module, system.geometry
    share = sample_places(per_side)
    depth = mean_interaction_depth_mm(module.thickness_mm, material=module.material)
    v, u = np.meshgrid(share * module.height_mm, share * module.width_mm, indexing="ij")
    local = np.stack([u.ravel(), v.ravel(), np.full(u.size, depth)], axis=1)
    position = geometry.module_centre_mm[:, None, :] + local @ geometry.module_axes
    places = np.stack(np.meshgrid(share + 0.5, share + 0.5), axis=-1).reshape(-1, 2)
    rows = np.argwhere(np.triu(system.allowed, 1)).astype(np.int64)
    row_of = np.full(system.scanner.n_modules**2, -1, dtype=np.int64)
    row_of[rows[:, 0] * system.scanner.n_modules + rows[:, 1]] = np.arange(len(rows))
    return DetectorSamples(per_side, position.reshape(-1, 3), places, rows, row_of, even)


def crystal_weights(system: ReconSystem, per_side: int, *, even: bool = False) -> tuple[I8, F8]:
    """Return the four samples of each crystal in a module (crystals, 4), and their weights.

    If a block's edge counts less than its middle, so do the weights of the crystals there.

    even : see :class:`DetectorSamples`
    """
    module, seen = system.scanner.module, system.detection.efficiency
    u_sample, u_weight = _along(module.n_u, per_side)
    v_sample, v_weight = _along(module.n_v, per_side)
    u_weight *= _over_samples(seen.along_u, u_sample, per_side, even)
    v_weight *= _over_samples(seen.along_v, v_sample, per_side, even)
    iu = np.tile(np.arange(module.n_u), module.n_v)
    iv = np.repeat(np.arange(module.n_v), module.n_u)
    sample = v_sample[iv][:, :, None] * per_side + u_sample[iu][:, None, :]
    weight = v_weight[iv][:, :, None] * u_weight[iu][:, None, :]
    return sample.reshape(-1, 4), weight.reshape(-1, 4)


def mean_weights(system: ReconSystem, per_side: int, *, even: bool = False) -> F8:
    """Return the share of a module's crystals that each of its samples represents, (samples,)."""
    sample, weight = crystal_weights(system, per_side, even=even)
    return np.bincount(sample.ravel(), weight.ravel(), per_side**2) / len(sample)


def _along(crystals: int, samples: int) -> tuple[I8, F8]:
    """Return the two samples nearest to each crystal along one axis, and their weights."""
    if samples == 1:
        return np.zeros((crystals, 2), np.int64), np.tile([1.0, 0.0], (crystals, 1))
    node = sample_places(samples)
    place = (np.arange(crystals) + 0.5) / crystals - 0.5
    left = np.clip(np.searchsorted(node, place) - 1, 0, samples - 2)
    part = (place - node[left]) / (node[left + 1] - node[left])
    return np.stack([left, left + 1], axis=1), np.stack([1 - part, part], axis=1)


def _over_samples(along: F4, sample: I8, samples: int, even: bool) -> F8:
    """Return the block efficiency at each crystal over that at its two samples, or if ``even`` over
    the block's mean, (crystals, 2)."""
    if along.size == 0:
        return np.ones(sample.shape)
    directions, places = along.shape[0], along.shape[2]
    du, dv = np.indices(along.shape[:2]) / (directions - 1)
    profile = along[du**2 + dv**2 <= USUAL_SQUARE].mean(axis=0, dtype=np.float64)
    profile = (profile + profile[::-1]) / 2  # from both sides

    def at(share: F8) -> F8:
        return profile[np.clip((share * places).astype(np.int64), 0, places - 1)]

    crystals = len(sample)
    here = at((np.arange(crystals) + 0.5) / crystals)
    if even:
        return np.asarray(np.broadcast_to(here[:, None] / here.mean(), sample.shape))
    return np.asarray(here[:, None] / at(sample_places(samples) + 0.5)[sample])


def sample_places(samples: int) -> F8:
    """Return where samples lie along a side of length 1, from its middle: Gauss–Legendre nodes, of
    which two already integrate a parabola over the module exactly."""
    return np.asarray(np.polynomial.legendre.leggauss(samples)[0] / 2)
