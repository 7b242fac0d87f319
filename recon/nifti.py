"""NIfTI: the image with its orientation, and a JSON file beside it that says the rest.

The scanner's frame is right-handed with z along the bore. The patient is assumed head first and
supine: +z is superior and +y (the ceiling) anterior, so +x = y × z is the patient's right. The
frame then *is* NIfTI's RAS and the affine is diagonal. Who lies otherwise must be turned by the
reader; the sidecar states the assumption.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from recon.grid import Image, ImageGrid

ORIENTATION = (
    "head first supine assumed: +x right, +y anterior, +z superior (RAS), origin at the centre "
    "of the scanner"
)


def nifti_affine(grid: ImageGrid) -> np.ndarray:
    """Return the 4 × 4 affine from voxel indices to RAS mm."""
    affine = np.diag([*grid.voxel_mm, 1.0])
    affine[:3, 3] = grid.origin_mm
    return affine


def write_nifti(path: Path, image: Image, grid: ImageGrid, metadata: dict[str, Any]) -> Path:
    """Write ``image`` to ``path`` (.nii or .nii.gz) and ``metadata`` to the .json beside it.

    Returns the path of the JSON file. The header's 79-byte description names counts and
    corrections; everything is in the JSON.
    """
    grid.check(image)
    nifti = nib.Nifti1Image(np.asarray(image, dtype=np.float32), nifti_affine(grid))
    nifti.header.set_xyzt_units("mm", "sec")
    nifti.set_sform(nifti_affine(grid), code=1)
    nifti.set_qform(nifti_affine(grid), code=1)
    nifti.header["descrip"] = description(metadata).encode("ascii", "replace")[:79]
    part = path.with_name(f".part-{path.name}")
    nib.save(nifti, part)
    part.replace(path)
    sidecar = path.with_name(path.name.removesuffix(".gz").removesuffix(".nii") + ".json")
    about = {"orientation": ORIENTATION, "shape": list(image.shape), **metadata}
    sidecar.write_text(json.dumps(about, indent=2, default=str) + "\n", encoding="utf-8")
    return sidecar


def description(metadata: dict[str, Any]) -> str:
    """Return the short description: software, counts, and which corrections were applied."""
    applied = [name[:5] for name, on in metadata.get("corrections", {}).items() if on]
    counts = metadata.get("prompts_used", 0)
    return f"tomoshibi {counts} prompts; corr: {','.join(applied) or 'none'}"
