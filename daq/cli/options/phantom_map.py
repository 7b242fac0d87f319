"""The µ map of an emulated phantom, on the image grid of its scanner."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw.scanner.description import Scanner


def write_mu_map(phantom: str, scanner: Scanner, path: Path) -> Path:
    """Write the phantom's µ map on the scanner's image grid; return its path."""
    import numpy as np

    from emulator.object.catalogue import make_phantom, mu_map_on_grid

    grid = scanner.image
    mu_per_mm = mu_map_on_grid(make_phantom(phantom, scanner), grid.shape, grid.voxel_mm)
    np.savez_compressed(path, mu_per_mm=mu_per_mm, voxel_mm=np.asarray(grid.voxel_mm))
    return path
