"""Find dead and noisy crystals, whose singles are then counted and left out.

A crystal with at most 1/20 of its module's median count is dead, one with at least 5 times as much
is noisy; chance is excluded at 6 sigma. --crystal masks by hand. The mask in the set of
--calibration is replaced, but crystals masked by hand stay masked.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, scanner_of
from daq.cli.common import CommandError
from daq.cli.progress import ProgressLine

if TYPE_CHECKING:
    from daq.folder.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate mask RUN --calibration today.npz --output masked.npz
  tomoshibi calibrate mask RUN --crystal 17 --crystal 4096 --output masked.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the mask."""
    parser.add_argument("--crystal", type=int, action="append", default=[], metavar="INDEX",
                        help="mask this crystal too (global index); may be repeated")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Count the crystals' singles and judge them."""
    import numpy as np

    from daq.calibration.energy_spectra import counts_of_run
    from daq.calibration.masked_crystals import find_masked
    from daq.calibration.plots import Panel, Points
    from daq.folder.calibration_arrays import MASKED_BY_HAND, MASKED_DEAD, MASKED_NOISY

    scanner = scanner_of(folders)
    for crystal in options.crystal:
        if not 0 <= crystal < scanner.n_crystals:
            raise CommandError(
                f"--crystal {crystal}: {scanner.name} has crystals 0 to {scanner.n_crystals - 1}"
            )
    crystal_map = base.calibration().crystal_map if base else None
    counts = np.zeros(scanner.n_crystals, np.int64)
    for folder in folders:
        progress = ProgressLine(f"singles of {folder.name}")
        counts += counts_of_run(folder, crystal_map=crystal_map, progress=progress)
        progress.done()
    found = find_masked(counts, scanner)
    masked = found.masked.copy()
    if base is not None:
        masked[base.masked == MASKED_BY_HAND] = MASKED_BY_HAND
    masked[options.crystal] = MASKED_BY_HAND
    figures = {
        "dead": int((masked == MASKED_DEAD).sum()),
        "noisy": int((masked == MASKED_NOISY).sum()),
        "by_hand": int((masked == MASKED_BY_HAND).sum()),
        "dead_modules": np.flatnonzero(found.dead_modules).tolist(),
        "modules_undecided": np.flatnonzero(found.undecided).tolist(),
        "singles": int(counts.sum()),
        "median_singles": float(np.median(counts)),
    }
    crystals = np.arange(len(counts))
    good, out = masked == 0, masked != 0
    logarithm = np.log10(np.maximum(counts, 0.5))
    panel = Panel("Singles of each crystal", "crystal",
                  (Points("kept", crystals[good], logarithm[good]),
                   Points("masked", crystals[out], logarithm[out])), "singles, log₁₀")  # fmt: skip
    return Outcome({"masked": masked}, "singles against the module's median", figures, [panel])


KIND = CalibrationKind(
    name="mask",
    words="dead and noisy crystals, from a run's singles",
    teaches=__doc__,
    examples=EXAMPLES,
    order=4,
    add_arguments=add_arguments,
    find=find,
)
