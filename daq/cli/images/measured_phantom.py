"""The warm cylinder and the spheres of a phantom, as the analysis needs them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.common import CommandError
from recon.analysis.contrast import Sphere, Warm

if TYPE_CHECKING:
    from emulator.object.painting import Shape


def phantom_parts(name: str) -> tuple[Warm, list[Sphere]]:
    """Return the warm cylinder of a phantom and the spheres in it.

    name : ``spheres``, ``cylinder``, or a file of shapes, whose first warm round cylinder is used

    Raises
    ------
    CommandError, PhantomError
        if there is no such phantom, or it has no warm cylinder.
    """
    if name == "cylinder":
        from emulator.object.shapes import CYLINDER_LENGTH_MM, CYLINDER_RADIUS_MM

        return Warm((0.0, 0.0, 0.0), 2 * CYLINDER_RADIUS_MM, CYLINDER_LENGTH_MM), []
    return _parts(_shapes(name), name)


def _shapes(name: str) -> list[Shape]:
    from emulator.object.camera_phantoms import spheres_shapes
    from emulator.object.phantom_file import read_shapes

    if name == "spheres":
        return spheres_shapes()
    if not Path(name).is_file():
        raise CommandError(
            f"--phantom {name}: give spheres, cylinder, or a file of shapes "
            "(docs/emulator/phantoms.md)"
        )
    return read_shapes(name)


def _parts(shapes: list[Shape], name: str) -> tuple[Warm, list[Sphere]]:
    warm = next((one for one in shapes if one.kind == "cylinder" and one.activity), None)
    if warm is None or abs(warm.half_mm[0] - warm.half_mm[1]) > 1e-6:
        raise CommandError(f"--phantom {name}: it has no warm, round cylinder for a background")
    level = warm.activity or 1.0
    spheres = [
        Sphere(one.centre_mm, 2 * one.half_mm[0], (one.activity or 0.0) / level)
        for one in shapes[shapes.index(warm) + 1 :]
        if one.kind == "sphere" and one.activity is not None
    ]
    return Warm(warm.centre_mm, 2 * warm.half_mm[0], 2 * warm.half_mm[2]), spheres
