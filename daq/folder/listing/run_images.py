"""Where a run keeps its images, and what was exported of it."""

from __future__ import annotations

from pathlib import Path

IMAGES, EXPORTS, ENDING = "images", "export", ".nii.gz"


PLAIN = "_unfiltered"
"""Of an image's name, where it is one without the display's filter, beside the delivered one."""


def images_of(folder: Path) -> list[Path]:
    """Return a run's NIfTI images, the newest first; one that stands beside another, after it."""
    found = [path for path in (folder / IMAGES).glob(f"*{ENDING}") if path.is_file()]
    made_s = {path: path.stat().st_mtime for path in found}

    def order(path: Path) -> tuple[float, bool]:
        delivered = path.with_name(path.name.replace(PLAIN, ""))
        return -made_s.get(delivered, made_s[path]), delivered != path

    return sorted(found, key=order)
