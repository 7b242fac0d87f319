"""The images that are stored with a run."""

from __future__ import annotations

from pathlib import Path

FOLDER, ENDING = "images", ".nii.gz"


def images_of(folder: Path) -> list[Path]:
    """Return a run's NIfTI images, the newest first."""
    found = [path for path in (folder / FOLDER).glob(f"*{ENDING}") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
