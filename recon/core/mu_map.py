"""The µ map: linear attenuation coefficients at 511 keV in 1/mm, brought onto the image grid.

Two formats are read: npz (``mu_per_mm``, ``voxel_mm``, centred on the scanner) and NIfTI, whose
affine gives the place (RAS mm of the patient, origin at the scanner's centre, as in our images: the
run's position of the patient brings it into the scanner). NIfTI values
are in 1/mm, 1/cm, or HU of a CT, converted with two straight lines (J. P. J. Carney et al., Med.
Phys. 33 (2006) 976, for 120 kVp; after C. Burger et al., Eur. J. Nucl. Med. 29 (2002) 922):

    µ · cm = 9.6e-5 (HU + 1000)               HU ≤ 47
    µ · cm = 5.10e-5 (HU + 1000) + 4.71e-2    HU > 47

At 80 kVp this puts bone some 10 % too high.

Neither format holds DICOM's frame of reference. A map made from a CT may name it beside: an npz as
``frame_of_reference_uid``, a NIfTI in the JSON beside it as ``FrameOfReferenceUID``. Naming it says
that the map's coordinates are still the CT's.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from daq.folder.run_identity import is_uid
from hw.bounded_files import (
    MIB,
    FileRefused,
    check_size,
    read_npz,
    read_object,
    regular_file,
)
from hw.messages.patient_position import UNKNOWN, PatientPosition, axes_in_patient
from recon.core.grid import Image, ImageGrid, ReconError

MAX_MU_PER_MM = 0.05
"""Above any tissue or implant of plastic (cortical bone 0.0172/mm, NIST XCOM at 511 keV); water in
1/cm would be 0.096, so a map in the wrong unit is caught."""


MAX_PER_CM, LEAST_MAX_MU = 0.5, 0.003

FRAME_KEY = "frame_of_reference_uid"
VOXEL_BOUNDS_MM = (0.01, 500.0)
MOST_VOXELS = 1 << 30
FINER, LEAST_MOST_BYTES = 8, 256 * MIB
"""An npz may have so many voxels to one of the image, or so many bytes."""


MuUnit = Literal["auto", "per_mm", "per_cm", "hu"]


class MuMapError(ReconError):
    """A µ map cannot be used; the message gives file, value and bound."""


def check_mu(mu: npt.NDArray[np.floating], *, source: str = "µ map") -> None:
    """Raise :class:`MuMapError` unless ``mu`` is a plausible map in 1/mm."""
    if mu.ndim != 3 or not mu.size:
        raise MuMapError(f"{source}: mu_per_mm has shape {mu.shape}, must be 3-D [x, y, z]")
    if not np.isfinite(mu).all():
        raise MuMapError(f"{source}: {int((~np.isfinite(mu)).sum())} voxels are not finite")
    if mu.min() < 0 or mu.max() > MAX_MU_PER_MM:
        raise MuMapError(
            f"{source}: µ ranges {mu.min():.4g}..{mu.max():.4g}, must lie in 0..{MAX_MU_PER_MM} "
            "per mm (water 0.0096); a map in 1/cm must be divided by 10"
        )


def load_mu_map(
    path: Path,
    grid: ImageGrid,
    *,
    unit: MuUnit = "auto",
    position: PatientPosition = UNKNOWN,
) -> Image:
    """Return the µ map of a file in 1/mm on ``grid``; outside the map µ is 0.

    Parameters
    ----------
    position : how the patient lay whom a NIfTI's RAS is of; an npz is in the scanner's frame
    unit : of NIfTI values. "auto" takes 1/mm for maxima up to 0.05 and 1/cm for 0.05 to 0.5, and
        refuses the rest; HU must be stated. An npz is always in 1/mm

    Raises
    ------
    MuMapError
        if the file cannot be read, values are out of bounds, or the map misses the grid.
    """
    if path.name.endswith((".nii", ".nii.gz")):
        return _load_nifti(path, grid, unit, position)
    if unit not in ("auto", "per_mm"):
        raise MuMapError(f"{path}: an npz holds mu_per_mm; the unit {unit} is for NIfTI files")
    return _load_npz(path, grid)


def frame_of_reference(path: Path) -> str:
    """Return the DICOM UID of the frame of reference that a µ map names, "" if none.

    Raises
    ------
    MuMapError
        if what is named is no UID.
    """
    if not path.exists():
        return ""
    found = _named_in_json(path) if path.name.endswith((".nii", ".nii.gz")) else _named_in(path)
    if found and not is_uid(found):
        raise MuMapError(
            f"{path}: its frame of reference {found!r} is no DICOM UID, such as 1.2.840.10008.1: "
            "give that of the CT, or leave it out"
        )
    return found


def _named_in(path: Path) -> str:
    try:
        content = read_npz(path, most_bytes=MIB, only={FRAME_KEY})
        return str(content[FRAME_KEY]) if FRAME_KEY in content else ""
    except Exception as error:
        raise MuMapError(f"{path}: no µ map (npz with mu_per_mm, voxel_mm): {error}") from error


def _named_in_json(path: Path) -> str:
    beside = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    if not beside.exists():
        return ""
    try:
        return str(read_object(beside).get("FrameOfReferenceUID", ""))
    except FileRefused as error:
        raise MuMapError(f"{beside}: no JSON object: {error}; correct it, or remove it") from error


def hu_to_mu(hounsfield: npt.NDArray[np.floating]) -> Image:
    """Return µ at 511 keV in 1/mm for CT numbers (formula: module docstring)."""
    above_air = hounsfield + 1000.0
    per_cm = np.where(hounsfield <= 47, 9.6e-5 * above_air, 5.10e-5 * above_air + 4.71e-2)
    return np.asarray(np.clip(per_cm / 10.0, 0.0, MAX_MU_PER_MM), dtype=np.float32)


def _load_nifti(path: Path, grid: ImageGrid, unit: MuUnit, position: PatientPosition) -> Image:
    try:
        with regular_file(path) as opened:
            packed = os.fstat(opened.fileno()).st_size
        file = nib.load(path)
        shape = tuple(file.shape)
        size = math.prod(shape)
        check_size(size * file.get_data_dtype().itemsize, packed, most_bytes=8 * MOST_VOXELS)
        values = np.asarray(file.dataobj if size <= MOST_VOXELS else 0, dtype=np.float32)
        affine = np.asarray(file.affine, dtype=np.float64)
    except Exception as error:
        raise MuMapError(f"{path}: no NIfTI image: {error}") from error
    if math.prod(shape[:3]) != size or len(shape) < 3 or not 0 < size <= MOST_VOXELS:
        raise MuMapError(f"{path}: an image of {shape} voxels: a µ map is one 3-D image")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine)) < 1e-9:
        raise MuMapError(f"{path}: its affine places no 3-D image: {affine.tolist()}")
    values = values.reshape(shape[:3])
    mu = _in_per_mm(values, unit, path)
    check_mu(mu, source=str(path))
    # index on our grid → RAS mm of the patient → index in the file
    turn, ours = axes_in_patient(position), np.eye(4)
    ours[:3, :3] = turn @ np.diag(grid.voxel_mm)
    ours[:3, 3] = turn @ grid.origin_mm
    to_file = np.linalg.inv(affine) @ ours
    on_grid = ndimage.affine_transform(
        mu, to_file[:3, :3], to_file[:3, 3], grid.shape, np.float32, order=1, mode="constant"
    )
    if mu.any() and not on_grid.any():
        raise MuMapError(
            f"{path}: nothing of the map lies in the image ({grid.shape} voxels of "
            f"{grid.voxel_mm} mm around the scanner's centre): its affine must place it there"
        )
    return np.ascontiguousarray(on_grid)


def _in_per_mm(values: Image, unit: MuUnit, path: Path) -> Image:
    if not np.isfinite(values).all():
        raise MuMapError(f"{path}: {int((~np.isfinite(values)).sum())} voxels are not finite")
    if unit == "hu":
        if values.min() > -200:
            raise MuMapError(f"{path}: the least value is {values.min():g}, air has -1000 HU")
        return hu_to_mu(values)
    if unit == "auto":
        low, high = float(values.min()), float(values.max())
        if low < 0 or not LEAST_MAX_MU < high <= MAX_PER_CM:
            raise MuMapError(
                f"{path}: values range {low:g}..{high:g}: µ of a body has maxima of 0.0096 to "
                "0.02 per mm, 0.096 to 0.2 per cm; say the unit (--mu-unit per-mm, per-cm, hu)"
            )
        unit = "per_mm" if high <= MAX_MU_PER_MM else "per_cm"
    return values if unit == "per_mm" else np.asarray(values / np.float32(10.0))


def _load_npz(path: Path, grid: ImageGrid) -> Image:
    try:
        most_bytes = max(LEAST_MOST_BYTES, FINER * 8 * math.prod(grid.shape))
        content = read_npz(path, most_bytes=most_bytes, only={"mu_per_mm", "voxel_mm"})
        mu = content["mu_per_mm"].astype(np.float32, casting="same_kind")
        voxel = tuple(float(size) for size in np.ravel(content["voxel_mm"]))
    except Exception as error:
        raise MuMapError(f"{path}: no µ map (npz with mu_per_mm, voxel_mm): {error}") from error
    check_mu(mu, source=str(path))
    least, most = VOXEL_BOUNDS_MM
    if len(voxel) != 3 or not all(least <= size <= most for size in voxel):
        raise MuMapError(f"{path}: voxel_mm = {voxel}: three sizes in {least:g}..{most:g} mm")
    return resample(mu, voxel, grid)


def resample(mu: Image, voxel_mm: tuple[float, ...], grid: ImageGrid) -> Image:
    """Return a centred image of another voxel size on ``grid`` (trilinear, 0 outside)."""
    if mu.shape == grid.shape and np.allclose(voxel_mm, grid.voxel_mm) and grid.centred:
        return np.ascontiguousarray(mu, dtype=np.float32)
    ratio = np.array(grid.voxel_mm) / np.array(voxel_mm)
    offset = (np.array(mu.shape) - 1) / 2 + grid.origin_mm / np.array(voxel_mm)
    on_grid = ndimage.affine_transform(
        mu, ratio, offset, output_shape=grid.shape, order=1, mode="constant", output=np.float32
    )
    return np.ascontiguousarray(on_grid)
