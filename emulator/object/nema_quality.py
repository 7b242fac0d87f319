"""NEMA's phantoms whose image is judged: points, hot spheres with a lung, the mouse's rods.

``nema-quality`` is NU 2's image quality phantom as a brain ring can hold it: the six spheres and
the lung insert of the standard (NEMA NU 2-2018, section 7) in a round cylinder of 200 mm instead of
the body-shaped one of 300 mm. That is a deviation from the standard, and reports say so.
``nema-mouse-quality`` is NU 4's (NEMA NU 4-2008, section 6).
"""

from __future__ import annotations

import numpy as np

from emulator.object.camera_phantoms import SPHERES_MM, SPHERES_RING_MM
from emulator.object.painting import Canvas, Shape
from emulator.object.phantom import Phantom
from hw.scanner.description import Scanner

QUALITY_DIAMETER_MM, QUALITY_LENGTH_MM = 200.0, 180.0
QUALITY_CONTRAST = 4.0
LUNG_MM = 50.0
LUNG_DENSITY = 0.3
"""g/cm³ (NU 2-2018, 7.3.2)."""

MOUSE_DIAMETER_MM, MOUSE_OUTER_MM = 30.0, 33.5
MOUSE_LENGTH_MM = 50.0
RODS_MM = (1.0, 2.0, 3.0, 4.0, 5.0)
RODS_RING_MM = 7.0
RODS_Z_MM = (-25.0, -5.0)
CHAMBERS_Z_MM = (10.0, 25.0)
CHAMBER_INNER_MM, CHAMBER_OUTER_MM = 8.0, 10.0
CHAMBERS_X_MM = 7.5
"""The water chamber is at +x, that of air at −x."""

POINT_MM = 0.5


def nema_point(
    scanner: Scanner, *, x_mm: float = 0.0, y_mm: float = 0.0, z_mm: float = 0.0,
    cube_mm: float = 0.0,
) -> Phantom:  # fmt: skip
    """Return a point source; with ``cube_mm``, in the middle of an acrylic cube (NU 4: 10 mm).

    Parameters
    ----------
    x_mm, y_mm, z_mm : where the source is
    cube_mm : side of the acrylic; 0 for air
    """
    steps = 2 * round(cube_mm) + 1  # odd: the source is the middle voxel
    voxel = cube_mm / steps if cube_mm else POINT_MM
    activity = np.zeros((steps,) * 3, np.float32)
    activity[steps // 2, steps // 2, steps // 2] = 1.0
    canvas = Canvas("nema-point", voxel_mm=(voxel,) * 3, extent_mm=(voxel * steps,) * 3,
                    centre_mm=(x_mm, y_mm, z_mm))  # fmt: skip
    half = (voxel * steps / 2,) * 3
    material = "PMMA" if cube_mm else None
    canvas.paint(Shape("box", half, (x_mm, y_mm, z_mm), material=material))
    canvas.paint(Shape("box", (voxel / 2,) * 3, (x_mm, y_mm, z_mm), activity=1.0))
    return canvas.phantom()


def nema_quality(scanner: Scanner) -> Phantom:
    """Return six hot spheres, 4 : 1, and a cold lung in a warm water cylinder."""
    extent = (QUALITY_DIAMETER_MM, QUALITY_DIAMETER_MM, QUALITY_LENGTH_MM)
    canvas = Canvas("nema-quality", voxel_mm=(2.0,) * 3, extent_mm=extent)
    for shape in quality_shapes():
        canvas.paint(shape)
    return canvas.phantom()


def quality_shapes() -> list[Shape]:
    """Return the shapes of ``nema-quality``: the warm cylinder, the lung, then the spheres."""
    half = (QUALITY_DIAMETER_MM / 2, QUALITY_DIAMETER_MM / 2, QUALITY_LENGTH_MM / 2)
    lung = (LUNG_MM / 2, LUNG_MM / 2, QUALITY_LENGTH_MM / 2)
    shapes = [
        Shape("cylinder", half, material="water", activity=1.0, region="background"),
        Shape("cylinder", lung, material="lung", density_g_per_cm3=LUNG_DENSITY, activity=0.0,
              region="lung"),
    ]  # fmt: skip
    for number, diameter in enumerate(SPHERES_MM):
        angle = np.pi / 3 * number
        x, y = SPHERES_RING_MM * np.cos(angle), SPHERES_RING_MM * np.sin(angle)
        shapes.append(
            Shape("sphere", (diameter / 2,) * 3, (float(x), float(y), 0.0),
                  activity=QUALITY_CONTRAST, region=f"{diameter:g} mm")
        )  # fmt: skip
    return shapes


def rod_places_mm() -> list[tuple[float, float]]:
    """Return where the mouse phantom's rods are across, in order of ``RODS_MM``."""
    angle = 2 * np.pi / len(RODS_MM) * np.arange(len(RODS_MM))
    return [(float(RODS_RING_MM * np.cos(a)), float(RODS_RING_MM * np.sin(a))) for a in angle]


def nema_mouse_quality(scanner: Scanner) -> Phantom:
    """Return NU 4's image quality phantom: rods in acrylic, a warm middle, two cold chambers."""
    extent = (MOUSE_OUTER_MM + 0.5, MOUSE_OUTER_MM + 0.5, MOUSE_LENGTH_MM)
    canvas = Canvas("nema-mouse-quality", voxel_mm=(0.25, 0.25, 0.5), extent_mm=extent)
    outer, warm = MOUSE_OUTER_MM / 2, MOUSE_DIAMETER_MM / 2
    canvas.paint(Shape("cylinder", (outer, outer, MOUSE_LENGTH_MM / 2), material="PMMA"))
    canvas.paint(_between((RODS_Z_MM[1], MOUSE_LENGTH_MM / 2), warm, (0.0, 0.0), "water", 1.0))
    for diameter, place in zip(RODS_MM, rod_places_mm(), strict=True):
        canvas.paint(_between(RODS_Z_MM, diameter / 2, place, "water", 1.0))
    for x, fluid in ((CHAMBERS_X_MM, "water"), (-CHAMBERS_X_MM, "air")):
        for radius, material in ((CHAMBER_OUTER_MM / 2, "PMMA"), (CHAMBER_INNER_MM / 2, fluid)):
            canvas.paint(_between(CHAMBERS_Z_MM, radius, (x, 0.0), material, 0.0))
    return canvas.phantom()


def _between(
    z_mm: tuple[float, float], radius_mm: float, at_mm: tuple[float, float], material: str,
    activity: float,
) -> Shape:  # fmt: skip
    half = (radius_mm, radius_mm, (z_mm[1] - z_mm[0]) / 2)
    centre = (*at_mm, (z_mm[0] + z_mm[1]) / 2)
    return Shape("cylinder", half, centre, material=material, activity=activity)
