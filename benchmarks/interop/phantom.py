"""What the programs are given: an image that no turn or mirror maps onto itself, and where its
voxels lie in the patient, told from PS3.3 C.7.3.1.1.2 alone and not by the code that is judged."""

from __future__ import annotations

from typing import Any

import numpy as np

from hw.arrays import F8
from recon.core.frame_times import FrameTime
from recon.core.grid import ImageGrid

GRID = ImageGrid((14, 11, 9), (4.0, 3.0, 2.5))
POSITIONS = ("HFS", "HFP", "HFDR", "HFDL", "FFS", "FFP", "FFDR", "FFDL")
FRAMES = [FrameTime(0.0, 10.0), FrameTime(10.0, 20.0), FrameTime(30.0, 60.0)]
ABOUT: dict[str, Any] = {
    "run": "interop", "hash": "a-b-c", "created": "2026-11-21T10:00:00+00:00",
    "scanner": "caremibrain", "algorithm": "list-mode OSEM", "iterations": 4, "subsets": 8,
    "unit": "Bq/mL", "corrections": {"decay": True, "randoms": True, "attenuation": True},
    "nuclide": "F-18", "tracer": "FDG", "administered_activity_Bq": 1.5e8, "injected_s": -3600.0,
    "administered_at": "2026-11-21T09:00:00Z", "weight_kg": 70.5, "decay_reference_s": 0.0,
    "energy_window_keV": (350.0, 650.0), "window_ps": 5000, "prompts": 123456,
}  # fmt: skip
_UP = {"S": "A", "P": "P", "DR": "L", "DL": "R"}
_RAS = {"R": (1, 0, 0), "L": (-1, 0, 0), "A": (0, 1, 0), "P": (0, -1, 0), "S": (0, 0, 1),
        "I": (0, 0, -1)}  # fmt: skip


def image(frames: int = 1) -> np.ndarray:
    """Return [x, y, z, frame], f4: noise on a slope that differs along each axis."""
    x, y, z = np.indices(GRID.shape)
    noise = np.random.default_rng(5).random((*GRID.shape, frames))
    slope = 300.0 * x + 41.0 * y + 7.0 * z
    return np.asarray(slope[..., None] * (1 + np.arange(frames)) + 500.0 * noise, np.float32)


def in_patient(position: str) -> F8:
    """Return (x, y, z, 3): where each voxel's centre lies in the patient, RAS in mm.

    Lying on the right side the ceiling is on the left; head first, +z is towards the head. The
    scanner's x is y × z, whoever lies in it.
    """
    ceiling = np.array(_RAS[_UP[position[2:]]], float)
    bore = np.array(_RAS["S" if position[0] == "H" else "I"], float)
    axes = np.array([np.cross(ceiling, bore), ceiling, bore])
    index = np.stack(np.indices(GRID.shape), axis=-1)
    return (np.asarray(GRID.origin_mm) + index * np.asarray(GRID.voxel_mm)) @ axes


def difference(values: np.ndarray, affine: F8, truth: np.ndarray, position: str = "HFS") -> float:
    """Return how far a program's voxels are from ours at the same place in the patient, as a share
    of the greatest; infinite where they do not lie on the same places.

    values : [i, j, k] as the program has them
    affine : (4, 4) from their indices to RAS in mm
    truth : [x, y, z], what was written
    """
    index = (in_patient(position) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    nearest = np.rint(index).astype(int)
    inside = (nearest >= 0) & (nearest < values.shape)
    if np.abs(index - nearest).max() > 0.01 or not inside.all() or values.size != truth.size:
        return float("inf")
    found = values[tuple(np.moveaxis(nearest, -1, 0))]
    return float(np.abs(found - truth).max() / np.abs(truth).max())
