"""The names of the files in a run folder; its configuration, tag and own calibration."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from daq.errors import LogError, RunError, StorageError
from daq.folder import calibration_set
from daq.folder import listmode_log as listmode
from daq.folder import raw_log as rawlog
from daq.folder.calibration_set import CalibrationSet
from daq.folder.format_version import check_format
from daq.folder.listmode_log import ListmodeReader
from daq.folder.plain_json import json_text, read_object
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig
from hw.bounded_files import FileRefused, regular_file
from hw.errors import FileWriteError
from hw.whole_file import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, sync_folder, whole_file


def run_config(folder: Path) -> RunConfig:
    """Return the configuration in a run folder; raises LogError if it is unreadable."""
    path = folder / CONFIG_NAME
    try:
        head = read_object(path)
        check_format(path, head)
        return config_in(head)
    except LogError as error:
        raise LogError(f"{path} is not a run configuration: {error}") from error


def config_in(head: dict[str, Any]) -> RunConfig:
    """Return the configuration in what ``run.json`` or a log's head holds; raises LogError."""
    try:
        return msgspec.convert(head["config"], RunConfig)
    except KeyError:
        raise LogError("there is no config in it") from None
    except msgspec.ValidationError as error:
        raise LogError(str(error)) from error


def armed_at(folder: Path) -> dt.datetime | None:
    """Return when a run was armed, None if not recorded."""
    return _time_in_config(folder, "created")


def start_recorded(folder: Path) -> dt.datetime | None:
    """Return when a run was started, None if not recorded."""
    return _time_in_config(folder, "started")


def started_at(folder: Path) -> dt.datetime | None:
    """Return the wall time of detector time 0; of runs that do not say it, when they were armed."""
    return start_recorded(folder) or armed_at(folder)


def _time_in_config(folder: Path, key: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(read_object(folder / CONFIG_NAME)[key])
    except (LogError, ValueError, KeyError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def run_tag(folder: Path) -> int:
    """Return the tag that the run's data frames carry; raises LogError."""
    return tag_in(RawLogReader(folder / rawlog.FILE_NAME).head)


def tag_in(head: dict[str, Any]) -> int:
    """Return the tag in what ``run.json`` or a log's head holds; raises LogError."""
    tag = head.get("run_tag")
    if not isinstance(tag, int) or not 0 <= tag < 2**32:
        raise LogError(f"run_tag {tag!r} in the log's head is no tag, 0 to {2**32 - 1}")
    return tag


def own_calibration(folder: Path) -> CalibrationSet | None:
    """Return the calibration set that the run was sorted with, None if there was none.

    Raises
    ------
    CalibrationSetError
        if the folder's set is missing, or is not the one named in the head of the raw log (of the
        list-mode log, if the raw log is missing, as for imported coincidences, or damaged).
    """
    named = _head_of_logs(folder).get("calibration", "none")
    if named == "none":
        return None
    path = folder / calibration_set.FILE_NAME
    found = calibration_set.load_set(path)
    if found.identity != named:
        raise calibration_set.CalibrationSetError(
            f"{path} is {found.identity}, but the run was sorted with {named}: put that set back"
        )
    return found


def _head_of_logs(folder: Path) -> dict[str, Any]:
    try:
        return RawLogReader(folder / rawlog.FILE_NAME).head
    except LogError:
        return ListmodeReader(folder / listmode.FILE_NAME).head


CONFIG_NAME = "run.json"
SUMMARY_NAME = "summary.json"
FAULTS_NAME = "faults.json"
SCANNER_NAME = "scanner.toml"
MU_MAP_NAME = "mu_map.npz"
ACTIVITY_NAME = "activity.json"
"""The factor to Bq/mL that images of the run have, where it has one."""

_ROW_OF_NUMBERS = re.compile(r"\[\n[-\d.eE+,\s]+\]")
"""In indented JSON, a list of numbers, which is put on one line. No string has line breaks."""


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON file, completely or not at all; it is on the disk then. Raises StorageError.

    Numbers that JSON does not have become null; :mod:`daq.folder.plain_json`.
    """
    text = json_text(value, indent=1)
    text = _ROW_OF_NUMBERS.sub(lambda row: " ".join(row[0].split()), text)
    with _stored(path) as file:
        file.write(f"{text}\n".encode())


def write_text(path: Path, text: str) -> None:
    """Write a text file, completely or not at all; it is on the disk then. Raises StorageError."""
    with _stored(path) as file:
        file.write(text.encode())


def copy_in(source: Path, path: Path, *, most_bytes: int) -> None:
    """Copy a file into a run, completely or not at all; it is on the disk then.

    Raises
    ------
    StorageError
        if ``source`` is no regular file or has more than ``most_bytes``, or the disk refuses.
    """
    try:
        with regular_file(source, most_bytes=most_bytes) as file, _stored(path) as copy:
            left = os.fstat(file.fileno()).st_size
            while left and (part := file.read(min(left, 2**20))):
                copy.write(part)
                left -= len(part)
    except FileRefused as error:
        raise StorageError(f"cannot copy {source} into the run: {error}") from error


def write_arrays(path: Path, *, compressed: bool = False, **arrays: Any) -> None:
    """Write arrays to an ``.npz`` file, completely or not at all; raises StorageError."""
    with _stored(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[BinaryIO]:
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent} any more")
    try:
        with whole_file(path, mode=PRIVATE_FILE) as file:
            yield file
    except FileWriteError as error:
        raise StorageError(str(error)) from error


def new_run_folder(root: Path, config: RunConfig, scanner: str, created: dt.datetime) -> Path:
    """Make a run's folder, which must not exist yet: for its owner alone, and on the disk.

    Raises RunError or StorageError.
    """
    plain = Path(config.name).name == config.name and config.name.isprintable()
    if not plain or config.name.startswith("."):
        raise RunError(f"run name {config.name!r}: a plain folder name is needed, without /")
    stamp = created.astimezone().strftime("%Y%m%d-%H%M%S")
    names = [config.name] if config.name else _automatic_names(f"{stamp}-{scanner}")
    for name in names:
        try:
            make_folder(root)
            sync_folder(root.parent)  # whoever made the root may not have
            (root / name).mkdir(mode=PRIVATE_FOLDER)
            sync_folder(root)
        except FileExistsError:
            continue
        except OSError as error:
            raise StorageError(f"cannot make {root / name}: {error.strerror}") from error
        return (root / name).resolve()
    raise RunError(
        f"run folder {root / names[0]} exists already and is never written to again: "
        "choose another --name, or move it away"
    )


def _automatic_names(base: str) -> list[str]:
    return [base, *(f"{base}-{number}" for number in range(2, 100))]
