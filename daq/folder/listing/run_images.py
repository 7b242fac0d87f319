"""Where a run keeps its images, and what was exported of it."""

from __future__ import annotations

from pathlib import Path

IMAGES, EXPORTS, ENDING = "images", "export", ".nii.gz"


def images_of(folder: Path) -> list[Path]:
    """Return a run's NIfTI images, the newest first."""
    found = [path for path in (folder / IMAGES).glob(f"*{ENDING}") if path.is_file()]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)
