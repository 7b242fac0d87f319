"""Which stored runs a rule lets go, and why each of the others is kept.

A run is deleted only if all of this holds: it is closed, sound and not marked *keep*; it is as old
as the rule says; nothing of it waits to be sent; a copy has every file that it has now, read from
both disks at that moment and equal. In doubt it is kept, with the reason. What is wrong with one
folder concerns that folder alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from daq.archive.copied_files import FilesToCopy, files_of
from daq.archive.copy_check import differs, lacks
from daq.archive.run_copy import refuse_unsound
from daq.archive.run_deletion import delete_run
from daq.errors import DaqError, StorageError
from daq.folder.identity.identity_file import IDENTITY_NAME
from daq.folder.identity.review_file import read_review
from daq.folder.listing.archive_record import read_copies
from daq.folder.one_at_a_time import alone
from daq.folder.run_folder import CONFIG_NAME, armed_at, run_config
from hw.bounded_files import FileRefused, read_object, words_of

TO_SEND_NAME, OUTBOX_NAME = "to_send.json", "hospital"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rule:
    """older_than_days : least age of runs that may go; ``wanted_free``: bytes, None: all may go."""

    older_than_days: float = 0.0
    wanted_free: int | None = None


@dataclass(frozen=True)
class Fate:
    """What becomes of a run.

    goes : whether the rule lets it go; ``done``: whether it is gone
    why : in words; ``copy``: where it is, too
    failed : it should have gone, and did not: its copy is not what it should be, or a disk refused
    """

    name: str
    goes: bool
    why: str
    bytes: int = 0
    copy: str = ""
    done: bool = False
    failed: bool = False


def fates(
    root: Path, rule: Rule, *, now: dt.datetime, free: int, delete: bool, progress: Progress
) -> Iterator[Fate]:
    """Yield the fate of each run, the oldest first; with ``delete``, carry it out.

    Parameters
    ----------
    root : the folder of the runs
    rule : which runs may go
    now : with an offset from UTC; the age of a run counts up to then
    free : bytes that are free on the disk of the runs
    delete : whether to delete; without, the fates are only told
    progress : is told bytes done and all of them, while a copy is checked

    Raises
    ------
    RunError
        if another process deletes runs there
    """
    busy = f"another process is deleting runs in {root}: wait until it is done"
    with alone(root, busy=busy) if delete else nullcontext():
        for folder in sorted(_folders(root), key=_age_key):
            if rule.wanted_free is not None and free >= rule.wanted_free:
                yield Fate(folder.name, False, f"{words_of(free)} are free: as much as is wanted")
                continue
            fate = _fate(folder, rule, now=now, delete=delete, progress=progress)
            free += fate.bytes if fate.goes else 0
            yield fate


def _folders(root: Path) -> list[Path]:
    return [path.parent for path in root.glob(f"*/{CONFIG_NAME}")]


def _age_key(folder: Path) -> tuple[float, str]:
    armed = armed_at(folder)
    return (armed.timestamp() if armed else float("inf"), folder.name)


def _fate(folder: Path, rule: Rule, *, now: dt.datetime, delete: bool, progress: Progress) -> Fate:
    try:
        if words := _why_kept(folder, rule, now):
            return Fate(folder.name, False, words)
        files = files_of(folder, with_identity=True)
        copy, words = _copy_of(folder, files)
        if not copy:
            return Fate(folder.name, False, words, files.bytes)
        fate = Fate(folder.name, True, f"its copy is {copy}", files.bytes, str(copy))
        return _delete(folder, files, fate, now, progress) if delete else fate
    except (DaqError, OSError, ValueError) as error:
        return Fate(folder.name, False, str(error))


def _why_kept(folder: Path, rule: Rule, now: dt.datetime) -> str:
    """Return why a run is kept whatever copies there are, "" where nothing speaks for it."""
    if folder.is_symlink():
        return "it is a link to another place"
    run_config(folder)  # what cannot be read may be all that is left of a run
    refuse_unsound(folder)
    review = read_review(folder)
    if review is not None and review.verdict == "keep":
        return "it is marked keep"
    if words := waits_to_be_sent(folder):
        return words
    armed = armed_at(folder)
    if armed is None:
        return "it does not say when it was measured"
    days = (now - armed).total_seconds() / 86400
    if days < rule.older_than_days:
        return f"it is {days:.1f} days old, {rule.older_than_days:g} are wanted"
    return ""


def waits_to_be_sent(folder: Path) -> str:
    """Return why a run is kept for what is still to be sent of it, in words; "" for nothing.

    What goes to an archive lies in the outbox beside the runs (``tomoshibi hospital``). An object
    whose state cannot be read may be of any run, and a run that a later release wrote a list for
    is kept: it is not known here what of it has gone.
    """
    if (folder / TO_SEND_NAME).exists():
        return f"{TO_SEND_NAME}: what of it has been sent is not known to this release"
    for path in sorted((folder.parent / OUTBOX_NAME).glob("*@*.dcm")):
        run, state = _on_its_way(path.with_suffix(".json"))
        if state != "done" and run in ("", folder.name):
            what = f"{OUTBOX_NAME}/{path.name}"
            return f"{what} {'of it' if run else 'of some run'} is not yet in its archive for good"
    return ""


def _on_its_way(path: Path) -> tuple[str, str]:
    """Return of which run an object in the outbox is, and how far; "" where nobody can tell."""
    try:
        told = read_object(path)
    except (FileRefused, OSError):
        return "", ""
    return str(told.get("run", "")), str(told.get("state", "waiting"))


def _copy_of(folder: Path, files: FilesToCopy) -> tuple[Path | None, str]:
    """Return a copy that has all files by their sizes, or why there is none."""
    if files.left_out:
        return None, f"no copy has all of it: {files.left_out[0]}"
    copies = read_copies(folder)
    if not copies:
        return None, f"there is no copy: `tomoshibi archive {folder.name} DEST` makes one"
    words = ""
    for copy in reversed(copies):
        words = lacks(folder, files, Path(copy.place))
        if not words:
            return Path(copy.place), ""
        if words.startswith(IDENTITY_NAME):
            words = f"{IDENTITY_NAME} is in no copy: archive it --with-identity, or pseudonymise"
    return None, words


def _delete(
    folder: Path, files: FilesToCopy, fate: Fate, now: dt.datetime, progress: Progress
) -> Fate:
    busy = f"{folder.name} or its copy is being archived, recovered or deleted by another process"
    with alone(folder, busy=busy), alone(Path(fate.copy), busy=busy):  # no two take each other's
        if words := differs(folder, files, Path(fate.copy), progress):
            return replace(fate, goes=False, failed=True, why=words)
        try:
            delete_run(folder, files, copy=fate.copy, now=now)
        except StorageError as error:
            return replace(fate, goes=False, failed=True, why=str(error))
    return replace(fate, done=True)
