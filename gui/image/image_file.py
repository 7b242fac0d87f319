"""Images from files, for display: those that this program writes, and µ maps of runs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daq.folder.listing.run_images import ENDING
from gui.kit.colour_maps import Image
from hw.arrays import F8
from hw.bounded_files import FileRefused, read_npz, read_object
from hw.messages.patient_position import (
    PATIENT_POSITIONS,
    UNKNOWN,
    PatientPosition,
    axes_in_patient,
)

MOST_VOXELS = 2**28
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class StoredImage:
    """An image as it was read: (x, y, z, frame) voxels of the scanner's frame."""

    path: Path
    volume: Image
    voxel_mm: Triple
    unit: str
    position: PatientPosition


def read_image(path: Path) -> StoredImage:
    """Read an image and what its sidecar says; raises ValueError in words."""
    import nibabel as nib  # takes a third of a second, which a console that opens does not have
    from nibabel.filebasedimages import ImageFileError

    try:
        file = nib.load(path)
        if np.prod(file.shape) > MOST_VOXELS:
            raise ValueError(f"{path.name} has {np.prod(file.shape):.0f} voxels: too many to show")
        volume = np.asarray(file.dataobj, dtype=np.float32)
        sizes = tuple(float(size) for size in file.header.get_zooms()[:3])
    except (OSError, EOFError, zlib.error, ImageFileError, MemoryError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if volume.ndim not in (3, 4) or not volume.size:
        raise ValueError(f"{path.name} has {volume.ndim} dimensions, 3 or 4 can be shown")
    about = _sidecar(path)
    position = about.get("patient_position", UNKNOWN)
    return StoredImage(
        path, volume.reshape(*volume.shape[:3], -1), (sizes[0], sizes[1], sizes[2]),
        str(about.get("unit", "")), position if position in PATIENT_POSITIONS else UNKNOWN,
    )  # fmt: skip


def _sidecar(path: Path) -> dict[str, Any]:
    try:
        return read_object(path.with_name(path.name.removesuffix(ENDING) + ".json"))
    except (FileRefused, OSError):
        return {}


def read_mu_map(path: Path) -> StoredImage:
    """Read the µ map that a run keeps, in 1/cm; raises ValueError in words."""
    try:
        content = read_npz(path, most_bytes=4 * MOST_VOXELS, only={"mu_per_mm", "voxel_mm"})
        volume = np.asarray(content["mu_per_mm"], dtype=np.float32) * np.float32(10)
        x, y, z = (float(size) for size in content["voxel_mm"])
    except (FileRefused, OSError, KeyError, ValueError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if volume.ndim != 3 or not volume.size:
        raise ValueError(f"{path.name} has {volume.ndim} dimensions, 3 can be shown")
    return StoredImage(path, volume[..., None], (x, y, z), "1/cm", UNKNOWN)


def on_grid(
    volume: Image,
    voxel_mm: Triple,
    shape: tuple[int, int, int],
    onto_mm: Triple,
    turn: F8 | None = None,
) -> Image:
    """Return an image on other voxels, both with their middles at the scanner's; 0 outside it.

    Parameters
    ----------
    volume : (x, y, z), voxels of ``voxel_mm``
    shape, onto_mm : the other voxels' numbers and sizes
    turn : (3, 3), leads from the other's axes to those of the image; None where they are the same
    """
    from scipy import ndimage

    matrix = np.diag(1 / np.array(voxel_mm)) @ (np.eye(3) if turn is None else turn)
    matrix = matrix @ np.diag(onto_mm)
    middles = [0.5 * (np.array(one) - 1) for one in (volume.shape, shape)]
    first = middles[0] - matrix @ middles[1]
    made = ndimage.affine_transform(volume, matrix, first, output_shape=shape, order=1)
    return np.asarray(made, dtype=np.float32)


def turned(position: PatientPosition, onto: PatientPosition) -> F8 | None:
    """Return what leads from the scanner's axes with a patient in one position to those of an image
    of a patient in ``position``: the same place in the patient. None where either is not known."""
    if UNKNOWN in (position, onto) or position == onto:
        return None
    return axes_in_patient(position).T @ axes_in_patient(onto)
