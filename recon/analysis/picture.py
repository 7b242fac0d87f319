"""An image for analysis: its values, where its voxels lie, and its metadata."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from hw.arrays import F8
from hw.bounded_files import FileRefused, check_size, read_object, regular_file
from hw.messages.patient_position import PATIENT_POSITIONS, axes_in_patient
from recon.core.grid import ReconError
from recon.core.noise_file import read_parts
from recon.core.noise_parts import NoiseParts

Triple = tuple[float, float, float]


class AnalysisError(ReconError):
    """An image or region cannot be analysed; the message says which and why."""


@dataclass(frozen=True)
class Picture:
    """An image [x, y, z] float64; voxel (0, 0, 0) is centred at ``origin_mm``.

    ``metadata`` comes from the JSON file beside the image, empty if there is none; ``parts``, which
    tell its noise, from the .noise.npz.
    """

    values: F8
    voxel_mm: Triple
    origin_mm: Triple
    metadata: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    parts: NoiseParts | None = None

    def __post_init__(self) -> None:
        if self.values.ndim != 3 or not self.values.size:
            raise AnalysisError(
                f"{self.name}: an image has three axes, this has {self.values.shape}"
            )
        odd = int((~np.isfinite(self.values)).sum())
        if odd:
            raise AnalysisError(
                f"{self.name}: {odd} voxels are not finite: measuring it would be meaningless"
            )

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return str(self.metadata.get("unit", ""))

    @property
    def voxel_volume_mL(self) -> float:
        """Volume of a voxel."""
        return float(np.prod(self.voxel_mm)) / 1000.0

    def axis_mm(self, axis: int) -> F8:
        """Return the centres of the voxels along an axis."""
        steps = np.arange(self.values.shape[axis], dtype=np.float64)
        return np.asarray(self.origin_mm[axis] + steps * self.voxel_mm[axis], dtype=np.float64)

    def place_mm(self, index: npt.ArrayLike) -> Triple:
        """Return the position of a voxel (or of a point between voxels)."""
        x, y, z = np.asarray(self.origin_mm) + np.asarray(index) * np.asarray(self.voxel_mm)
        return float(x), float(y), float(z)

    def index_of(self, place_mm: Triple) -> F8:
        """Return a position as a fractional voxel index."""
        away = np.asarray(place_mm, dtype=np.float64) - np.asarray(self.origin_mm)
        return np.asarray(away / np.asarray(self.voxel_mm))


MOST_VALUES = 1 << 30


def read_picture(path: Path, *, frame: int = 0) -> Picture:
    """Return the image in a NIfTI file whose axes are the scanner's, with places in its frame.

    frame : index within a series (4-D), from 0

    Raises
    ------
    AnalysisError
        if the file is not NIfTI, is rotated, or does not have the frame.
    """
    try:
        with regular_file(path) as opened:
            packed = os.fstat(opened.fileno()).st_size
        nifti = nib.load(path)
        count = math.prod(nifti.shape)
        if count > MOST_VALUES:
            raise ValueError(f"{nifti.shape} voxels are more than {MOST_VALUES}")
        check_size(count * nifti.get_data_dtype().itemsize, packed, most_bytes=8 * MOST_VALUES)
        with np.errstate(invalid="ignore"):  # what is not finite is counted and refused
            values = np.asarray(nifti.dataobj, dtype=np.float64)
        affine = np.asarray(nifti.affine, dtype=np.float64)
    except Exception as error:
        raise AnalysisError(f"{path}: cannot be read as a NIfTI image: {error}") from error
    values = _one_frame(values, frame, path)
    voxel_mm, origin = _in_scanner(affine, path)
    parts = read_parts(path, values.shape, frame=frame)
    return Picture(values, voxel_mm, origin, _sidecar(path), path.name, parts)


def _in_scanner(affine: F8, path: Path) -> tuple[Triple, Triple]:
    """Return voxel size and the first voxel's centre (mm) in the scanner's frame, by the position
    of the patient for which the affine leads to RAS."""
    for position in PATIENT_POSITIONS:
        back = axes_in_patient(position).T
        turned, origin = back @ affine[:3, :3], back @ affine[:3, 3]
        scale = np.diag(turned)
        if np.allclose(turned, np.diag(scale)) and (scale > 0).all():
            x, y, z = (float(one) + 0.0 for one in origin)
            return (float(scale[0]), float(scale[1]), float(scale[2])), (x, y, z)
    raise AnalysisError(
        f"{path}: its axes are rotated against the scanner's: resample it to x, y, z first "
        f"(affine {affine[:3, :3].tolist()})"
    )


def _one_frame(values: F8, frame: int, path: Path) -> F8:
    frames = values.shape[3] if values.ndim == 4 else 1
    if not 0 <= frame < frames:
        raise AnalysisError(f"{path}: there is no frame {frame}, it has {frames} (from 0)")
    return values[..., frame] if values.ndim == 4 else values


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    try:
        return read_object(beside)
    except FileRefused:
        return {}
