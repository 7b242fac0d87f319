"""Where a reconstruction's images go, and in which formats."""

from __future__ import annotations

import os
from pathlib import Path

from daq.cli.common import CommandError, make_folder
from recon.exchange.images.formats import stem_of

RUN_FILES = ("run.json", "summary.json", "activity.json", "uids.json")
"""Files of a run that the JSON beside an image must not overwrite."""


def check_output(path: Path) -> Path:
    """Return the path; refuse it before the work if no file can be written there."""
    if not path.name or path.is_dir():
        raise CommandError(f"--output {path} is a folder: give the name of a file in it")
    if not path.name.endswith((".nii", ".nii.gz")):
        raise CommandError(f"--output {path}: its name must end in .nii or .nii.gz")
    if (path.parent / "run.json").exists() and f"{stem_of(path)}.json" in RUN_FILES:
        raise CommandError(f"--output {path} would overwrite a file of the run: give another name")
    if path.exists() and not path.is_file():
        raise CommandError(f"--output {path} is not a file: give another")
    make_folder(path.parent)
    if not os.access(path.parent, os.W_OK):
        raise CommandError(f"--output: {path.parent} cannot be written to: give another folder")
    return path
