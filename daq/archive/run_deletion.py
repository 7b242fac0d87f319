"""A run deleted: said first in ``deleted_runs.jsonl`` beside the runs, out of sight, then removed.

It is moved to ``.deleting`` of the runs' folder, where nobody takes what is left of it for a run
that is damaged. A deletion that was broken off there is completed by the next.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
from pathlib import Path
from typing import Any

from daq.archive.copied_files import FilesToCopy, files_of
from daq.errors import RunError, StorageError
from hw.whole_file import PRIVATE_FILE, PRIVATE_FOLDER, sync_folder

GOING, LOG_NAME = ".deleting", "deleted_runs.jsonl"


def delete_run(folder: Path, files: FilesToCopy, *, copy: str, now: dt.datetime) -> None:
    """Delete a run that has these files, and no other.

    Raises
    ------
    RunError
        if the run has changed since its files were compared; it is back in its place
    StorageError
        if the disk refuses
    """
    going, root = folder.parent / GOING, folder.parent
    about = {"files": len(files.sizes), "bytes": files.bytes}
    try:
        finish_deletions(root)
        going.mkdir(mode=PRIVATE_FOLDER)
        _log(folder, {"deleted": now.isoformat(timespec="seconds"), "copy": copy, **about})
        moved = folder.rename(going / folder.name)
        if files_of(moved, with_identity=True) != files:
            moved.rename(folder)
            going.rmdir()
            _log(folder, {"kept": "it was changed meanwhile"})
            raise RunError(f"{folder.name} was changed meanwhile: it is kept")
        sync_folder(root)
        finish_deletions(root)
    except OSError as error:
        raise StorageError(f"cannot delete {folder}: {error}; the copy is {copy}") from error


def finish_deletions(root: Path) -> None:
    """Complete deletions that were broken off; raises OSError."""
    if (root / GOING).is_dir():
        shutil.rmtree(root / GOING)  # follows no links, and refuses to be one


def _log(folder: Path, about: dict[str, Any]) -> None:
    line = json.dumps({"run": folder.name, **about}, ensure_ascii=False)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    number = os.open(folder.parent / LOG_NAME, flags, PRIVATE_FILE)
    try:
        os.write(number, f"{line}\n".encode(errors="backslashreplace"))
        os.fsync(number)
    finally:
        os.close(number)
