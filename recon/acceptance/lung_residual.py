"""Accuracy of attenuation and scatter corrections: the lung insert of NU 2's image quality phantom.

NEMA NU 2-2018, section 7.4.2: in each slice the mean of a disc of 30 mm in the cold lung insert,
over the mean of the background discs of 37 mm, is the residual error (0 is perfect).
"""

from __future__ import annotations

import numpy as np

from hw.arrays import F8
from hw.regions import Cylinder
from recon.analysis.picture import Picture, Triple
from recon.analysis.regions import measure

DISC_MM = 30.0


def lung_residuals(picture: Picture, background: float, *, half_length_mm: float) -> tuple[F8, F8]:
    """Return (z in mm, residual error) of each slice within ``half_length_mm`` of the centre.

    background : mean of the background discs, in the image's unit
    """
    z = picture.axis_mm(2)
    chosen = z[np.abs(z) <= half_length_mm]
    thick = picture.voxel_mm[2] * 0.999
    found = [measure(_disc((0.0, 0.0, float(at)), thick), picture).mean for at in chosen]
    return chosen, np.array(found) / background


def _disc(centre_mm: Triple, thick_mm: float) -> Cylinder:
    return Cylinder("lung", centre_mm, DISC_MM, thick_mm)
