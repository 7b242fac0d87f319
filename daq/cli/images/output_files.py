"""Where a reconstruction's images go, so that none overwrites another made otherwise.

The JSON beside an image holds ``choices``: a hash of the run, of every option that the image
depends on, of the files read, and of the program's version. What is already there under the same
name is replaced only if its hash is the same: then nothing differs.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from daq.cli.common import CommandError, make_folder, tell
from daq.folder.calibration_set import FILE_NAME as CALIBRATION_NAME
from daq.folder.run_folder import ACTIVITY_NAME, CONFIG_NAME, MU_MAP_NAME, SUMMARY_NAME
from hw.bounded_files import FileRefused, read_object
from recon.exchange.images.formats import stem_of

RUN_FILES = ("run.json", "summary.json", "activity.json", "uids.json")
"""Files of a run that the JSON beside an image must not overwrite."""

_READ = (CONFIG_NAME, MU_MAP_NAME, ACTIVITY_NAME, CALIBRATION_NAME, "randoms.npz")
_LOGS = ("listmode.tmlm", "singles.tmws")
_NO_CHOICE = (
    "json",
    "runs",
    "run_folder",
    "output",
    "overwrite",
    "threads",
    "memory_MB",
    "require",
)
"""Arguments that do not change the image. ``format`` is none of them: each has files of its own."""

_WRITTEN = (".nii", ".nii.gz", ".json", ".hv", ".v", ".dcm", "-dicom", "-bids", ".h5")


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the image's name."""
    parser.add_argument(
        "--output", type=Path, metavar="FILE",
        help="NIfTI file (default: RUN/images/bsrem.nii.gz, or by the algorithm osem.nii.gz, "
        "…, spect.nii.gz; bsrem-2.nii.gz and so on if that was made otherwise)",
    )  # fmt: skip
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an image that was made otherwise"
    )


def output_of(options: argparse.Namespace, default: Path, choices: str) -> Path:
    """Return where the image goes: as asked for, or the first free name like ``default``.

    Raises
    ------
    CommandError
        if no file can be written there, or one that was made otherwise is there.
    """
    path = check_output(options.output or default)
    if options.overwrite or _is_free(path, choices):
        return path
    if options.output is not None:
        raise CommandError(
            f"--output {path} holds an image that was made otherwise: give another name, or "
            "--overwrite to replace it"
        )
    ending = path.name[len(stem_of(path)) :]
    for number in itertools.count(2):
        other = path.with_name(f"{stem_of(path)}-{number}{ending}")
        if _is_free(other, choices):
            tell(f"{path.name} was made otherwise and is kept: this image is {other.name}")
            return check_output(other)
    raise AssertionError


def choices_of(options: argparse.Namespace, folder: Path) -> str:
    """Return 32 hex digits that change with all that the image depends on (module docstring)."""
    digest = hashlib.sha256(_version().encode())
    digest.update(_record_hash(folder).encode())
    chosen = {key: value for key, value in vars(options).items() if key not in _NO_CHOICE}
    plain = {key: value for key, value in chosen.items() if not callable(value)}
    digest.update(json.dumps(plain, sort_keys=True, default=str).encode())
    given = [value for value in plain.values() if isinstance(value, Path)]
    for content in _contents([*given, *(folder / name for name in _READ)]):
        digest.update(content)
    return digest.hexdigest()[:32]


def _version() -> str:
    try:
        return version("tomoshibi")
    except PackageNotFoundError:
        return ""


def _record_hash(folder: Path) -> str:
    """Return what identifies a run's records: their hash, or sizes if it was not closed."""
    try:
        known = str(read_object(folder / SUMMARY_NAME)["hash"])
    except (FileRefused, KeyError):
        known = ""
    logs = [folder / name for name in _LOGS]
    return json.dumps([folder.name, known, *(log.stat().st_size for log in logs if log.is_file())])


def _contents(paths: Iterable[Path]) -> Iterable[bytes]:
    for path in paths:
        yield hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b"-"


def _is_free(path: Path, choices: str) -> bool:
    """Return whether nothing is there, or only what these choices made."""
    beside = [path.with_name(f"{stem_of(path)}{ending}") for ending in _WRITTEN]
    if not any(one.exists() for one in beside):
        return True
    try:
        about = read_object(path.with_name(f"{stem_of(path)}.json"))
        return str(about["choices"]) == choices
    except (FileRefused, KeyError):
        return False


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
