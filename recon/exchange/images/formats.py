"""The image formats that can be written, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.common import CommandError

if TYPE_CHECKING:
    from recon.offline.reconstruction import Reconstruction

FORMATS = ("nifti", "dicom", "interfile")


def formats_of(text: str) -> tuple[str, ...]:
    """Return the formats in a list such as ``nifti,dicom``."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in FORMATS:
            raise CommandError(f"--format {name}: there are {', '.join(FORMATS)}")
    if not names:
        raise CommandError(f"--format: name one or more of {', '.join(FORMATS)}")
    return names


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".nii")


def write_images(made: Reconstruction, path: Path, formats: tuple[str, ...]) -> list[Path]:
    """Write the image in every format; ``path`` is the NIfTI's, the others go beside it."""
    from recon.exchange.images.dicom_pet import write_dicom_pet
    from recon.exchange.images.interfile import write_interfile
    from recon.exchange.images.nifti import write_nifti
    from recon.exchange.scan_facts import nameable

    stem, about = _stem(path), nameable(made.metadata)
    written: list[Path] = []
    if "nifti" in formats:
        write_nifti(path, made.image, made.grid, metadata=made.metadata, frames=made.frames)
        written.append(path)
    if "dicom" in formats:
        folder = path.with_name(f"{stem}-dicom")
        write_dicom_pet(folder, made.image, made.grid, made.frames, _flat(about))
        written.append(folder)
    if "interfile" in formats:
        target = path.with_name(f"{stem}.hv")
        written += write_interfile(target, made.image, made.grid, made.frames, about)[:1]
    return written


def _flat(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the metadata with what DICOM asks for of the scatter."""
    fraction = metadata["corrections"]["scatter"].get("fraction")
    return metadata if fraction is None else {**metadata, "scatter_fraction": fraction}
