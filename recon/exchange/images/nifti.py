"""NIfTI: the image with its orientation, and a JSON file beside it with the rest.

The scanner's frame is right-handed with z along the bore. For a patient head first and supine +z is
superior and +y (the ceiling) anterior, so +x = y × z is the patient's right. The frame then *is*
NIfTI's RAS. For other positions the affine turns: it leads to RAS of the patient whoever lies how,
with its origin at the scanner's centre, so that a viewer's letters are right. Voxels stay as they
are, [x, y, z] of the scanner. The sidecar says how the patient lay and where the scanner's axes
point; DICOM files of the same image have the same places
(:mod:`recon.exchange.images.patient_axes`).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import numpy.typing as npt

from hw.messages.patient_position import AXES, PatientPosition, axes_in_patient
from hw.whole_file import whole_file
from recon.core.frame_times import FrameTime, as_volumes
from recon.core.grid import ImageGrid
from recon.exchange.images.bids_pet import bids_keys
from recon.exchange.scan_facts import as_position, is_applied

ORIGIN = "origin at the centre of the scanner"
_OPPOSITE = str.maketrans("LPSRAI", "RAILPS")


def orientation_words(position: PatientPosition) -> str:
    """Describe the axes of an image for a patient in this position."""
    if position in ("unknown", "HFS"):
        assumed = " assumed (position not known)" if position == "unknown" else ""
        return f"head first supine{assumed}: +x right, +y anterior, +z superior (RAS), {ORIGIN}"
    right_up = AXES[position][:2].translate(_OPPOSITE)
    axes = f"+x {right_up[0]}, +y {right_up[1]}, +z {AXES[position][2]}"
    return f"the patient lay {position}: the scanner's {axes}; the affine leads to RAS, {ORIGIN}"


def nifti_affine(grid: ImageGrid, position: PatientPosition = "HFS") -> np.ndarray:
    """Return the 4 × 4 affine from voxel indices to RAS mm of a patient in this position."""
    turn, affine = axes_in_patient(position), np.eye(4)
    affine[:3, :3] = turn @ np.diag(grid.voxel_mm)
    affine[:3, 3] = turn @ grid.origin_mm
    return affine + 0.0  # no -0


def write_nifti(
    path: Path,
    image: npt.NDArray[np.floating[Any]],
    grid: ImageGrid,
    metadata: Mapping[str, Any],
    frames: Sequence[FrameTime] = (),
) -> Path:
    """Write ``image`` to ``path`` (.nii or .nii.gz) and ``metadata`` to the .json beside it.

    Returns the path of the JSON file. The header's 79-byte description names counts and
    corrections; everything is in the JSON.

    Parameters
    ----------
    image : [x, y, z], or [x, y, z, frame]
    frames : of a PET image, one per volume; the JSON has their times and what BIDS requires. The
        header's time step is their length if all are equal, else 0 (NIfTI cannot express more)

    Raises
    ------
    ExchangeError
        if the shape does not fit, a voxel is not finite, the patient's position is none, or the
        file cannot be written.
    """
    position = as_position(metadata.get("patient_position"))
    if frames or np.ndim(image) != 3:
        volumes: npt.NDArray[Any] = as_volumes(image, grid, frames)
        volumes = volumes[..., 0] if np.ndim(image) == 3 else volumes
    else:
        grid.check(image)
        volumes = np.asarray(image, dtype=np.float32)
    affine = nifti_affine(grid, position)
    nifti = nib.Nifti1Image(volumes, affine)
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    if volumes.ndim == 4:
        nifti.header["pixdim"][4] = _common_duration_s(frames)
    nifti.header["descrip"] = description(metadata).encode("ascii", "replace")[:79]
    with whole_file(path) as file:
        _write_image(nifti, file, packed=path.name.endswith(".gz"))
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    about = {"orientation": orientation_words(position), "shape": list(volumes.shape), **metadata}
    if frames:
        about |= bids_keys(metadata) | _frame_times(frames)
    with whole_file(sidecar) as file:
        file.write((json.dumps(about, indent=2, default=str) + "\n").encode())
    return sidecar


def _write_image(nifti: Any, file: BinaryIO, *, packed: bool) -> None:
    if not packed:
        nifti.to_stream(file)
        return
    # without a name and a time the same image gives the same bytes
    with gzip.GzipFile(filename="", mode="wb", compresslevel=1, mtime=0, fileobj=file) as stream:
        nifti.to_stream(stream)


def _common_duration_s(frames: Sequence[FrameTime]) -> float:
    durations = {frame.duration_s for frame in frames}
    return durations.pop() if len(durations) == 1 else 0.0


def _frame_times(frames: Sequence[FrameTime]) -> dict[str, list[Any]]:
    """Return frame times under the keys of BIDS (PET, "FrameTimesStart", s), and what else is known
    about the frames."""
    times: dict[str, list[Any]] = {
        "FrameTimesStart": [frame.start_s for frame in frames],
        "FrameDuration": [frame.duration_s for frame in frames],
        "DecayCorrectionFactor": [frame.decay_factor for frame in frames],
    }
    if any(frame.gate is not None for frame in frames):
        times["gates"] = [frame.gate for frame in frames]
    if any(frame.prompts is not None for frame in frames):
        times["frame_prompts"] = [frame.prompts for frame in frames]
    return times


def description(metadata: Mapping[str, Any]) -> str:
    """Return the short description: software, counts, and which corrections were applied."""
    applied = [name[:5] for name, on in metadata.get("corrections", {}).items() if is_applied(on)]
    counts = metadata.get("prompts_used", 0)
    return f"tomoshibi {counts} prompts; corr: {','.join(applied) or 'none'}"
