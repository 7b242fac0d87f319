"""What a stored run can be written as from the console, and the command that does it."""

from __future__ import annotations

EXPORTS: dict[str, tuple[str, str]] = {
    "image: NIfTI": ("reconstruct", "nifti"),
    "image: DICOM": ("reconstruct", "dicom"),
    "image: Interfile (STIR)": ("reconstruct", "interfile"),
    "events: PETSIRD": ("export", "petsird"),
    "events: CASToR": ("export", "castor"),
    "events: SAFIR (STIR)": ("export", "safir"),
}
"""Words to the command and its ``--format``. Images are made anew from the run, by its defaults."""
