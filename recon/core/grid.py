"""The image grid: where its voxels lie, and the padded layout that kernels work on.

Images are ``[x, y, z]`` C-order float32; voxel (0, 0, 0) is centred at
``centre_mm - (shape - 1) / 2 * voxel_mm``. Reconstruction works on grids centred on the scanner; an
image cut out of one may lie anywhere (:mod:`recon.core.field_of_view`). Kernels see images
flattened with a border of one zero voxel on all sides: linear interpolation may then touch the
border without a bounds check in the inner loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.errors import TomoshibiError

Image = npt.NDArray[np.float32]


class ReconError(TomoshibiError):
    """Base of all errors raised by reconstruction."""


class GridError(ReconError):
    """An image and a grid differ in size; the message gives both sizes."""


class Lattice(NamedTuple):
    """What a kernel needs to know about a grid (all arrays of length 3)."""

    size: npt.NDArray[np.int64]
    voxel_mm: npt.NDArray[np.float64]
    stride: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ImageGrid:
    """Shape and voxel size (mm) of an image, and its centre (mm) in the scanner's frame."""

    shape: tuple[int, int, int]
    voxel_mm: tuple[float, float, float]
    centre_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or min(self.shape) < 1 or max(self.shape) > 1024:
            raise GridError(f"image shape {self.shape}: needs three sizes in 1..1024")
        if len(self.voxel_mm) != 3 or not all(0.0 < size < 1e3 for size in self.voxel_mm):
            raise GridError(f"voxel size {self.voxel_mm} mm: needs three sizes in 0..1000 mm")
        if len(self.centre_mm) != 3 or not all(abs(place) < 1e4 for place in self.centre_mm):
            raise GridError(f"image centre {self.centre_mm} mm: needs three places within 10 m")

    @property
    def centred(self) -> bool:
        """Whether the grid is centred on the scanner."""
        return not any(self.centre_mm)

    @property
    def origin_mm(self) -> npt.NDArray[np.float64]:
        """Centre of voxel (0, 0, 0), shape (3,)."""
        half_mm = (np.array(self.shape) - 1) / 2 * np.array(self.voxel_mm)
        return np.array(self.centre_mm) - half_mm

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.voxel_mm))

    @property
    def padded_shape(self) -> tuple[int, int, int]:
        """Shape with the border of one voxel on each side."""
        return (self.shape[0] + 2, self.shape[1] + 2, self.shape[2] + 2)

    @property
    def lattice(self) -> Lattice:
        """The kernels' view of this grid."""
        _, n_y, n_z = self.padded_shape
        return Lattice(
            np.array(self.shape, dtype=np.int64),
            np.array(self.voxel_mm, dtype=np.float64),
            np.array([n_y * n_z, n_z, 1], dtype=np.int64),
        )

    def axes_mm(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Voxel centres along x, y and z, broadcastable to the image."""
        return np.ix_(
            *(
                start + np.arange(n) * size
                for start, n, size in zip(self.origin_mm, self.shape, self.voxel_mm, strict=True)
            )
        )

    def cylinder(self, radius_mm: float) -> npt.NDArray[np.bool_]:
        """Voxels whose centre lies within ``radius_mm`` of the z axis, bool of ``shape``."""
        x, y, z = self.axes_mm()
        return np.asarray((x**2 + y**2 <= radius_mm**2) & np.isfinite(z))

    def check(self, image: npt.NDArray[np.floating], *, what: str = "image") -> None:
        """Raise :class:`GridError` unless ``image`` has this grid's shape."""
        if image.shape != self.shape:
            raise GridError(f"{what} has shape {image.shape}, its grid has {self.shape}")

    def padded(self, image: npt.NDArray[np.floating]) -> Image:
        """Return ``image`` flattened with its zero border, float32."""
        self.check(image)
        flat = np.zeros(self.padded_shape, dtype=np.float32)
        flat[1:-1, 1:-1, 1:-1] = image
        return flat.reshape(-1)
