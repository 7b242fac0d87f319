"""The image formats that can be written: one table, for PET and SPECT, offline and from a notebook.

A new format is one function and one line in :data:`WRITERS`; the command line, its errors and help
texts take the names from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from recon.core.frame_times import FrameTime
from recon.core.grid import Image, ImageGrid
from recon.core.noise_file import write_parts
from recon.core.noise_parts import NoiseParts
from recon.exchange.errors import ExchangeError
from recon.exchange.images.bids_folder import write_bids
from recon.exchange.images.dicom_nm import write_dicom_nm
from recon.exchange.images.dicom_pet import write_dicom_pet
from recon.exchange.images.hdf5 import write_hdf5
from recon.exchange.images.interfile import write_interfile
from recon.exchange.images.nifti import write_nifti
from recon.exchange.scan_facts import nameable


@dataclass(frozen=True)
class MadeImage:
    """An image with everything the formats record about it.

    image : (x, y, z) or (x, y, z, frame) f4
    frames : the time of each volume
    metadata : what was applied, counted and measured; becomes the JSON beside a NIfTI file
    modality : as in DICOM
    parts : of each volume, which tell its noise; they go beside a NIfTI file
    """

    image: Image
    grid: ImageGrid
    frames: Sequence[FrameTime]
    metadata: dict[str, Any]
    modality: Literal["PET", "SPECT"] = "PET"
    parts: Sequence[NoiseParts | None] = ()


Writer = Callable[[MadeImage, Path], Path]
"""Writes one format; the path is the NIfTI file's, the result is the file or folder to open."""


NO_SPECT = "--format bids: BIDS has a place for PET images, and none for SPECT"


def stem_of(path: Path) -> str:
    """Return a NIfTI file's name without .nii or .nii.gz."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def _nifti(made: MadeImage, path: Path) -> Path:
    frames = made.frames if made.modality == "PET" else ()
    write_nifti(path, made.image, made.grid, metadata=made.metadata, frames=frames)
    write_parts(path, made.parts)
    return path


def _dicom(made: MadeImage, path: Path) -> Path:
    if made.modality == "SPECT":
        file = path.with_name(f"{stem_of(path)}.dcm")
        return write_dicom_nm(file, made.image, made.grid, made.frames, made.metadata)[0]
    folder = path.with_name(f"{stem_of(path)}-dicom")
    write_dicom_pet(folder, made.image, made.grid, made.frames, _with_scatter(made.metadata))
    return folder


def _interfile(made: MadeImage, path: Path) -> Path:
    header = path.with_name(f"{stem_of(path)}.hv")
    return write_interfile(header, made.image, made.grid, made.frames, made.metadata)[0]


def _bids(made: MadeImage, path: Path) -> Path:
    if made.modality != "PET":
        raise ExchangeError(NO_SPECT)
    folder = path.with_name(f"{stem_of(path)}-bids")
    write_bids(folder, made.image, made.grid, made.frames, made.metadata)
    return folder


def _hdf5(made: MadeImage, path: Path) -> Path:
    file = path.with_name(f"{stem_of(path)}.h5")
    return write_hdf5(file, made.image, made.grid, made.frames, made.metadata)


def _with_scatter(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata with what DICOM requires about scatter."""
    said = metadata.get("corrections", {}).get("scatter")
    fraction = said.get("fraction") if isinstance(said, dict) else None
    return metadata if fraction is None else {**metadata, "scatter_fraction": fraction}


WRITERS: dict[str, Writer] = {
    "nifti": _nifti, "dicom": _dicom, "interfile": _interfile, "bids": _bids, "hdf5": _hdf5,
}  # fmt: skip
"""Every format by name, in the order of the help texts."""


def formats_of(text: str, *, modality: str = "PET") -> tuple[str, ...]:
    """Return the formats in a list such as ``nifti,dicom``; raises ExchangeError for one that is
    unknown, or has no place for the modality."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in WRITERS:
            raise ExchangeError(f"--format {name}: choose from {', '.join(WRITERS)}")
    if modality == "SPECT" and "bids" in names:
        raise ExchangeError(NO_SPECT)
    if not names:
        raise ExchangeError(f"--format: name one or more of {', '.join(WRITERS)}")
    return names


def write_images(made: MadeImage, path: Path, formats: Sequence[str]) -> list[Path]:
    """Write the image in every format; ``path`` is the NIfTI's, the others go beside it.

    Raises
    ------
    ExchangeError, FileWriteError
        if a format cannot hold the image, or it cannot be written to disk.
    """
    known = replace(made, metadata=nameable(made.metadata)) if made.modality == "PET" else made
    return [WRITERS[name](made if name == "nifti" else known, path) for name in formats]
