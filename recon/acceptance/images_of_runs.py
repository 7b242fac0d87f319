"""The images that acceptance tests measure.

Resolution and accuracy are those of list-mode OSEM without filter or resolution model. NEMA asks
for filtered back-projection; we reconstruct from lists, and the reports say so. EM makes a point in
a cold surrounding sharper than a linear method would.

Image quality is that of the images that users get (NU 2-2018, 7.4; NU 4-2008, 6.3): made as
``tomoshibi reconstruct`` does where nothing is named. Plain OSEM in small voxels would show the
crystals' raster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from recon.acceptance.measured_run import MeasuredRun
from recon.analysis.picture import Picture
from recon.offline.defaults import by_counts
from recon.offline.options import ReconOptions
from recon.offline.reconstruction import reconstruct

Progress = Callable[[str, float], None]

POINT = ReconOptions(attenuation="none", scatter="none", noise_parts=0)
CORRECTED = ReconOptions(noise_parts=0)
RELATIVE = ReconOptions(
    scatter="none", voxel_mm=(8.0,), psf_fwhm_mm=8.0, iterations=8, subsets=4, noise_parts=0
)
"""For the ratio of two activities: scatter is the same share of both. What is measured is the mean
of a wide disc that is nearly all cold, and at high activities four of five prompts are randoms:
small voxels, which cannot go below 0, make activity of that noise. Of 2 mm and 2 iterations it was
41 % more."""


def point_image(run: MeasuredRun, voxel_mm: float, *, threads: int, progress: Progress) -> Picture:
    """Return the image of a point in air, on the preset's field in smaller voxels."""
    options = replace(POINT, voxel_mm=(voxel_mm,), threads=threads)
    return _picture(run, options, progress)


def corrected_image(
    run: MeasuredRun, *, threads: int, progress: Progress, voxel_mm: tuple[float, ...] = ()
) -> Picture:
    """Return the image with every correction that the run allows, other options chosen by its
    counts.
    """
    chosen = by_counts({"voxel_mm": voxel_mm} if voxel_mm else {})
    options = replace(CORRECTED, voxel_mm=voxel_mm, threads=threads, by_counts=chosen)
    return _picture(run, options, progress)


def relative_image(run: MeasuredRun, *, threads: int, progress: Progress) -> Picture:
    """Return an image for comparing activities, with every correction but that of scatter."""
    return _picture(run, replace(RELATIVE, threads=threads), progress)


def _picture(run: MeasuredRun, options: ReconOptions, progress: Progress) -> Picture:
    made = reconstruct(run.data, options, progress=progress)
    x, y, z = (float(one) for one in made.grid.origin_mm)
    applied = {"applied": made.corrections.applied()}
    return Picture(
        np.asarray(made.image, dtype=np.float64), made.grid.voxel_mm, (x, y, z),
        {**made.metadata, **applied}, run.name,
    )  # fmt: skip
