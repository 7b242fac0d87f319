"""The brain scanner with an image of few large voxels, for reconstructions in seconds."""

from __future__ import annotations

import msgspec

from hw.scanner.description import Scanner
from hw.scanner.preset_file import load_scanner
from recon.core.grid import ImageGrid


def coarse_brain(shape: tuple[int, int, int] = (36, 36, 26), voxel_mm: float = 6.0) -> Scanner:
    """Return ``caremibrain`` with this image; 216 × 216 × 156 mm, as its own, by default."""
    scanner = load_scanner("caremibrain")
    image = msgspec.structs.replace(scanner.image, shape=shape, voxel_mm=(voxel_mm,) * 3)
    return msgspec.structs.replace(scanner, image=image)


def grid_of(scanner: Scanner) -> ImageGrid:
    """Return the grid of a scanner's image."""
    return ImageGrid(scanner.image.shape, scanner.image.voxel_mm)
