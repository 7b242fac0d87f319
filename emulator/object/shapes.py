"""Simple phantoms: point, line, cylinder, hot rods. Sizes are stated; nothing is random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from emulator.object.phantom import Phantom, Triple
from emulator.physics.materials import MU_WATER_511_PER_MM
from hw.scanner.description import Scanner

POINT_MM = 0.5
CYLINDER_RADIUS_MM = 100.0
CYLINDER_LENGTH_MM = 150.0
LINE_LENGTH_MM = 700.0  # NEMA NU 2 sensitivity source
HOT_ROD_RADIUS_MM = 80.0
HOT_ROD_LENGTH_MM = 80.0
HOT_ROD_DIAMETERS_MM = (3.0, 4.0, 5.0, 6.5, 8.0, 10.0)
HOT_ROD_CLEARANCE_MM = 4.0


def point(scanner: Scanner, *, position_mm: Triple = (0.0, 0.0, 0.0)) -> Phantom:
    """Return a point source (a 0.5 mm cube) in air."""
    return _in_air("point", np.ones((1, 1, 1), np.float32), (POINT_MM,) * 3, position_mm)


def line(scanner: Scanner, *, length_mm: float = LINE_LENGTH_MM) -> Phantom:
    """Return a line source along the axis in air, 1 mm square, longer than most scanners."""
    count = round(length_mm / 2)
    voxel_mm = (1.0, 1.0, length_mm / count)
    origin_mm = (0.0, 0.0, -length_mm / 2 + voxel_mm[2] / 2)
    return _in_air("line", np.ones((1, 1, count), np.float32), voxel_mm, origin_mm)


def _in_air(
    name: str, activity: npt.NDArray[np.float32], voxel_mm: Triple, origin_mm: Triple
) -> Phantom:
    return Phantom(name, activity, np.zeros_like(activity), voxel_mm, origin_mm)


def cylinder(
    scanner: Scanner,
    *,
    radius_mm: float = CYLINDER_RADIUS_MM,
    length_mm: float = CYLINDER_LENGTH_MM,
) -> Phantom:
    """Return a cylinder of water with uniform activity, 20 cm across by default."""
    disc, origin_mm = _disc(radius_mm, 2.0)
    slices = round(length_mm / 2.0)
    water = np.repeat(disc[:, :, None], slices, axis=2)
    origin = (*origin_mm, -(slices - 1) / 2 * 2.0)
    return Phantom("cylinder", water, water * np.float32(MU_WATER_511_PER_MM), (2.0,) * 3, origin)


def _disc(radius_mm: float, voxel_mm: float) -> tuple[npt.NDArray[np.float32], tuple[float, float]]:
    """Return a filled disc (x, y) whose edge voxels hold their covered share."""
    half = int(np.ceil(radius_mm / voxel_mm))
    fine = (np.arange(2 * half * 8) + 0.5) / 8 - half
    inside = (np.hypot(fine[:, None], fine[None, :]) * voxel_mm <= radius_mm).astype(np.float32)
    share = inside.reshape(2 * half, 8, 2 * half, 8).mean(axis=(1, 3), dtype=np.float32)
    first = (-half + 0.5) * voxel_mm
    return share, (first, first)


def hot_rod(scanner: Scanner) -> Phantom:
    """Return hot rods in cold water: six sectors of 3 to 10 mm rods, two diameters apart.

    After S. E. Derenzo's resolution phantom; the sectors' rods stand on triangular lattices.
    """
    voxel_mm, over = 1.0, 4
    half = int(HOT_ROD_RADIUS_MM / voxel_mm) + 1
    fine = ((np.arange(2 * half * over) + 0.5) / over - half) * voxel_mm
    rods = np.zeros((len(fine), len(fine)), np.float32)
    for sector, diameter_mm in enumerate(HOT_ROD_DIAMETERS_MM):
        for x, y in _rod_centres_mm(diameter_mm, sector):
            reach = np.abs(fine - x) <= diameter_mm, np.abs(fine - y) <= diameter_mm
            window = np.ix_(*(np.flatnonzero(r) for r in reach))
            distance = np.hypot(fine[window[0]] - x, fine[window[1]] - y)
            rods[window] = np.maximum(rods[window], distance <= diameter_mm / 2)
    share = rods.reshape(2 * half, over, 2 * half, over).mean(axis=(1, 3), dtype=np.float32)
    centres = (np.arange(2 * half) + 0.5 - half) * voxel_mm
    body = np.hypot(centres[:, None], centres[None, :]) <= HOT_ROD_RADIUS_MM
    slices = round(HOT_ROD_LENGTH_MM / 2.0)
    mu = body.astype(np.float32) * np.float32(MU_WATER_511_PER_MM)
    return Phantom(
        "hot-rod",
        np.repeat(share[:, :, None], slices, axis=2),
        np.repeat(mu[:, :, None], slices, axis=2),
        (voxel_mm, voxel_mm, 2.0),
        (float(centres[0]), float(centres[0]), -(slices - 1) / 2 * 2.0),
    )


def _rod_centres_mm(diameter_mm: float, sector: int) -> list[tuple[float, float]]:
    """Return the rod centres of one 60° sector: rows of 1, 2, 3, ... rods, two diameters apart."""
    pitch = 2 * diameter_mm
    axis = np.pi / 3 * sector + np.pi / 6
    start = HOT_ROD_CLEARANCE_MM + diameter_mm / np.sin(np.pi / 6) / 2
    centres: list[tuple[float, float]] = []
    row = 0
    while True:
        along = start + row * pitch * np.sqrt(3) / 2
        offsets = (np.arange(row + 1) - row / 2) * pitch
        if np.hypot(along, offsets[-1]) + diameter_mm / 2 > HOT_ROD_RADIUS_MM - 2.0:
            return centres
        for across in offsets:
            x = along * np.cos(axis) - across * np.sin(axis)
            y = along * np.sin(axis) + across * np.cos(axis)
            centres.append((float(x), float(y)))
        row += 1
