"""Measure: regions, contrast and a profile of an image.

Regions are spheres, ellipsoids, cylinders, boxes and thresholds in mm; a voxel that a surface
crosses counts with the share of it that lies inside. The σ of a region's mean comes from the
counting noise of the image. The same measures are behind ``tomoshibi analyse``.

    python 06_measure.py [RUN]
"""

import sys

import numpy as np

from hw.regions import Sphere
from recon import open_run, reconstruct
from recon.analysis.profile import axis_profile
from recon.analysis.regions import measure

run = open_run(sys.argv[1] if len(sys.argv) > 1 else "runs/last")
image = reconstruct(run, iterations=2, post_filter_fwhm_mm=8, scatter="none")  # to be quick
picture = image.picture()

brightest = np.unravel_index(picture.values.argmax(), picture.values.shape)
place = picture.place_mm(brightest)
print(f"brightest at {', '.join(f'{mm:.0f}' for mm in place)} mm, in {picture.unit}")

mirrored = (-place[0], -place[1], place[2])
hot = measure(Sphere("hot", place, 10.0), picture)
cold = measure(Sphere("opposite", mirrored, 10.0), picture)
for found in (hot, cold):
    print(f"{found.name}: {found.volume_mL:.2f} mL, mean {found.mean:.4g} ± {found.sigma or 0:.2g}")
print(f"hot over opposite: {hot.mean / max(cold.mean, 1e-9):.1f}")

profile = axis_profile(picture, "x", place, width_mm=4.0)
above = profile.place_mm[profile.value > profile.value.max() / 2]
print(f"profile along x: above half its maximum over {np.ptp(above):.0f} mm")
