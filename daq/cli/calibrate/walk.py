"""Find how each crystal's time depends on energy: the time walk, from coincidences.

A photon that deposits less crosses the threshold later, by walk·(√(511 keV/E) − 1). Energies other
than 511 keV are needed: --lld-keV replaces the run's lower level. Use a point or a line source in
air: a photon scattered in an object has less energy and a longer path, which would look like walk.
Give the energy calibration with --calibration. Skews are solved together with the walks; they go
into the set if it has none yet.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daq.cli.calibrate.kind import CalibrationKind
from daq.cli.calibrate.outcome import Outcome, median_of, one_run, status_figures
from daq.cli.calibrate.skew import add_source_options
from daq.cli.common import CommandError, positive
from daq.cli.progress import ProgressLine
from hw.physics.constants import FWHM_PER_SIGMA

if TYPE_CHECKING:
    from daq.calibration.plots import Panel
    from daq.calibration.walk_fit import WalkResult
    from daq.folder.calibration_set import CalibrationSet

EXAMPLES = """\
examples:
  tomoshibi calibrate walk RUN --calibration today.npz --output walk.npz          a point
  tomoshibi calibrate walk RUN --calibration today.npz --source cylinder --output walk.npz
  tomoshibi calibrate walk RUN --calibration today.npz --lld-keV 200 --output walk.npz
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the walk calibration."""
    add_source_options(parser)
    parser.add_argument("--lld-keV", type=positive, default=250.0, dest="lld_keV", metavar="KEV",
                        help="lower level of the energy window "
                        "(default: %(default)s)")  # fmt: skip


def find(options: argparse.Namespace, folders: list[Path], base: CalibrationSet | None) -> Outcome:
    """Solve for walks and skews."""
    from dataclasses import replace

    import numpy as np

    from daq.calibration.coincidence_pairs import pairs_of_run
    from daq.calibration.walk_fit import calibrate_walk
    from daq.folder.run_folder import run_config

    folder = one_run(folders, "walk")
    config = run_config(folder)
    scanner = config.scanner()
    if options.lld_keV >= config.settings.uld_keV:
        raise CommandError(
            f"--lld-keV {options.lld_keV:g} is not below the run's upper level, "
            f"{config.settings.uld_keV:g} keV: choose a lower one"
        )
    known = base.calibration() if base else None
    if known is not None:
        known = replace(known, walk_ps=np.zeros_like(known.walk_ps))
    progress = ProgressLine("coincidences")
    pairs = pairs_of_run(folder, calibration=known, lld_keV=options.lld_keV,
                         most=int(options.coincidences), progress=progress)  # fmt: skip
    progress.done()
    place = tuple(options.position_mm)
    found = calibrate_walk(pairs, scanner, source=options.source, position_mm=place)
    values, statuses = {"walk_ps": found.walk_ps}, {"walk_ps": found.status}
    if base is None or not base.statuses["skew_ps"].any():
        values["skew_ps"], statuses["skew_ps"] = found.skew_ps, found.skew_status
    return Outcome(
        values,
        f"coincidences above {options.lld_keV:g} keV of a {options.source} at {place} mm",
        _figures(found),
        _panels(found, float(config.settings.window_ps)),
        statuses,
    )


def _figures(found: WalkResult) -> dict[str, Any]:
    import numpy as np

    return {
        **status_figures(found.status),
        "coincidences": len(found.residual_after),
        "coincidences_used": found.used,
        "walk_mean_ps": round(float(found.walk_ps.mean()), 1),
        "walk_spread_ps": round(float(found.walk_ps.std()), 1),
        "walk_error_ps": median_of(found.error_ps[np.isfinite(found.error_ps)], 1),
        "residual_fwhm_ps": round(FWHM_PER_SIGMA * found.sigma_ps, 1),
    }


def _panels(found: WalkResult, reach_ps: float) -> list[Panel]:
    from daq.calibration.plots import Panel, Points, histogram

    shape = found.shape_b - found.shape_a
    before = _median_over(shape, found.residual_before)
    after = _median_over(shape, found.residual_after)
    return [
        Panel("Δt less flight time and skews", "ps",
              (histogram("without walk", found.residual_before, -reach_ps, reach_ps),
               histogram("with walk", found.residual_after, -reach_ps, reach_ps))),
        Panel("Median of Δt over f(E_b) − f(E_a)", "f(E_b) − f(E_a), f = √(511/E) − 1",
              (Points("without walk", *before), Points("with walk", *after)), "ps"),
        Panel("Walks of the crystals", "ps",
              (histogram("walk", found.walk_ps, float(found.walk_ps.min()) - 1,
                         float(found.walk_ps.max()) + 1),), "crystals"),
    ]  # fmt: skip


def _median_over(x: Any, y: Any) -> tuple[Any, Any]:
    """Return bin centres of x and the median of y in each, NaN if there are few."""
    import numpy as np

    edges = np.linspace(-0.5, 0.5, 26)
    of = np.digitize(x, edges) - 1
    medians = [np.median(y[of == k]) if (of == k).sum() >= 30 else np.nan for k in range(25)]
    return (edges[1:] + edges[:-1]) / 2, np.array(medians)


KIND = CalibrationKind(
    name="walk",
    words="how each crystal's time depends on energy, from coincidences",
    teaches=__doc__,
    examples=EXAMPLES,
    order=3,
    add_arguments=add_arguments,
    find=find,
)
