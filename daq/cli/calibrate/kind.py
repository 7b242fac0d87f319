"""What a kind of calibration is, and the list of all kinds.

Every module of this folder with a ``KIND`` is one: to add a kind, add its module here and, if it
makes new arrays, these to ``daq/folder/calibration_arrays.py``. The command handles set, report,
plots and the refusal of existing files (``daq/cli/commands/calibrate.py``).
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.calibrate.outcome import Outcome

if TYPE_CHECKING:
    from daq.folder.calibration_set import CalibrationSet


@dataclass(frozen=True, kw_only=True)
class CalibrationKind:
    """One quantity that `tomoshibi calibrate` finds.

    name, words : the quantity, and its description in one line
    teaches, examples : the text of its ``--help``
    order : its place among the others; those that others need come first
    add_arguments : adds its own options. RUN, --output, --calibration, --runs and --json are there
        already; slow imports stay inside the functions
    find : called with the options, the runs' folders and the set of --calibration, checked against
        the scanner, or None
    run : instead of ``find`` if the result is not an array of a set: it adds all options itself,
        does everything and returns the exit status
    """

    name: str
    words: str
    teaches: str | None
    examples: str
    order: int
    add_arguments: Callable[[argparse.ArgumentParser], None]
    find: Callable[[argparse.Namespace, list[Path], CalibrationSet | None], Outcome] | None = None
    run: Callable[[argparse.Namespace], int] | None = None


def calibration_kinds() -> dict[str, CalibrationKind]:
    """Return all kinds by name, in order."""
    package = __name__.rpartition(".")[0]
    modules = [
        importlib.import_module(f"{package}.{found.name}")
        for found in pkgutil.iter_modules([str(Path(__file__).parent)])
    ]
    kinds: list[CalibrationKind] = [m.KIND for m in modules if hasattr(m, "KIND")]
    return {kind.name: kind for kind in sorted(kinds, key=lambda kind: kind.order)}
