"""The positron range of a run: whether the resolution model has it, of which nuclide and matter.

Ranges go as one over electron density. One density is taken for the whole object: the mean of its µ
map over all voxels of at least a tenth of water's µ; the rest is air. Lung beside soft tissue is
thus deblurred as if it were the mean of both.
"""

from __future__ import annotations

from hw.physics.nuclides import nuclide_of
from hw.physics.positron_range import ENCAPSULATED_BELOW, PositronRange, range_scale
from recon.attenuation.head_contour import SOFT_TISSUE_PER_MM
from recon.core.correction_record import Corrections
from recon.core.grid import Image
from recon.core.range_resolution import RangeBlur
from recon.offline.options import ReconOptions
from recon.offline.run_data import RunData

NAME = "positron_range"


def range_blur(
    data: RunData, mu: Image | None, options: ReconOptions, done: Corrections
) -> RangeBlur | None:
    """Return the blur of the run's positrons, or None and the reason in ``done``.

    mu : µ map in 1/mm on the image's grid; None for water
    """
    if not options.positron_range:
        done.leave(NAME, "not wanted")
        return None
    if not options.has_resolution:
        done.leave(NAME, "part of the resolution model, and none is asked for")
        return None
    nuclide, unknown = nuclide_of(data.labels)
    if nuclide is None:
        done.miss(NAME, unknown)
        return None
    found = PositronRange.of(nuclide)
    if found is None:
        done.miss(NAME, f"the table has no β⁺ of {nuclide.name}")
        return None
    weights, sigmas = found.gaussians()
    of_water = object_of_water(mu)
    blur = RangeBlur(tuple(weights.tolist()), tuple(sigmas.tolist())).scaled(1 / of_water)
    matter = "water" if mu is None else "the object's mean density"
    done.apply(
        NAME,
        f"{nuclide.name} in {matter}, in the resolution model",
        rms_mm=round(blur.rms_mm, 4),
        density_of_water=round(of_water, 4),
    )
    return blur


def object_of_water(mu: Image | None) -> float:
    """Return the mean electron density of the object over that of water; 1 without an object."""
    if mu is None:
        return 1.0
    inside = mu[mu >= ENCAPSULATED_BELOW * SOFT_TISSUE_PER_MM]
    if not inside.size:
        return 1.0
    mean = inside.mean(dtype="f8", keepdims=True)
    return 1.0 / float(range_scale(mean, SOFT_TISSUE_PER_MM)[0])
