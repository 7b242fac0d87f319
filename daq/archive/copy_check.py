"""Whether a copy has all that a run has now: by sizes, or by reading every byte of both."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from daq.archive.copied_files import LIST_NAME, FilesToCopy
from daq.archive.file_copy import read_again
from daq.errors import DaqError
from daq.folder.listing.manifest import entry_of

Progress = Callable[[int, int], None]


def lacks(folder: Path, files: FilesToCopy, place: Path) -> str:
    """Return what a copy lacks of a run, in words, by names and sizes: cheap; "" for nothing."""
    if not (place / LIST_NAME).is_file():
        return f"{place} is not there, or no whole copy: is its disk mounted?"
    for name, size in files.sizes.items():
        try:
            run, copy = (folder / name).lstat(), (place / name).lstat()
        except OSError:
            return f"{name} is not in {place}: archive the run again"
        if (run.st_dev, run.st_ino) == (copy.st_dev, copy.st_ino):
            return f"{place} is the run itself by another name, no copy"
        if copy.st_size != size:
            return f"{name} differs from {place}: archive the run again"
    return ""


def differs(folder: Path, files: FilesToCopy, place: Path, progress: Progress) -> str:
    """Return where a copy differs from a run, in words, by reading both; "" for nowhere."""
    if words := lacks(folder, files, place):
        return words
    done, total = 0, 2 * files.bytes
    for name, size in files.sizes.items():

        def told(part: int, before: int = done) -> None:
            progress(min(before + part, total), total)

        try:
            if entry_of(folder / name, told) != read_again(place / name, told):
                return f"{name} differs from {place}: `tomoshibi runs --verify` says which is right"
        except DaqError as error:
            return str(error)
        done += 2 * size
    return ""
