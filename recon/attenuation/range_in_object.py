"""The positron range in the object that a µ map shows.

Ranges go as one over electron density. One density is taken for the whole object: the mean of its µ
map over all voxels of at least a tenth of water's µ; the rest is air. Lung beside soft tissue is
thus deblurred as if it were the mean of both.
"""

from __future__ import annotations

from hw.physics.nuclides import Nuclide
from hw.physics.positron_range import ENCAPSULATED_BELOW, PositronRange, range_scale
from recon.attenuation.head_contour import SOFT_TISSUE_PER_MM
from recon.core.grid import Image
from recon.core.range_resolution import RangeBlur


def range_in_object(nuclide: Nuclide, mu: Image | None) -> RangeBlur | None:
    """Return the blur of a nuclide's positrons; None if the table has no β⁺ of it.

    mu : µ map in 1/mm; None for water
    """
    found = PositronRange.of(nuclide)
    if found is None:
        return None
    weights, sigmas = found.gaussians()
    blur = RangeBlur(tuple(weights.tolist()), tuple(sigmas.tolist()))
    return blur.scaled(1 / object_of_water(mu))


def object_of_water(mu: Image | None) -> float:
    """Return the mean electron density of the object over that of water; 1 without an object."""
    if mu is None:
        return 1.0
    inside = mu[mu >= ENCAPSULATED_BELOW * SOFT_TISSUE_PER_MM]
    if not inside.size:
        return 1.0
    mean = inside.mean(dtype="f8", keepdims=True)
    return 1.0 / float(range_scale(mean, SOFT_TISSUE_PER_MM)[0])
