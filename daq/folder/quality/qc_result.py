"""What a quality control (QC) found: ``qc/NAME/qc.json`` beside the runs, strictly checked.

A result has figures with the limits that judged them, so that its verdict follows from the file
alone, whatever the preset says later. Results are never written over.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from daq.errors import LogError, RunError, StorageError
from hw.bounded_files import FileRefused, read_object
from hw.errors import FileWriteError
from hw.scanner.judged_figure import FAIL, NO_LIMIT, PASS, Figure, Words
from hw.whole_file import PRIVATE_FILE, make_folder, whole_file, whole_folder

FOLDER_NAME, FILE_NAME, REPORT_NAME = "qc", "qc.json", "qc.pdf"
SUFFIXES = frozenset({".json", ".pdf"})
MOST_BYTES = 1 << 20
INCOMPLETE = "incomplete"
"""The verdict of a QC of which a part that it needs could not be measured."""

Text = Annotated[str, Meta(max_length=2000)]
Figures = Annotated[tuple[Figure, ...], Meta(max_length=100)]


class QcPart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a QC: figures, or the reason why it was not measured.

    needed : whether a QC without it is incomplete
    notes : what must be known with the figures
    """

    title: Words
    figures: Figures = ()
    reason: Text = ""
    needed: bool = True
    notes: Annotated[tuple[Text, ...], Meta(max_length=20)] = ()


class QcResult(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A QC of one run.

    run : its name; ``measured``, ``made`` : when it was armed and analysed, ISO 8601 with offset
    serial : of the instrument, "" where its source named none
    source : what was before the scanner, in words
    overdue_h : from which age it counts as overdue
    trend : the figures that are followed over the days, by name with unit
    """

    run: Words
    scanner: Words
    serial: Words
    modality: Literal["PET", "SPECT"]
    source: Words
    measured: Words
    made: Words
    detector_time_s: Annotated[float, Meta(ge=0)]
    calibration: Words
    overdue_h: Annotated[float, Meta(gt=0)]
    parts: Annotated[tuple[QcPart, ...], Meta(max_length=20)]
    trend: Annotated[dict[Words, float], Meta(max_length=20)] = {}
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        for moment in (self.measured, self.made):
            if _moment(moment) is None:
                raise ValueError(f"{moment!r} is no date with time and offset")

    @property
    def measured_at(self) -> dt.datetime:
        """When the run was armed."""
        found = _moment(self.measured)
        assert found is not None  # checked when it was made
        return found

    @property
    def figures(self) -> Iterator[Figure]:
        """All figures."""
        return (figure for part in self.parts for figure in part.figures)

    @property
    def failures(self) -> list[str]:
        """The names of the figures that fail."""
        return [figure.name for figure in self.figures if figure.verdict == FAIL]

    @property
    def missing(self) -> list[str]:
        """The titles of the parts that are needed and were not measured."""
        return [part.title for part in self.parts if part.needed and part.reason]

    @property
    def verdict(self) -> str:
        """FAIL, INCOMPLETE or PASS; where no figure has a limit, NO_LIMIT."""
        if self.failures:
            return FAIL
        if self.missing:
            return INCOMPLETE
        return PASS if any(one.verdict == PASS for one in self.figures) else NO_LIMIT


def _moment(text: str) -> dt.datetime | None:
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def read_qc(folder: Path) -> QcResult:
    """Return the result in a folder of the QC; raises LogError."""
    path = folder / FILE_NAME
    try:
        return msgspec.convert(read_object(path, most_bytes=MOST_BYTES), QcResult)
    except (FileRefused, ValueError) as error:  # msgspec's is a ValueError
        raise LogError(f"{path}: {error}; remove it, or make the QC again") from error


@contextlib.contextmanager
def new_qc(runs: Path, name: str) -> Iterator[Path]:
    """Yield an empty folder that becomes ``runs/qc/NAME``, or ``NAME-2`` …, if all goes well.

    Whoever lists the QCs never sees half of one.

    Raises
    ------
    StorageError, RunError
    """
    root = runs / FOLDER_NAME
    names = [name, *(f"{name}-{number}" for number in range(2, 100))]
    free = next((root / one for one in names if not (root / one).exists()), None)
    if free is None:
        raise RunError(f"{root}: there are 99 QCs of {name}; move some away")
    try:
        make_folder(root)
        with whole_folder(free, suffixes=SUFFIXES) as folder:
            yield folder
    except OSError as error:
        raise StorageError(f"cannot make {free}: {error.strerror}") from error
    except FileWriteError as error:
        raise StorageError(str(error)) from error


def write_qc(folder: Path, result: QcResult) -> None:
    """Write a result into its folder; raises FileWriteError."""
    with whole_file(folder / FILE_NAME, mode=PRIVATE_FILE) as file:
        file.write(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")


def kept_as(runs: Path, name: str) -> list[Path]:
    """Return the folders of the QCs that were made of a run, the last one last."""
    names = [name, *(f"{name}-{number}" for number in range(2, 100))]
    return [runs / FOLDER_NAME / one for one in names if (runs / FOLDER_NAME / one).is_dir()]
