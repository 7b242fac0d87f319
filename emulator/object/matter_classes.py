"""The kinds of matter in a phantom, few enough for one byte, and their tables by energy.

A voxel's kind is its material at one of several density steps. Kernels thus find everything they
need for a photon's energy in one table row, whatever the number of materials.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom
from emulator.physics.materials import cross_sections

MOST_KINDS = 254
"""Kinds that are matter; 0 is empty space and 255 marks blocks of several kinds."""

_STEPS, _STEPS_OF_MANY = 250, 64


class Kinds(NamedTuple):
    """What the voxels are made of.

    voxel : (x, y, z) u1, each voxel's kind
    mu_511_per_mm : (kinds,) f8, mean µ of the kind's voxels at 511 keV, without coherent scatter
    material : (kinds,) i8, index into ``materials``; 0 for empty space
    materials : names
    """

    voxel: npt.NDArray[np.uint8]
    mu_511_per_mm: npt.NDArray[np.float64]
    material: npt.NDArray[np.int64]
    materials: tuple[str, ...]


class Attenuation(NamedTuple):
    """Tables by energy: element or row ``i`` is for ``i`` keV; a single row where all are equal.

    majorant_per_mm : (e,) f8, largest µ of any kind, with coherent scatter
    share : (e or 1, kinds) f4, µ of each kind over the majorant
    fate : (e, materials, 2) f4, probability that a collision is absorption; that it is absorption
        or coherent scatter. The rest is Compton scatter.
    """

    majorant_per_mm: npt.NDArray[np.float64]
    share: npt.NDArray[np.float32]
    fate: npt.NDArray[np.float32]


def kinds_of(phantom: Phantom) -> Kinds:
    """Return the kinds of a phantom's voxels, with as many density steps as fit in a byte.

    A kind's µ is the mean over its voxels, so that rounding to steps loses no matter.
    """
    mu = phantom.mu_per_mm.astype(np.float64)
    labels = np.zeros(1, np.int64) if phantom.material is None else phantom.material
    material = np.broadcast_to(labels.astype(np.int64), mu.shape)  # wide enough for the codes
    most = np.array([mu[material == m].max(initial=0.0) for m in range(len(phantom.materials))])
    steps = _STEPS if len(phantom.materials) == 1 else _STEPS_OF_MANY
    while True:
        step = np.ceil(mu * (steps / np.where(most > 0, most, 1.0))[material] - 1e-4)
        code = np.where(mu > 0, 1 + step.astype(np.int64) + material * (_STEPS + 2), 0)
        used = np.bincount(code.ravel()) > 0
        used[0] = True
        found = np.flatnonzero(used)
        if len(found) - 1 <= MOST_KINDS:
            break
        steps = steps * 9 // 10
    voxel = (np.cumsum(used) - 1)[code]
    total = np.bincount(voxel.ravel(), weights=mu.ravel(), minlength=len(found))
    count = np.bincount(voxel.ravel(), minlength=len(found))
    return Kinds(
        voxel=voxel.reshape(mu.shape).astype(np.uint8),
        mu_511_per_mm=total / np.maximum(count, 1),
        material=np.where(found > 0, (found - 1) // (_STEPS + 2), 0),
        materials=phantom.materials,
    )


def attenuation(kinds: Kinds, *, coherent: bool = True) -> Attenuation:
    """Return the tables of the kinds; ``coherent`` scatter can be left out for comparison."""
    tables = [cross_sections(material) for material in kinds.materials]
    mu = np.array([t.mu_per_mm + coherent * t.coherent_per_mm for t in tables])
    photo = np.array([t.mu_per_mm * t.photo_fraction for t in tables])
    both = photo + coherent * np.array([t.coherent_per_mm for t in tables])
    per_density = np.array([1.0 / t.mu_per_mm[511] for t in tables])
    by_kind = (kinds.mu_511_per_mm * per_density[kinds.material])[:, None] * mu[kinds.material]
    majorant = by_kind.max(axis=0)
    share = (by_kind / np.where(majorant > 0, majorant, 1.0)).T
    if len(set(kinds.material[1:])) < 2:
        share = share[511:512]
    return Attenuation(
        majorant_per_mm=majorant,
        share=np.ascontiguousarray(share, dtype=np.float32),
        fate=np.ascontiguousarray(np.stack([photo / mu, both / mu], axis=-1).swapaxes(0, 1), "f4"),
    )
