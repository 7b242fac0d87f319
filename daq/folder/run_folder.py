"""The names of the files in a run folder; its configuration, tag and own calibration."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
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
from daq.folder.raw_log import RawLogReader
from daq.folder.run_config import RunConfig
from hw.bounded_files import FileRefused, read_object
from hw.errors import FileWriteError
from hw.whole_file import whole_file


def run_config(folder: Path) -> RunConfig:
    """Return the configuration in a run folder; raises LogError if it is unreadable."""
    path = folder / CONFIG_NAME
    try:
        head = read_object(path)
        check_format(path, head)
        return msgspec.convert(head["config"], RunConfig)
    except (FileRefused, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{path} is not a run configuration: {error}") from error


def armed_at(folder: Path) -> dt.datetime | None:
    """Return when a run was armed, None if not recorded."""
    try:
        head = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        created = dt.datetime.fromisoformat(head["created"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return created if created.tzinfo else created.replace(tzinfo=dt.UTC)


def run_tag(folder: Path) -> int:
    """Return the tag that the run's data frames carry."""
    return int(RawLogReader(folder / rawlog.FILE_NAME).head["run_tag"])


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
    """Write a JSON file, completely or not at all; raises StorageError."""
    text = json.dumps(value, ensure_ascii=False, indent=1, default=_plain)
    text = _ROW_OF_NUMBERS.sub(lambda row: " ".join(row[0].split()), text)
    with _stored(path) as file:
        file.write(f"{text}\n".encode())


def write_arrays(path: Path, *, compressed: bool = False, **arrays: Any) -> None:
    """Write arrays to an ``.npz`` file, completely or not at all; raises StorageError."""
    with _stored(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[BinaryIO]:
    if not path.parent.is_dir():
        raise StorageError(f"cannot write {path}: there is no folder {path.parent} any more")
    try:
        with whole_file(path) as file:
            yield file
    except FileWriteError as error:
        raise StorageError(str(error)) from error


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def new_run_folder(root: Path, config: RunConfig, scanner: str, created: dt.datetime) -> Path:
    """Make a run's folder, which must not exist yet; raises RunError or StorageError."""
    plain = Path(config.name).name == config.name and config.name.isprintable()
    if not plain or config.name.startswith("."):
        raise RunError(f"run name {config.name!r}: a plain folder name is needed, without /")
    stamp = created.astimezone().strftime("%Y%m%d-%H%M%S")
    names = [config.name] if config.name else _automatic_names(f"{stamp}-{scanner}")
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {root / names[0]}: {error.strerror}") from error
    for name in names:
        try:
            (root / name).mkdir(mode=0o700)  # a run is for its owner's eyes
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
