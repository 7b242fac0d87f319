"""Find each crystal's time offset from coincidences of a centred source, or of any compact one.

The skews are the least-squares solution over all coincidences at once; their mean is set to 0.
Give the energy calibration with --calibration, or the energy window cuts the wrong photons.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, one_run, status_figures
from daq.cli.common import positive
from daq.cli.progress import ProgressLine
from hw.physics.constants import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from daq.folder.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate skew RUN --calibration energy.npz --output today.npz
  tomoshibi calibrate skew RUN --source cylinder --position-mm 0 0 0 --output skew.npz
  tomoshibi calibrate skew RUN --source all --calibration energy.npz --output today.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the skew calibration."""
    add_source_options(parser)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for the source and the number of coincidences."""
    parser.add_argument("--source", choices=("point", "cylinder", "all"), default="point",
                        help="a point or ball; a cylinder along z; or all: a compact activity "
                        "whose place and extent are found from the lines (default: "
                        "%(default)s)")  # fmt: skip
    parser.add_argument("--position-mm", type=float, nargs=3, default=(0.0, 0.0, 0.0),
                        metavar=("X", "Y", "Z"), help="the source's centre")  # fmt: skip
    parser.add_argument("--coincidences", type=positive, default=1e7, metavar="N",
                        help="use at most this many (18 bytes each in memory)")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Solve for the skews."""
    from daq.calibration.coincidence_pairs import pairs_of_run
    from daq.calibration.plots import Panel, histogram
    from daq.calibration.skew_fit import calibrate_skew
    from daq.folder.run_folder import run_config

    folder = one_run(folders, "skew")
    config = run_config(folder)
    progress = ProgressLine("coincidences")
    known = base.calibration() if base else None
    pairs = pairs_of_run(folder, calibration=known,
                         most=int(options.coincidences), progress=progress)  # fmt: skip
    progress.done()
    place = tuple(options.position_mm)
    found = calibrate_skew(pairs, config.scanner(), source=options.source, position_mm=place)
    figures = {
        **status_figures(found.status),
        "coincidences": len(pairs),
        "coincidences_used": found.used,
        "iterations": found.iterations,
        "residual_fwhm_ps": round(FWHM_PER_SIGMA * found.sigma_ps, 1),
        "skew_spread_ps": round(float(found.skew_ps.std()), 1),
    }
    reach = float(config.settings.window_ps)
    panels = [
        Panel("Δt less flight time", "ps",
              (histogram("without skews", found.residual_before, -reach, reach),
               histogram("with skews", found.residual_after, -reach, reach))),
        Panel("Skews of the crystals", "ps",
              (histogram("skew", found.skew_ps, -1000, 1000),), "crystals"),
    ]  # fmt: skip
    return Outcome({"skew_ps": found.skew_ps}, f"coincidences of a {options.source} at {place} mm",
                   figures, panels, {"skew_ps": found.status})  # fmt: skip


KIND = CalibrationKind(
    name="skew",
    words="time offset of each crystal, from coincidences",
    teaches=__doc__,
    examples=EXAMPLES,
    order=2,
    add_arguments=add_arguments,
    find=find,
)
