"""Phantoms for gamma cameras, built from formulas: a sphere, six spheres, and a heart in a chest.

The heart is no real anatomy: half an ellipsoidal shell of muscle around blood, with its axis along
+z and a cold lesion in its wall, in an elliptical chest with lungs and spine.
"""

from __future__ import annotations

import numpy as np

from emulator.object.painting import Canvas, Shape
from emulator.object.phantom import Phantom, Triple
from hw.scanner.description import Scanner

SPHERE_MM = 20.0
SPHERES_MM = (10.0, 13.0, 17.0, 22.0, 28.0, 37.0)
"""Inner diameters of the six spheres of NEMA NU 2's image quality phantom."""

SPHERES_RING_MM = 57.2
SPHERES_CONTRAST = 8.0

CHEST_HALF_MM = (140.0, 105.0)
MYOCARDIUM, BLOOD, CHEST, LUNGS, LIVER = 10.0, 1.0, 0.5, 0.3, 4.0
"""Relative activity per volume, of the order of ⁹⁹ᵐTc-tetrofosmin at rest."""

HEART_MM: Triple = (40.0, 35.0, 0.0)


def sphere(scanner: Scanner) -> Phantom:
    """Return an active sphere of 20 mm diameter in the middle of a water sphere of 160 mm."""
    canvas = Canvas("sphere", voxel_mm=(2.0,) * 3, extent_mm=(160.0,) * 3)
    canvas.paint(Shape("sphere", (80.0,) * 3, material="water"))
    canvas.paint(Shape("sphere", (SPHERE_MM / 2,) * 3, activity=1.0, region="sphere"))
    return canvas.phantom()


def spheres(scanner: Scanner) -> Phantom:
    """Return six hot spheres, 8 : 1, in a warm water cylinder 200 mm across and 180 mm long."""
    canvas = Canvas("spheres", voxel_mm=(2.0,) * 3, extent_mm=(200.0, 200.0, 180.0))
    for shape in spheres_shapes():
        canvas.paint(shape)
    return canvas.phantom()


def spheres_shapes() -> list[Shape]:
    """Return the shapes of the ``spheres`` phantom: the warm cylinder, then the spheres."""
    half = (100.0, 100.0, 90.0)
    shapes = [Shape("cylinder", half, material="water", activity=1.0, region="background")]
    for number, diameter in enumerate(SPHERES_MM):
        angle = np.pi / 3 * number
        x, y = SPHERES_RING_MM * np.cos(angle), SPHERES_RING_MM * np.sin(angle)
        place = (float(x), float(y), 0.0)
        half = (diameter / 2,) * 3
        region = f"{diameter:g} mm"
        shapes.append(Shape("sphere", half, place, activity=SPHERES_CONTRAST, region=region))
    return shapes


def heart(scanner: Scanner) -> Phantom:
    """Return a heart with a cold lesion in a chest; it needs a free radius of 140 mm."""
    canvas = Canvas("heart", voxel_mm=(2.5,) * 3, extent_mm=(280.0, 210.0, 240.0))
    a, b = CHEST_HALF_MM
    canvas.paint(
        Shape("cylinder", (a, b, 120.0), material="soft_tissue", activity=CHEST, region="chest")
    )
    for side in (-1, 1):
        lung = Shape("ellipsoid", (50.0, 72.0, 110.0), (side * 74.0, 4.0, 6.0), material="lung",
                     activity=LUNGS, region="lungs")  # fmt: skip
        canvas.paint(lung)
    canvas.paint(Shape("cylinder", (18.0, 18.0, 120.0), (0.0, -78.0, 0.0), activity=CHEST,
                       material="cortical_bone", density_g_per_cm3=1.4))  # fmt: skip
    liver = (-45.0, 15.0, -85.0)
    canvas.paint(Shape("ellipsoid", (70.0, 55.0, 30.0), liver, material="soft_tissue",
                       activity=LIVER, region="liver"))  # fmt: skip
    _paint_heart(canvas)
    return canvas.phantom()


def _paint_heart(canvas: Canvas) -> None:
    """Paint wall and blood: shells from outside to inside, then the open base and the lesion."""
    x, y, z = HEART_MM
    walls = [(34.0, 34.0, 46.0), (24.0, 24.0, 36.0)]
    canvas.paint(Shape("ellipsoid", walls[0], HEART_MM, material="muscle", activity=MYOCARDIUM,
                       region="myocardium"))  # fmt: skip
    lesion = (x + 29.0, y, z - 5.0)
    canvas.paint(Shape("sphere", (9.0,) * 3, lesion, material="muscle", activity=BLOOD,
                       region="lesion"))  # fmt: skip
    for half in walls[1:]:
        canvas.paint(Shape("ellipsoid", half, HEART_MM, material="blood", activity=BLOOD,
                           region="blood"))  # fmt: skip
    base = (x, y, z + 36.0)
    canvas.paint(Shape("box", (36.0, 36.0, 12.0), base, material="blood", activity=BLOOD,
                       region="blood"))  # fmt: skip
