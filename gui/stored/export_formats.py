"""The formats to which the console can export a stored run, and the commands that do it."""

from __future__ import annotations

from gui.kit.words import mark

EXPORTS: dict[str, tuple[str, str]] = {
    mark("image: NIfTI"): ("reconstruct", "nifti"),
    mark("image: DICOM"): ("reconstruct", "dicom"),
    mark("image: Interfile (STIR)"): ("reconstruct", "interfile"),
    mark("events: PETSIRD"): ("export", "petsird"),
    mark("events: CASToR"): ("export", "castor"),
    mark("events: SAFIR (STIR)"): ("export", "safir"),
}
"""Words to the command and its ``--format``. Images are made anew from the run, by its defaults."""
