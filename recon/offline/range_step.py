"""The positron range of a run: whether the resolution model includes it, for which nuclide and
matter.
"""

from __future__ import annotations

from hw.physics.nuclides import nuclide_of
from recon.attenuation.range_in_object import object_of_water, range_in_object
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
    blur = range_in_object(nuclide, mu)
    if blur is None:
        done.miss(NAME, f"the table has no β⁺ of {nuclide.name}")
        return None
    matter = "water" if mu is None else "the object's mean density"
    done.apply(
        NAME,
        f"{nuclide.name} in {matter}, in the resolution model",
        rms_mm=round(blur.rms_mm, 4),
        density_of_water=round(object_of_water(mu), 4),
    )
    return blur
