"""Images that go with a CASToR list: sensitivity (``castor-recon -sens``) and µ map (``-atn``).

CASToR's own Interfile: header .hdr with version of keys CASToRv3.1, values .img float32, x fastest,
on the axes of the scanner, which are ours. It has the sensitivity S_j of a voxel such that EM is

    λ_j ← λ_j / S_j · Σ_events w_j / (Σ w λ + b),      w: mm of the line in the voxel

(oSensitivityGenerator.cc). A factor of a line cancels from the sum over events, so S alone sets the
level and the evenness of the image; where it is given, CASToR computes none, and does not ask which
corrections of the list it would lack.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hw.whole_file import whole_file
from recon.core.grid import Image, ImageGrid


def write_castor_image(path: Path, image: Image, grid: ImageGrid, scanner: str) -> list[Path]:
    """Write ``path`` (.hdr) and its values beside it (.img); return both."""
    header, values = path.with_suffix(".hdr"), path.with_suffix(".img")
    with whole_file(values) as file:
        file.write(np.ascontiguousarray(image.T, dtype="<f4").data)
    with whole_file(header) as file:
        file.write(_header(values.name, grid, scanner).encode())
    return [header, values]


def _header(values: str, grid: ImageGrid, scanner: str) -> str:
    axes = [(1, 0), (2, 1), (3, 2)]
    middle_mm = [
        first + step * (count - 1) / 2
        for first, step, count in zip(grid.origin_mm, grid.voxel_mm, grid.shape, strict=True)
    ]
    lines = [
        "!INTERFILE :=",
        "!imaging modality := PET",
        "!version of keys := CASToRv3.1",
        "CASToR version := 3.1",
        "!GENERAL DATA :=",
        f"!originating system := {scanner}",
        "!data offset in bytes := 0",
        f"!name of data file := {values}",
        "!GENERAL IMAGE DATA",
        "!type of data := Static",
        f"!total number of images := {grid.shape[2]}",
        "imagedata byte order := LITTLEENDIAN",
        "!STATIC STUDY (General) :=",
        "number of dimensions := 3",
        *(f"!matrix size [{n}] := {grid.shape[axis]}" for n, axis in axes),
        "!number format := short float",
        "!number of bytes per pixel := 4",
        *(f"scaling factor (mm/pixel) [{n}] := {grid.voxel_mm[axis]:.9g}" for n, axis in axes),
        *(f"first pixel offset (mm) [{n}] := {middle_mm[axis]:.9g}" for n, axis in axes),
        "data rescale offset := 0",
        "data rescale slope := 1",
        "quantification units := 1",
        "!END OF INTERFILE :=",
    ]
    return "\n".join(lines) + "\n"
